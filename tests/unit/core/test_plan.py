"""ExecutionPlan: a schedule that could be run, near the best, with the path that bounds it."""

from __future__ import annotations

from itertools import permutations

import pytest
import strategies
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import task

from durable_wf.core.graph import Graph, estimate_of
from durable_wf.core.plan import plan
from durable_wf.core.resources import Capacity, Resources
from durable_wf.errors import DefinitionError

ROOMY = Capacity(cpu=100, memory=10_000, gpu=20, pools={"db": 20})
TIGHT = Capacity(cpu=3, memory=1_000, gpu=2, pools={"db": 1, "api": 3})
NEAR = pytest.approx


@st.composite
def plain_tasks(draw, max_tasks=5):
    """Small graphs of one-core tasks of whole seconds."""
    graph = draw(strategies.upstreams(max_tasks))
    return [task(n, *ups, estimate_s=float(draw(st.integers(1, 4)))) for n, ups in graph.items()]


def _best_makespan(tasks, cores):
    """The best there is: all orders, each task as early as that order allows."""
    best = float("inf")
    for order in permutations(tasks):
        ends: dict[str, float] = {}
        free = [0.0] * cores
        for node in order:
            if not set(node.upstream) <= ends.keys():
                break
            free.sort()
            start = max(free[0], *(ends[up] for up in node.upstream), 0.0)
            free[0] = ends[node.name] = start + node.estimate_s
        else:
            best = min(best, max(ends.values()))
    return best


@settings(max_examples=60)
@given(plain_tasks(), st.integers(1, 3))
def test_the_makespan_is_near_the_best(tasks, cores):
    """No better than the best of all orders, and within the known bound of list scheduling."""
    made = plan(tasks, Capacity(cpu=cores))
    best = _best_makespan(tasks, cores)
    assert best <= made.makespan_s <= (2 - 1 / cores) * best


@given(strategies.workflows())
def test_the_plan_could_be_run(workflow):
    """No task starts before its upstreams end, and at no time is more used than there is."""
    made = plan(workflow.tasks, TIGHT)
    spans = {
        node.name: (start, start + estimate_of(node))
        for node, start in zip(workflow.tasks, made.starts_s, strict=True)
    }
    for node in workflow.tasks:
        now = spans[node.name][0]
        assert all(spans[up][1] <= now for up in node.upstream)
        used = [t.resources for t in workflow.tasks if spans[t.name][0] <= now < spans[t.name][1]]
        assert sum(r.cpu for r in used) <= TIGHT.cpu + 1e-9
        assert sum(r.memory for r in used) <= TIGHT.memory
        assert sum(r.gpu for r in used) <= TIGHT.gpu
        for pool, limit in TIGHT.pools.items():
            assert sum(dict(r.pools).get(pool, 0) for r in used) <= limit
    assert made.makespan_s == max(end for _, end in spans.values())


@given(strategies.workflows())
def test_bounds_that_no_capacity_can_beat(workflow):
    """With room for all it takes the critical path, with one core the sum of everything."""
    free = plan(workflow.tasks, ROOMY)
    tight = plan(workflow.tasks, TIGHT)
    one = plan([task(t.name, *t.upstream, estimate_s=t.estimate_s) for t in workflow.tasks],
               Capacity(cpu=1))  # fmt: skip
    assert free.makespan_s == NEAR(free.critical_s)
    assert tight.makespan_s >= tight.critical_s == free.critical_s
    assert one.makespan_s == NEAR(one.work_s)


def _paths(graph, index):
    yield from ([index, *rest] for child in graph.children[index] for rest in _paths(graph, child))
    if not graph.children[index]:
        yield [index]


@given(strategies.workflows(max_tasks=6))
def test_the_critical_path_is_the_longest_of_all(workflow):
    """Found by walking every path there is."""
    made = plan(workflow.tasks, TIGHT)
    graph = Graph(workflow.tasks)
    seconds = lambda path: sum(estimate_of(workflow.tasks[i]) for i in path)
    longest = max(
        seconds(path)
        for i in range(len(graph))
        if not graph.upstream[i]
        for path in _paths(graph, i)
    )
    found = [graph.index[name] for name in made.critical_path]
    assert made.critical_s == longest == seconds(found)
    assert found in list(_paths(graph, found[0]))


def test_batches_are_the_levels():
    """What may run side by side, in order."""
    made = plan([task("c", "a", "b"), task("a"), task("b"), task("d")], ROOMY)
    assert made.batches == (("a", "b", "d"), ("c",))


def test_a_task_that_can_never_run_is_an_error():
    """With what it needs and what there is."""
    with pytest.raises(DefinitionError, match="task 'a' needs 4 cpu of 3"):
        plan([task("a", resources=Resources(cpu=4))], TIGHT)


@given(strategies.workflows())
def test_a_plan_for_nothing_in_particular_is_as_short_as_its_critical_path(workflow):
    """There is room for all tasks at once."""
    made = workflow.plan()
    assert made.makespan_s == NEAR(made.critical_s)


def test_a_plan_looks_past_however_many_that_wait_for_a_pool():
    """One that needs none of it starts at once."""
    api = Resources(pools=(("api", 1),))
    tasks = [*(task(f"a{k}", resources=api, estimate_s=9.0) for k in range(100)), task("free")]
    made = plan(tasks, Capacity(cpu=2, pools={"api": 1}))
    assert made.starts_s[-1] == 0.0


def test_a_task_that_needs_no_core_runs_too():
    """Also where there is no core to have."""
    made = plan([task("a", resources=Resources(cpu=0)), task("b", "a", resources=Resources(cpu=0))],
                Capacity(cpu=0))  # fmt: skip
    assert made.makespan_s == 2.0


def test_all_that_ends_at_one_time_ends_before_anything_starts():
    """Else the core freed first would go to the less important of two tasks."""
    tasks = [
        task("a"),
        task("b"),
        task("low", priority=-1),
        task("high", "a", "b", priority=9),
        task("next", "b", priority=9),
    ]
    assert plan(tasks, Capacity(cpu=2)).starts_s == (0.0, 0.0, 2.0, 1.0, 1.0)
