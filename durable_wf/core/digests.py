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
    return _digest([], (ascii((task.name, code_of(task))) for task in workflow.tasks))


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
    """One line of ASCII, whatever is in the names: what sorts and joins without doubt."""
    undo = task.undo
    if undo is not None:
        own = attrs.evolve(task, undo=None)
        arguments = [_shape(source) for source in undo.args]
        named = sorted((name, _shape(source)) for name, source in undo.kwargs)
        return f"{_structure(own)} undo {(arguments, named)!a}"
    if task.wait is not None:
        waits = (task.wait.kind.value, task.wait.name)
        return ascii((task.name, sorted(task.upstream), waits, task.optional))
    if not (task.upstream or task.args or task.kwargs):  # the same line, for a third of the time
        return f"({task.name!a}, [], [], [], {task.optional})"
    arguments = [_shape(source) for source in task.args]
    named = [(name, _shape(source)) for name, source in task.kwargs]
    return ascii((task.name, sorted(task.upstream), arguments, sorted(named), task.optional))


def _shape(source: Source) -> tuple[object, ...]:
    if isinstance(source, Literal):
        return ("value",)
    return ("task", source.task, *source.path)


def _inputs(task: Task) -> str:
    if task.undo is not None and (more := _given(task.undo)):
        return ascii((task.name, _given(task), more))
    given = _given(task)
    return ascii((task.name, given)) if given else ""


def _given(called: Task | Undo) -> list[tuple[object, str]]:
    given: list[tuple[object, str]] = []
    if called.args:
        given += [(i, arg.value) for i, arg in enumerate(called.args) if isinstance(arg, Literal)]
    if called.kwargs:
        given += sorted([(k, arg.value) for k, arg in called.kwargs if isinstance(arg, Literal)])
    return given
