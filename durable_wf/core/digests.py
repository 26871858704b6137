"""Digests of definitions: when two definitions are the same run, the same inputs, the same code.

Owns: the three digests behind an idempotent run id, and the fingerprint of each task's code.
Must never: look at a callable; the builder has put fingerprints into the definition.
Read next: `definition.py`.

What only tunes a run (resources, priority, time-outs, estimates, descriptions, tags, the question
of an approval, the length of a sleep) is in none of them: it may change while a run is unfinished.
The order in which tasks were added is not either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import itemgetter

import attrs

from durable_wf.core.definition import Literal, Source, Task, Undo, Workflow


def structure_digest(workflow: Workflow) -> str:
    """Names, dependencies, which argument comes from where, which tasks are optional, which of them
    wait for an approval, for time, or for which signal, which of them can be taken back.
    """
    return _digest([workflow.name], map(_structure, workflow.tasks))


def inputs_digest(workflow: Workflow) -> str:
    """The values given in the definition itself."""
    return _digest([], filter(None, map(_inputs, workflow.tasks)))


def code_digest(workflow: Workflow) -> str:
    """The code of all tasks."""
    return _digest([], [f"({task.name!a}, {code_of(task)!a})" for task in workflow.tasks])


def code_of(task: Task) -> str:
    """The fingerprint of a task's code; its name stands in where there is no fingerprint."""
    function = task.function
    return function.fingerprint or f"{function.module}:{function.qualname}"


def fingerprints(workflow: Workflow) -> dict[str, str]:
    """The fingerprint of each task's code, by task name."""
    return {task.name: code_of(task) for task in workflow.tasks}


def _digest(head: list[str], parts: Iterable[str]) -> str:
    text = "\n".join(head + sorted(parts))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _structure(task: Task) -> str:
    """One line of ASCII, whatever is in the names: what sorts and joins without doubt. It is what
    `ascii` says of a tuple, put together by hand in half of the time.
    """
    undo = task.undo
    if undo is not None:
        own = attrs.evolve(task, undo=None)
        return f"{_structure(own)} undo ({_arguments(undo)})"
    if task.wait is not None:
        waits = (task.wait.kind.value, task.wait.name)
        return ascii((task.name, sorted(task.upstream), waits, task.optional))
    upstream = ascii(sorted(task.upstream)) if task.upstream else "[]"
    return f"({task.name!a}, {upstream}, {_arguments(task)}, {task.optional})"


def _arguments(called: Task | Undo) -> str:
    args = ", ".join([_shape(source) for source in called.args]) if called.args else ""
    kwargs = ", ".join(
        [f"({name!a}, {_shape(source)})" for name, source in _by_name(called.kwargs)]
    )
    return f"[{args}], [{kwargs}]"


def _by_name(kwargs: tuple[tuple[str, Source], ...]) -> Iterable[tuple[str, Source]]:
    return kwargs if len(kwargs) < 2 else sorted(kwargs, key=itemgetter(0))


def _shape(source: Source) -> str:
    if isinstance(source, Literal):
        return "('value',)"
    if not source.path:
        return f"('task', {source.task!a})"
    return ascii(("task", source.task, *source.path))


def _inputs(task: Task) -> str:
    given = _given(task)
    if task.undo is not None and (more := _given(task.undo)):
        return ascii((task.name, given, more))
    return f"({task.name!a}, {given!a})" if given else ""


def _given(called: Task | Undo) -> list[tuple[object, str]]:
    given: list[tuple[object, str]] = []
    if called.args:
        given += [(i, arg.value) for i, arg in enumerate(called.args) if isinstance(arg, Literal)]
    if called.kwargs:
        given += sorted([(k, arg.value) for k, arg in called.kwargs if isinstance(arg, Literal)])
    return given
