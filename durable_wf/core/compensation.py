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

from durable_wf.core.definition import FunctionRef, Task, Workflow
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
        tasks.append(
            Task(
                name,
                FunctionRef(task.undo.function),
                (of, *before),
                task.undo.args,
                task.undo.kwargs,
                optional=True,  # the next one runs whatever became of this one
                executor=task.executor,
                rules=task.undo.rules,
            )
        )
    return tasks


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
