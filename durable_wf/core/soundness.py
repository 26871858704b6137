"""Soundness: whether a definition can be run at all, wherever it was written down.

Owns: what is wrong with a workflow, all of it at once. The builder asks for it, so does whoever
reads a file, and the engine before it writes anything.
Must never: change or complete a definition; cost a usual task more than a few comparisons.
Read next: `soundness_parts.py`, for the fields of a task; `resolver.py`, for the graph.

A log is not asked again: what it holds was judged when it was written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter, itemgetter
from typing import Final

from durable_wf.core.breaker import meaning, shown
from durable_wf.core.names import are_usual_names, name_problem, task_name_problem
from durable_wf.core.resolver import DependencyResolver, nearest
from durable_wf.core.soundness_parts import (
    USUAL,
    Defined,
    is_usual_call,
    of_call,
    of_function,
    of_resources,
    of_unusual,
    of_workflow,
    unusual_of,
)
from durable_wf.core.task import Task
from durable_wf.core.wording import count_of
from durable_wf.errors import CycleError, DefinitionError

_MOST_TOLD: Final = 200
_MOST_GUESSES: Final = 5
"""Finding the nearest of 100,000 names takes a while; the first few guesses say enough."""

_Wrong = tuple[int, str]
"""The number of a task, and what is wrong with it."""

_function_of = attrgetter("function")
_resources_of = attrgetter("resources")


def check(workflow: Defined, *, most: int = _MOST_TOLD) -> None:
    """Raise DefinitionError with all that is wrong, at most so much of it; CycleError where
    cycles are all.
    """
    problems = [problem] if (problem := name_problem("the workflow's name", workflow.name)) else []
    problems += of_workflow(workflow)
    cycles: list[tuple[str, ...]] = []
    if not _are_tasks(workflow.tasks):
        problems.append("its tasks must be a tuple of Task values")
    else:
        problems += (wrong := of_tasks(workflow.tasks))
        if not wrong or _has_graph(workflow.tasks):
            wrong, cycles = of_graph([(task.name, task.upstream) for task in workflow.tasks])
            problems += wrong
    refuse(f"workflow {workflow.name!r:.220} is not sound", problems, cycles, most=most)


def refuse(
    what: str, problems: Sequence[str], cycles: Sequence[Sequence[str]], *, most: int = _MOST_TOLD
) -> None:
    """Raise for these problems and these cycles; without any, nothing happens."""
    if cycles and not problems:
        raise CycleError(*cycles)
    problems = [*problems, *(CycleError(cycle).message for cycle in cycles)]
    if problems:
        more = len(problems) - most
        told = (
            problems if more <= 0 else [*problems[:most], f"and {count_of(more, 'more problem')}"]
        )
        raise DefinitionError(what, problems=told)


def of_tasks(tasks: Sequence[Task]) -> list[str]:
    """What is wrong with the tasks themselves, as sentences that name them. The graph that they
    make is not asked about.
    """
    found = [*_of_names(tasks), *_of_calls(tasks), *_of_shared(tasks)]
    guarded: list[Task] = []
    for number, fields in enumerate(map(unusual_of, tasks)):
        if fields != USUAL:
            task = tasks[number]
            wrong = of_unusual(task)
            found += [(number, text) for text in wrong]
            if task.breaker is not None and not wrong:
                guarded.append(task)
    found.sort(key=itemgetter(0))
    told = [f"task {tasks[number].name!r:.220}: {text}" for number, text in found]
    return [*told, *_clashes(guarded)]


def _of_names(tasks: Sequence[Task]) -> Iterator[_Wrong]:
    names: list[object] = [task.name for task in tasks]
    if are_usual_names(names):
        return
    for number, name in enumerate(names):
        if problem := task_name_problem(name):
            yield number, problem


def _of_calls(tasks: Sequence[Task]) -> Iterator[_Wrong]:
    for number, task in enumerate(tasks):
        if (task.upstream or task.args or task.kwargs) and not is_usual_call(task):
            for text in of_call(task):
                yield number, text


def _of_shared(tasks: Sequence[Task]) -> Iterator[_Wrong]:
    """Functions and resources: many tasks have the same ones, which are looked at once."""
    for get, wrong_with in ((_function_of, of_function), (_resources_of, of_resources)):
        values = [*map(get, tasks)]
        distinct = dict(zip(map(id, values), values, strict=True))
        wrong = {key: texts for key, one in distinct.items() if (texts := [*wrong_with(one)])}
        if wrong:
            for number, value in enumerate(values):
                for text in wrong.get(id(value), ()):
                    yield number, text


def _clashes(tasks: Iterable[Task]) -> Iterator[str]:
    """Where tasks give one breaker key two meanings."""
    known: dict[str, Task] = {}
    for task in tasks:
        guard = task.breaker
        if guard is None:
            continue
        first = known.setdefault(guard.key, task)
        other = first.breaker
        if other is not None and meaning(other) != meaning(guard):
            yield (
                f"breaker {guard.key!r} means {shown(other)} for task {first.name!r} and "
                f"{shown(guard)} for task {task.name!r}"
            )


# --- the graph ------------------------------------------------------------------------------------


def of_graph(
    tasks: Collection[tuple[str, Sequence[str]]],
) -> tuple[list[str], list[tuple[str, ...]]]:
    """What is wrong with a graph of names and their upstreams, and its cycles."""
    upstreams = dict(tasks)
    problems: list[str] = []
    if len(upstreams) != len(tasks):
        counts = Counter(name for name, _ in tasks)
        problems += [f"{k} tasks are called {name!r}" for name, k in counts.items() if k > 1]
    elif _is_in_order(upstreams):
        return problems, []
    unknown = [(task, name) for task, ups in tasks for name in ups if name not in upstreams]
    for i, (task, name) in enumerate(unknown):
        guess = nearest(name, upstreams) if i < _MOST_GUESSES else ""
        problems.append(
            f"task {task!r} depends on {name!r}, which does not exist"
            + (f"; did you mean {guess!r}?" if guess else "")
        )
    if unknown:
        upstreams = {
            task: tuple(name for name in ups if name in upstreams)
            for task, ups in upstreams.items()
        }
    return problems, DependencyResolver(upstreams).cycles()


def _is_in_order(upstreams: Mapping[str, Sequence[str]]) -> bool:
    """Whether each task comes after all its upstreams, as people mostly write them: then all names
    exist and there is no cycle.
    """
    seen: set[str] = set()
    for task, names in upstreams.items():
        if names and not seen.issuperset(names):
            return False
        seen.add(task)
    return True


def _are_tasks(tasks: object) -> bool:
    return isinstance(tasks, tuple) and all(isinstance(task, Task) for task in tasks)


def _has_graph(tasks: Sequence[Task]) -> bool:
    """Whether names are names, so far that a graph can be made of them."""
    names: list[object] = [task.name for task in tasks]
    if not all(isinstance(name, str) for name in names):
        return False
    upstreams: list[object] = [task.upstream for task in tasks if task.upstream]
    return all(
        isinstance(one, tuple) and all(isinstance(name, str) for name in one) for one in upstreams
    )
