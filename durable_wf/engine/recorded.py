"""Recorded: the workflow that a caller brings, as the run that exists has it.

Owns: what of a definition stays as it was recorded when its code comes from elsewhere: the order of
the tasks, the values they are called with, what they wait for, where their code is found.
Must never: compare code, or load it; `changes.py` and `code.py` do.
Read next: `continuing.py`, for runs that go on; `anew.py`, for runs made from others.
"""

from __future__ import annotations

import attrs

from durable_wf.core.definition import Task, Undo, Workflow
from durable_wf.core.digests import inputs_digest, structure_digest
from durable_wf.core.summary import RunRow
from durable_wf.engine import differences
from durable_wf.errors import RunConflict


def called_as(row: RunRow, recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks, called as the run calls them: a retry may have been given other values than
    the run that the caller knows. Raises RunConflict where it has other tasks.
    """
    if (row.structure, row.inputs) == (structure_digest(given), inputs_digest(given)):
        return given
    by_name = {task.name: task for task in given.tasks}
    if by_name.keys() != {task.name for task in recorded.tasks}:
        raise RunConflict(
            f"run {row.run_id} has other tasks:\n  - "
            + "\n  - ".join(differences.between(recorded, given)),
            hint=f"dwf resume {row.run_id}",
        )
    tasks = tuple(
        attrs.evolve(
            undone_as(by_name[t.name], t.undo), upstream=t.upstream, args=t.args, kwargs=t.kwargs
        )
        for t in recorded.tasks
    )
    return attrs.evolve(given, tasks=tasks)


def undone_as(task: Task, undo: Undo | None) -> Task:
    """The task, its compensation called as in the recorded one: it takes back what was done with
    these values.
    """
    if task.undo is None or undo is None:
        return task
    return attrs.evolve(task, undo=attrs.evolve(task.undo, args=undo.args, kwargs=undo.kwargs))


def in_order_of(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks as the run numbers them; who adds them in another order means the same."""
    by_name = {task.name: task for task in given.tasks}
    return attrs.evolve(given, tasks=tuple(by_name[task.name] for task in recorded.tasks))


def waiting_as(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks, in the recorded order, each waiting for what it was recorded to wait for:
    people have read it, and times count from it.
    """
    pairs = zip(given.tasks, recorded.tasks, strict=True)
    tasks = tuple(
        new if new.wait == old.wait else attrs.evolve(new, wait=old.wait) for new, old in pairs
    )
    return attrs.evolve(given, tasks=tasks)


def found_as(recorded: Workflow, given: Workflow) -> Workflow:
    """The given tasks, in the recorded order, with the recorded places of their code."""
    pairs = zip(given.tasks, recorded.tasks, strict=True)
    tasks = tuple(
        new if new.function == old.function else attrs.evolve(new, function=old.function)
        for new, old in pairs
    )
    return attrs.evolve(given, tasks=tasks)
