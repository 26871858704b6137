"""Companions: where the functions come from that stand beside the tasks' own.

Owns: which probes and compensations a run may come to need, finding those that the workflow does
not carry, and the refusal to go on with a run that would need one that is nowhere.
Must never: import anything on behalf of a store that this user does not trust; `code.py` has asked.
Read next: `equipping.py`; `live.py`, which picks them; `core/compensation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from durable_wf.authoring import loading
from durable_wf.authoring.companions import COMPENSATION, PROBE
from durable_wf.authoring.fingerprint import fingerprint
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.definition import Task, Workflow
from durable_wf.core.state import RunState
from durable_wf.core.status import TASK_FINAL, RunStatus
from durable_wf.errors import NotFound

Place = tuple[str, str]
"""Where a companion stands and its label: a probe by its task's name, a compensation by its own."""

Companions = Mapping[Place, Callable[..., Any]]


def places(workflow: Workflow) -> Iterator[Place]:
    """Those of all companions that a definition names, in its order."""
    for task in workflow.tasks:
        for _, place in _places_of(task):
            yield place


def _places_of(task: Task) -> Iterator[tuple[str, Place]]:
    """Those of one task, each after what it is."""
    if task.probe:
        yield PROBE, (task.name, task.probe)
    if task.undo is not None:
        yield COMPENSATION, (task.name + SUFFIX, task.undo.function)


def companions_of(workflow: Workflow) -> dict[Place, Callable[..., Any]]:
    """Those that the workflow carries, and of the others those that a module gives."""
    found: dict[Place, Callable[..., Any]] = {}
    for place in places(workflow):
        function = workflow.companions.get(place) or _imported(place[1])
        if function is not None:
            found[place] = function
    return found


def _imported(label: str) -> Callable[..., Any] | None:
    """The function of this label, if a module other than the script's gives it."""
    module, _, qualname = label.partition(":")
    if not module or module == "__main__" or "<" in qualname:
        return None
    try:
        found: Any = loading.imported(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit):  # noqa: BLE001 - whatever a module does while it is imported
        return None
    return found if callable(found) else None


def with_companions_of(recorded: Workflow, loaded: Iterable[Workflow]) -> Workflow:
    """The recorded workflow with the companions that these have, under the labels and with the
    arguments that they have there.
    """
    functions, beside = dict(recorded.companions), recorded.beside
    fresh: dict[str, Task] = {}
    for workflow in loaded:
        functions |= workflow.companions
        beside = workflow.beside or beside
        fresh |= {
            task.name: task for task in workflow.tasks if task.probe or task.undo or task.beside
        }
    tasks = recorded.tasks
    if fresh:
        tasks = tuple(_as_in(task, fresh.get(task.name)) for task in tasks)
    return attrs.evolve(recorded, tasks=tasks, companions=functions, beside=beside)


def _as_in(task: Task, fresh: Task | None) -> Task:
    if fresh is None or _companions_of(task) == _companions_of(fresh):
        return task
    undo = fresh.undo if task.undo is not None and fresh.undo is not None else task.undo
    probe = fresh.probe if task.probe and fresh.probe else task.probe
    return attrs.evolve(task, undo=undo, probe=probe, beside=fresh.beside)


def _companions_of(task: Task) -> tuple[object, ...]:
    return task.probe, task.undo, task.beside


def with_imported(workflow: Workflow) -> Workflow:
    """The workflow with what modules give of the probes and compensations that it does not carry,
    and with their fingerprints as they are today.
    """
    functions = dict(workflow.companions)
    tasks: list[Task] = []
    for task in workflow.tasks:
        beside = dict(task.beside)
        for what, place in _places_of(task):
            if place not in functions and (function := _imported(place[1])) is not None:
                functions[place] = function
                if what in beside:
                    beside[what] = fingerprint(function)
        known = tuple(beside.items())
        tasks.append(task if known == task.beside else attrs.evolve(task, beside=known))
    if len(functions) == len(workflow.companions):
        return workflow
    return attrs.evolve(workflow, tasks=tuple(tasks), companions=functions)


# --- they are needed ------------------------------------------------------------------------------


def refuse_lost(state: RunState, known: Companions) -> None:
    """Raise NotFound when the run may come to need a companion that is not at hand."""
    for index, task in enumerate(state.workflow.tasks):
        if task.undo is not None and may_be_taken_back(state, index):
            _refuse(state, "compensation", task.name, task.undo.function, known)
        if task.probe and state.tasks[index] not in TASK_FINAL:
            _refuse(state, "probe", task.name, task.probe, known)
    for index, past in state.past.items():
        if past.probe and not state.task(index).probe and state.tasks[index] not in TASK_FINAL:
            _refuse(state, "probe", state.graph.names[index], past.probe, known)


def may_be_taken_back(state: RunState, index: int) -> bool:
    """Whether the run may come to call the compensation of a task, if that has one."""
    if state.compensating:
        name = state.graph.names[index] + SUFFIX
        compensation = state.graph.index.get(name)
        return compensation is not None and state.tasks[compensation] not in TASK_FINAL
    if state.status is RunStatus.DRAINING and not state.compensates:
        return False
    return state.tasks[index] not in TASK_FINAL or index in state.completed


def _refuse(state: RunState, what: str, task: str, label: str, known: Companions) -> None:
    place = task + SUFFIX if what == "compensation" else task
    if (place, label) in known:
        return
    module = label.partition(":")[0]
    where = "the script that builds the workflow" if module == "__main__" else f"module {module}"
    raise NotFound(
        f"run {state.run_id}: the {what} of task {task!r}, {label}, is not at hand; "
        f"it came from {where}",
        hint="run that script again with this run_id, or bring the workflow along: "
        f"engine.resume({state.run_id!r}, workflow=workflow)",
    )
