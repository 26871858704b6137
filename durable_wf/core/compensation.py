"""Compensations: the tasks that take back what a run did, when it fails or is cancelled.

Owns: their names, their order, and their definitions, made of what the run's own tasks declare.
Must never: decide whether a run compensates; `steps.py` does.
Read next: `steps.py`, `evolve.py`.

They run one after the other, in the reverse order in which their tasks were completed: the saga of
Garcia-Molina and Salem, "Sagas" (SIGMOD 1987).
"""

from __future__ import annotations

from durable_wf.core.definition import FunctionRef, Task
from durable_wf.core.state import RunState

SUFFIX = "~undo"
"""What the name of a compensation ends with; the task's own name stands before it."""


def to_add(state: RunState) -> tuple[tuple[str, str], ...]:
    """The compensations that a draining run needs: their names, and those of their tasks."""
    names = [state.graph.names[index] for index in reversed(state.completed)]
    return tuple((f"{name}{SUFFIX}", name) for name in names)


def compensations(state: RunState, added: tuple[tuple[str, str], ...]) -> list[Task]:
    """Their definitions. Raises KeyError or ValueError, naming a task that is not there or declares
    none.
    """
    tasks: list[Task] = []
    for name, of in added:
        task = state.task(state.graph.index[of])
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
