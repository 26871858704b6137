"""Fitting: whether an engine can run a workflow at all.

Owns: what of it an engine could never admit, or could not hold to its limits.
Must never: wait to see; this is said before anything is written.
Read next: `equipping.py`, which refuses; `rehearsal.py`, which tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from durable_wf.core.compensation import SUFFIX, compensation_of
from durable_wf.core.definition import Task, Workflow
from durable_wf.core.resources import Capacity, Resources
from durable_wf.engine.settings import ExecutorType, executor_type
from durable_wf.errors import CallerError

_SHOWN = 8


def misfits(
    workflow: Workflow,
    capacity: Capacity,
    default: ExecutorType,
    enforces: Callable[[ExecutorType], bool],
) -> list[str]:
    """Tasks that could never be admitted, or whose limits nobody would enforce, as sentences.

    `enforces` says whether an executor can hold its tasks to limits.
    """
    seen: dict[Resources, str] = {}
    problems = []
    for task in _with_compensations(workflow):
        if task.wait is not None:
            continue
        kind = executor_type(task.executor) if task.executor else default
        if task.resources not in seen:
            lacks = capacity.lacks(task.resources) or _unknown_pool(task.resources, capacity)
            seen[task.resources] = lacks
            if seen[task.resources]:
                problems.append(f"task {task.name!r} needs {seen[task.resources]}")
        if (limit := _limit_of(task)) and not enforces(kind):
            problems.append(
                f"task {task.name!r} has a {limit}, which the {kind.value} executor cannot "
                "enforce; use executor_type='parallel'"
            )
    return problems


def refuse_misfits(
    workflow: Workflow,
    capacity: Capacity,
    default: ExecutorType,
    enforces: Callable[[ExecutorType], bool],
) -> None:
    """Raise CallerError where there are any."""
    if problems := misfits(workflow, capacity, default, enforces):
        more = f"\n  - and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise CallerError(
            f"workflow {workflow.name!r} cannot run on this engine:\n  - "
            + "\n  - ".join(problems[:_SHOWN])
            + more,
            hint="ask for less, or give the engine more: WorkflowEngine(cpus=, memory=, gpus=, "
            "pools={'name': n}), or for dwf --cpus, --memory, --gpus, --pool NAME=N",
        )


def _with_compensations(workflow: Workflow) -> Iterator[Task]:
    """The tasks, and those that would take them back, which may say other things of their own."""
    yield from workflow.tasks
    names = {task.name for task in workflow.tasks if task.name.endswith(SUFFIX)}
    for task in workflow.tasks:
        if task.undo is not None and (name := task.name + SUFFIX) not in names:
            yield compensation_of(task, task.undo, name)


def _limit_of(task: Task) -> str:
    """A limit of the task that only a process of its own can be held to, or ""."""
    if task.timeout_s is not None:
        return "timeout"
    if task.deadline_s is not None:
        return "deadline"
    if task.heartbeat_s is not None:
        return "limit of its silence (heartbeat)"
    if task.memory_limit is not None:
        return "memory limit"
    return "gpu" if task.resources.gpu else ""


def _unknown_pool(need: Resources, capacity: Capacity) -> str:
    """A pool without a limit would guard nothing, without a word."""
    unknown = [pool for pool, _ in need.pools if pool not in capacity.pools]
    return f"pool {unknown[0]!r}, which the engine was not given" if unknown else ""
