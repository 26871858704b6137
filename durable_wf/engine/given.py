"""Given: other values for the parameters of a workflow's tasks, by name.

Owns: what `task.parameter` and `parameter` mean, the values that people type as JSON, and the
errors about both.
Must never: change what comes from another task: such a value is made by running that task again.
Read next: `descending.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

import attrs

from durable_wf.authoring.signature import Shape, shape_of
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Literal, Source, Task, Workflow
from durable_wf.core.resolver import nearest
from durable_wf.core.values import Classes, classes_of, decode, encode
from durable_wf.core.values_standard import TAG
from durable_wf.engine.companions import companions_of
from durable_wf.errors import CallerError, DurableWorkflowError

_TEXTS: Final = frozenset(
    {"date", "datetime", "time", "Decimal", "UUID", "PosixPath", "WindowsPath", "PurePosixPath",
     "PureWindowsPath"}
)  # fmt: skip
_LISTS: Final = frozenset({"tuple", "set", "frozenset"})
"""Forms that JSON has a plain text or a list for: such a value stays what it was."""


@attrs.frozen
class AsJson:
    """A value as somebody has typed it."""

    text: str


@attrs.frozen
class Place:
    """A parameter of a task: by name, or where it is given by position."""

    task: str
    name: str
    at: int | None = None

    def __str__(self) -> str:
        return f"{self.task}.{self.name}"


@attrs.frozen
class Changed:
    """A value that was changed: its JSON before ("" where the default was taken) and after."""

    place: Place
    before: str
    after: str


def with_values(
    workflow: Workflow, functions: Sequence[Callable[..., Any] | None], given: Mapping[str, object]
) -> tuple[Workflow, tuple[Changed, ...]]:
    """The workflow with these values. Keys are `task.parameter`, or `parameter` where one task
    alone has it; `functions` are those of its tasks, in order (None: it waits and calls none).

    Raises CallerError, which names all that is wrong.
    """
    if not given:
        return workflow, ()
    tasks = {task.name: task for task in workflow.tasks}
    made = {name: _waits if f is None else f for name, f in zip(tasks, functions, strict=True)}
    shapes = {name: shape_of(function) for name, function in made.items()}
    problems: list[str] = []
    changes: list[Changed] = []
    for key, value in given.items():
        try:
            place = _place(key, tasks, shapes)
            change = _change(key, value, place, tasks[place.task], classes_of(made[place.task]))
        except _Problem as problem:
            problems.append(str(problem))
            continue
        if change.before != change.after:
            changed = _changed(tasks[place.task], place, change.after)
            tasks[place.task] = _with_undo(changed, place.name, change.after, workflow)
            changes.append(change)
    if problems:
        raise CallerError(
            "these values cannot be set:" + "".join(f"\n  - {problem}" for problem in problems),
            hint="task.parameter=JSON, for instance load.limit=5 or 'load.table=\"orders\"'",
        )
    return attrs.evolve(workflow, tasks=tuple(tasks.values())), tuple(changes)


def _waits() -> None:
    """Stands for the function of a task that has none."""


class _Problem(Exception):
    """What is wrong with one of them."""


def _place(key: str, tasks: Mapping[str, Task], shapes: Mapping[str, Shape]) -> Place:
    task, dot, name = key.rpartition(".")
    if dot:
        if task not in tasks:
            raise _Problem(f"{key}: there is no task {task!r}{_guess(task, tasks)}")
        return _found(key, tasks[task], name, shapes[task])
    settable = {name: _settable(task, shapes[name]) for name, task in tasks.items()}
    owners = [task for task, names in settable.items() if name in names]
    if len(owners) == 1:
        return _found(key, tasks[owners[0]], name, shapes[owners[0]])
    if owners:
        several = ", ".join(f"{task}.{name}" for task in owners[:5])
        raise _Problem(f"{key}: several tasks have this parameter: {several}")
    for task in tasks:
        if _source(tasks[task], name, shapes[task]) is not None:
            return _found(key, tasks[task], name, shapes[task])  # says where it comes from
    known = {name for names in settable.values() for name in names}
    raise _Problem(f"{key}: no task has such a parameter{_guess(name, known)}")


def _settable(task: Task, shape: Shape) -> dict[str, Place]:
    """The parameters of a task that are given a value, or a default."""
    names = shape.positional
    found = {
        names[at]: Place(task.name, names[at], at)
        for at, source in enumerate(task.args[: len(names)])
        if isinstance(source, Literal)
    }
    bound = {*names[: len(task.args)], *(name for name, _ in task.kwargs)}
    found |= {n: Place(task.name, n) for n, s in task.kwargs if isinstance(s, Literal)}
    only = names[: shape.positional_only]
    found |= {
        name: Place(task.name, name)
        for name in shape.defaults
        if name not in bound and name not in only
    }
    return found


def _found(key: str, task: Task, name: str, shape: Shape) -> Place:
    settable = _settable(task, shape)
    if name in settable:
        return settable[name]
    source = _source(task, name, shape)
    if source is not None:
        raise _Problem(
            f"{key}: that is the result of task {source!r}; to have it made again: "
            f"--from {source} (or from_={source!r})"
        )
    has = ", ".join(settable) or "none"
    guess = _guess(name, settable) or f" (it has {has})"
    raise _Problem(f"{key}: task {task.name!r} is given no {name!r}{guess}")


def _source(task: Task, name: str, shape: Shape) -> str | None:
    """The task whose result a parameter is given."""
    bound: dict[str, Source] = dict(zip(shape.positional, task.args, strict=False))
    bound |= dict(task.kwargs)
    source = bound.get(name)
    return None if source is None or isinstance(source, Literal) else source.task


def _guess(name: str, names: Mapping[str, object] | set[str]) -> str:
    guess = nearest(name, names)
    return f"; did you mean {guess!r}?" if guess else ""


# --- values ---------------------------------------------------------------------------------------


def _change(key: str, value: object, place: Place, task: Task, classes: Classes) -> Changed:
    before = _before(task, place)
    try:
        if isinstance(value, AsJson):
            value = _read(value.text, before, classes)
        return Changed(place, before, encode(value, classes, name=place.name))
    except ValueError as error:
        raise _Problem(f"{key}: {error}") from None
    except DurableWorkflowError as error:
        raise _Problem(f"{key}: {error.message}") from None


def _before(task: Task, place: Place) -> str:
    source = task.args[place.at] if place.at is not None else dict(task.kwargs).get(place.name)
    return source.value if isinstance(source, Literal) else ""


def _read(text: str, before: str, classes: Classes) -> object:
    """The value that a JSON text means in the place of `before`. Raises ValueError, NotReadable."""
    try:
        new = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise ValueError(
            f"{text!r:.80} is not JSON; a text stands in double quotes: {json.dumps(text)[:80]}"
        ) from None
    old = json.loads(before) if before else None
    form = old.get(TAG) if isinstance(old, dict) and old.keys() == {TAG, "v"} else None
    stays = (isinstance(new, str) and form in _TEXTS) or (isinstance(new, list) and form in _LISTS)
    if not stays:
        return decode(text.strip(), classes)
    try:
        return decode(json.dumps({TAG: form, "v": new}), classes)
    except DurableWorkflowError:
        raise ValueError(f"{text!r:.80} is no {form}, as the value was until now") from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _with_undo(task: Task, name: str, text: str, workflow: Workflow) -> Task:
    """The task, whose compensation takes back what is done with this value."""
    undo = task.undo
    if undo is None:
        return task
    literal = Literal(text)
    names: tuple[str, ...] = ()
    if undo.args:  # whose names only the function tells
        function = companions_of(workflow).get((task.name + SUFFIX, undo.function))
        names = shape_of(function).positional if function is not None else ()
    args = tuple(
        literal if names[at : at + 1] == (name,) and isinstance(source, Literal) else source
        for at, source in enumerate(undo.args)
    )
    kwargs = tuple(
        (key, literal if key == name and isinstance(source, Literal) else source)
        for key, source in undo.kwargs
    )
    return attrs.evolve(task, undo=attrs.evolve(undo, args=args, kwargs=kwargs))


def _changed(task: Task, place: Place, text: str) -> Task:
    literal = Literal(text)
    if place.at is not None:
        args = list(task.args)
        args[place.at] = literal
        return attrs.evolve(task, args=tuple(args))
    kwargs = dict(task.kwargs)
    kwargs[place.name] = literal
    return attrs.evolve(task, kwargs=tuple(kwargs.items()))
