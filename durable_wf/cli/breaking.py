"""Circuit breakers as they are shown: which holds a task, until when, and how it came to that.

Owns: reading circuits for people: the settings come from the definition of a run that used the
key, the rest from the recorded outcomes and from who holds the right to probe.
Must never: write; or say that a task is held by a probe whose engine is dead.
Read next: `core/circuit.py`; `watched.py`, `around.py` and `commands/breakers.py`, which ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durable_wf.cli.facts import TaskFacts
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import Circuit, CircuitState, Outcome, fold, lease_of
from durable_wf.core.definition import Task, Workflow
from durable_wf.core.status import TaskStatus
from durable_wf.engine.view import load_definition
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.locks import is_held
from durable_wf.store.opening import Store


def held_by(store: Store, breaker: Breaker, at: int, *, past: bool = False) -> Circuit | None:
    """The circuit that keeps tasks with this breaker from starting at a moment; None if it does
    not. Who is alive is known for now only.
    """
    rows = store.log.outcomes(breaker.key)
    circuit = fold(breaker, [row for row in rows if row.at <= at] if past else rows, at)
    match circuit.state:
        case CircuitState.CLOSED:
            return None
        case CircuitState.OPEN:
            return circuit
        case CircuitState.HALF_OPEN:
            probed = bool(circuit.probe) and (past or bool(prober(store, breaker.key)))
            return circuit if probed else None


def prober(store: Store, key: str) -> str:
    """The living engine that has the right to probe a half-open circuit, or ""."""
    holders = store.log.held(lease_of(key))
    return next((one for one in holders if is_held(store.folder.locks, one)), "")


def note_held(store: Store, workflow: Workflow, tasks: Mapping[str, TaskFacts], at: int) -> None:
    """Say of each task that could start what breaker holds it."""
    circuits: dict[Breaker, Circuit | None] = {}
    optional = {task.name for task in workflow.tasks if task.optional}
    for task in workflow.tasks:
        breaker, facts = task.breaker, tasks[task.name]
        if breaker is None or not _waits(task, facts, tasks, optional):
            continue
        if breaker not in circuits:
            circuits[breaker] = held_by(store, breaker, at)
        facts.held = circuits[breaker]


def _waits(
    task: Task, facts: TaskFacts, tasks: Mapping[str, TaskFacts], optional: set[str]
) -> bool:
    """Whether nothing in its run keeps the task from starting."""
    return (
        facts.guarded
        and facts.status is TaskStatus.PENDING
        and all(
            tasks[name].status in {TaskStatus.SUCCEEDED, TaskStatus.SKIPPED}
            or (tasks[name].status is TaskStatus.FAILED and name in optional)
            for name in task.upstream
        )
    )


def breaker_of(store: Store, key: str, rows: Sequence[Outcome]) -> Breaker | None:
    """The settings of a key, as the newest run has them that used it and can still be read."""
    asked: set[str] = set()
    for row in reversed(rows):
        if row.run_id in asked:
            continue
        asked.add(row.run_id)
        try:
            found = store.log.row(row.run_id)
            workflow = None if found is None else load_definition(store.log, found)
        except DurableWorkflowError:
            continue
        for task in workflow.tasks if workflow is not None else ():
            if task.breaker is not None and task.breaker.key == key:
                return task.breaker
    return None
