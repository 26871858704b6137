"""Anew: the definition that a new run of an old one follows.

Owns: putting together what was recorded (the values that the run was given) with what its script
makes today (the code, and how tasks are tuned).
Must never: import or execute anything; `code.py` has loaded it.
Read next: `descending.py`.

A script may compute the values that it gives (a date, an argument of its own), and a retry is about
the values of its run: those stay, and what the script would give instead is said.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import attrs

from durable_wf.core.definition import Literal, Source, Task, Undo, Workflow
from durable_wf.core.digests import structure_digest
from durable_wf.engine.recorded import in_order_of

Called = TypeVar("Called", Task, Undo)


@attrs.frozen
class Renewed:
    """`workflow` carries its functions. `kept` names parameters (`task.parameter`) whose recorded
    value was taken though the script would give another one today.
    """

    workflow: Workflow
    kept: tuple[str, ...] = ()


def renewed(recorded: Workflow, whole: Workflow, today: Workflow | None) -> Renewed:
    """What to run: `whole` is the recorded definition with its functions, `today` what the script
    makes now, where there is one.
    """
    if today is None:
        return Renewed(whole)
    old = {task.name: task for task in recorded.tasks}
    code = {task.name: task.function for task in whole.tasks}
    kept: list[str] = []
    tasks = []
    for task in today.tasks:
        if task.name in old:
            kept += _other_values(old[task.name], task)
            task = attrs.evolve(  # noqa: PLW2901
                _with_values_of(old[task.name], task), function=code[task.name]
            )
        tasks.append(task)
    workflow = attrs.evolve(
        today, tasks=tuple(tasks), functions={**today.functions, **whole.functions},
        recovery=today.recovery or whole.recovery,
        companions={**whole.companions, **today.companions},
    )  # fmt: skip
    if structure_digest(workflow) == structure_digest(recorded):
        workflow = in_order_of(recorded, workflow)
    return Renewed(workflow, tuple(kept))


def with_stored_code_of(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks; code that no file gives, and that is stored already, is not stored again.
    It is stored together with its companions, so that other ones have all of it stored anew.
    """
    old = {task.name: task.function for task in recorded.tasks if task.function.by_value}
    if _companions(recorded) != _companions(given):
        return given
    tasks = tuple(
        attrs.evolve(task, function=known)
        if (known := old.get(task.name)) is not None
        and not (task.function.module or task.function.file)
        and known.fingerprint == task.function.fingerprint
        else task
        for task in given.tasks
    )
    return attrs.evolve(given, tasks=tasks) if old else given


def _companions(workflow: Workflow) -> list[tuple[object, ...]]:
    return [
        (task.name, task.probe, task.undo and task.undo.function, task.beside)
        for task in workflow.tasks
        if task.probe or task.undo
    ]


def _with_values_of(old: Task, new: Task) -> Task:
    """The new task with the values of the old one, where both are given one; so its compensation,
    which takes back what was done with these.
    """
    undo = new.undo
    if old.undo is not None and undo is not None:
        undo = _with_literals_of(old.undo, undo)
    return attrs.evolve(_with_literals_of(old, new), undo=undo)


def _with_literals_of(old: Called, new: Called) -> Called:
    recorded = dict(old.kwargs)
    kwargs = tuple((name, _value(recorded.get(name), source)) for name, source in new.kwargs)
    args = tuple(
        _value(old.args[at] if at < len(old.args) else None, source)
        for at, source in enumerate(new.args)
    )
    return attrs.evolve(new, args=args, kwargs=kwargs)


def _value(old: Source | None, new: Source) -> Source:
    return old if isinstance(old, Literal) and isinstance(new, Literal) else new


def _other_values(old: Task, new: Task) -> Iterator[str]:
    recorded = dict(old.kwargs)
    for name, source in new.kwargs:
        if isinstance(source, Literal) and recorded.get(name, source) != source:
            yield f"{new.name}.{name}"
