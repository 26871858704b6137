"""ExecutionPlan: what a run would look like on given resources, without running anything.

Owns: the plan and the simulation behind it (list scheduling by priority, then longest remaining
path, the same order that `scheduler.py` uses).
Must never: promise; a plan is made of estimates.
Read next: `scheduler.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import attrs

from durable_wf.core.graph import Graph, Node, estimate_of
from durable_wf.core.lines import Lines
from durable_wf.core.resources import Capacity, Grant, Ledger
from durable_wf.errors import DefinitionError


@attrs.frozen
class ExecutionPlan:
    """`batches`: tasks that may run side by side, in order. `critical_path`: the chain of tasks
    that no number of workers can shorten, `critical_s` its length. `makespan_s`: how long the run
    takes on the given capacity; `work_s`: the sum of all tasks. Seconds, from estimates.
    """

    batches: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    critical_s: float
    makespan_s: float
    work_s: float
    starts_s: tuple[float, ...]
    """when each task would start, in the order of the definition"""


def plan(nodes: Sequence[Node], capacity: Capacity) -> ExecutionPlan:
    """Plan a workflow's tasks. Raises DefinitionError for a task that could never be admitted."""
    graph = Graph(nodes)
    for node in nodes:
        if lack := capacity.lacks(node.resources):
            raise DefinitionError(f"task {node.name!r} needs {lack}")
    remaining = graph.remaining()
    starts, makespan = _simulate(graph, remaining, capacity)
    path = _critical(graph, remaining)
    return ExecutionPlan(
        batches=tuple(tuple(graph.names[i] for i in level) for level in graph.levels()),
        critical_path=tuple(graph.names[i] for i in path),
        critical_s=max(remaining, default=0.0),
        makespan_s=makespan,
        work_s=sum(estimate_of(node) for node in nodes),
        starts_s=tuple(starts),
    )


def _critical(graph: Graph, remaining: Sequence[float]) -> list[int]:
    roots = [i for i in range(len(graph)) if not graph.upstream[i]]
    path: list[int] = []
    candidates: Sequence[int] = roots
    while candidates:
        longest = max(candidates, key=lambda i: (remaining[i], -i))
        path.append(longest)
        candidates = graph.children[longest]
    return path


def _simulate(
    graph: Graph, remaining: Sequence[float], capacity: Capacity
) -> tuple[list[float], float]:
    """First fit in priority order; returns the start of each task and the end of the last."""
    ledger = Ledger(capacity)
    unmet = list(graph.unmet)
    starts = [0.0] * len(graph)
    lines = Lines()

    def line_up(index: int) -> None:
        node = graph.nodes[index]
        lines.push(node.resources, (-node.priority, -remaining[index], index, 0, index))

    for index, n in enumerate(unmet):
        if n == 0:
            line_up(index)
    ends: list[tuple[float, int]] = []
    grants: dict[int, Grant] = {}
    now = 0.0
    while lines or ends:
        with lines.walk() as walk:
            while (ledger.has_cpu() or not ends) and (here := walk.next()):
                (*_, index), line = here
                if not ledger.fits(line.need):
                    walk.leave()
                    continue
                walk.take()
                grants[index] = ledger.take(line.need)
                starts[index] = now
                heapq.heappush(ends, (now + estimate_of(graph.nodes[index]), index))
        now = ends[0][0]
        while ends and ends[0][0] == now:  # all that end now, before anything starts
            ended = heapq.heappop(ends)[1]
            ledger.give(grants.pop(ended))
            for child in graph.children[ended]:
                unmet[child] -= 1
                if unmet[child] == 0:
                    line_up(child)
    return starts, now
