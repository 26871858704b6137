"""Checks of a definition that was not built here but read: from JSON, or written by hand.

Owns: what the builder guarantees and a file does not.
Must never: change or complete a definition.
Read next: `targets.py`.
"""

from __future__ import annotations

from durable_wf.authoring.breakers import clashes, wrong_with
from durable_wf.authoring.factory import name_problem, task_name_problem
from durable_wf.authoring.waits import problems_of_task
from durable_wf.core.definition import Task, Undo, Upstream, Workflow
from durable_wf.core.resolver import DependencyResolver
from durable_wf.core.status import InDoubt
from durable_wf.core.units import LONGEST_S
from durable_wf.errors import DefinitionError

_MOST_TOLD = 20


def check(workflow: Workflow) -> Workflow:
    """The workflow itself. Raises DefinitionError with all problems; CycleError for a cycle."""
    problems = [problem] if (problem := name_problem("the workflow's name", workflow.name)) else []
    seen: set[str] = set()
    for task in workflow.tasks:
        if task.name in seen:
            problems.append(f"task {task.name!r} stands there twice")
        seen.add(task.name)
        problems += [f"task {task.name!r}: {text}" for text in _of_task(task)]
    if not workflow.tasks:
        problems.append("it has no tasks")
    problems += _of_limits(workflow, "deadline_s")
    problems += clashes(workflow.tasks)
    resolver = DependencyResolver({task.name: task.upstream for task in workflow.tasks})
    problems += [str(unknown) for unknown in resolver.unknown()]
    if problems:
        more = len(problems) - _MOST_TOLD
        told = problems if more <= 0 else [*problems[:_MOST_TOLD], f"and {more} more"]
        raise DefinitionError(f"workflow {workflow.name!r:.220} is not sound", problems=told)
    resolver.check()
    return workflow


def _of_task(task: Task) -> list[str]:
    problems = [problem] if (problem := task_name_problem(task.name)) else []
    if len(set(task.upstream)) != len(task.upstream):
        problems.append("an upstream stands there twice")
    for source in (*task.args, *(source for _, source in task.kwargs)):
        if isinstance(source, Upstream) and source.task not in task.upstream:
            problems.append(f"an argument is the result of {source.task!r}, which is no upstream")
    undo = task.undo or Undo("")
    for source in (*undo.args, *(source for _, source in undo.kwargs)):
        if isinstance(source, Upstream) and source.task not in (task.name, *task.upstream):
            problems.append(
                f"its compensation is given the result of {source.task!r}, which is no upstream"
            )
    if (task.in_doubt is InDoubt.PROBE) is not bool(task.probe):
        problems.append("a probe and in_doubt 'probe' go together, and it has one of them")
    if task.breaker is not None and (wrong := wrong_with(task.breaker)):
        problems.append(wrong)
    problems += problems_of_task(task)
    return problems + _of_limits(task, "timeout_s", "deadline_s", "heartbeat_s")


def _of_limits(thing: Task | Workflow, *names: str) -> list[str]:
    limits = {name: getattr(thing, name) for name in names}
    return [
        f"{name} must be more than 0 and at most {LONGEST_S:g} seconds, not {seconds!r:.40}"
        for name, seconds in limits.items()
        if seconds is not None and not 0 < seconds <= LONGEST_S
    ]
