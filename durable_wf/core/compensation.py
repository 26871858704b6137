"""Compensations: the tasks that take back what a run did, when it fails or is cancelled.

Owns: their names, their order, and their definitions, made of what the run's own tasks declare.
Must never: decide whether a run compensates; `steps.py` does.
Read next: `steps.py`, `evolve.py`.

They run one after the other, in the reverse order in which their tasks were completed: the saga of
Garcia-Molina and Salem, "Sagas" (SIGMOD 1987).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from durable_wf.core.definition import FunctionRef, Task, Undo, Workflow
from durable_wf.core.names import SUFFIX as SUFFIX
from durable_wf.core.state import RunState

Added = tuple[tuple[str, str], ...]
"""Compensations in the order in which they run: (name, name of the task that it takes back)."""


def to_add(state: RunState) -> Added:
    """The compensations that a draining run needs: their names, and those of their tasks."""
    names = [state.graph.names[index] for index in reversed(state.completed)]
    return tuple((f"{name}{SUFFIX}", name) for name in names)


def compensations(task_of: Callable[[str], Task], added: Added) -> list[Task]:
    """Their definitions; `task_of` gives the run's own tasks by name. Raises KeyError or
    ValueError, naming a task that is not there or declares none.
    """
    tasks: list[Task] = []
    for name, of in added:
        task = task_of(of)
        if task.undo is None:
            raise ValueError(of)
        before = (tasks[-1].name,) if tasks else ()
        tasks.append(compensation_of(task, task.undo, name, before))
    return tasks


def compensation_of(task: Task, undo: Undo, name: str, before: tuple[str, ...] = ()) -> Task:
    """The task `name` that takes `task` back, after those `before`.

    It may take as long as an attempt of that task may, and occupies what that does, GPUs aside:
    one that hangs would keep its run draining for ever.
    """
    own_limit = undo.memory_limit is not None
    resources = task.resources
    if undo.resources is not None:
        resources = undo.resources
    elif resources.gpu:
        resources = attrs.evolve(resources, gpu=0)
    return Task(
        name,
        FunctionRef(undo.function),
        (task.name, *before),
        undo.args,
        undo.kwargs,
        resources,
        optional=True,  # the next one runs whatever became of this one
        timeout_s=longest_s(task) if undo.timeout_s is None else undo.timeout_s,
        memory_limit=undo.memory_limit if own_limit else task.memory_limit,
        memory_hard=undo.memory_hard if own_limit else task.memory_hard,
        executor=task.executor,
        rules=undo.rules,
    )


def longest_s(task: Task) -> float | None:
    """How long an attempt may take that calls another function than the task's own: its timeout,
    or else its deadline, counted anew; None where it has neither.
    """
    return task.deadline_s if task.timeout_s is None else task.timeout_s


def added_to(state: RunState) -> Added:
    """The compensations that a run has, in their order, with the tasks that they take back."""
    names = state.graph.names[state.forward :]
    return tuple((name, name.removesuffix(SUFFIX)) for name in names)


def with_added(workflow: Workflow, added: Added) -> Workflow:
    """`workflow` as a run has it that has these compensations. Raises as `compensations` does."""
    if not added:
        return workflow
    by_name = {task.name: task for task in workflow.tasks}
    more = compensations(by_name.__getitem__, added)
    return attrs.evolve(workflow, tasks=(*workflow.tasks, *more))
