"""DependencyResolver: order, levels, cycles, unknown names; and what it costs."""

from __future__ import annotations

import graphlib
from itertools import pairwise

import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.resolver import DependencyResolver, nearest
from durable_wf.errors import CycleError, DefinitionError

NAMES = [f"t{number}" for number in range(7)]
ANY_GRAPH = st.permutations(NAMES).flatmap(
    lambda names: st.fixed_dictionaries(
        {name: st.lists(st.sampled_from(NAMES), max_size=2, unique=True) for name in names}
    )
)
MAYBE_UNKNOWN = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from([*NAMES, "x"]), max_size=2, unique=True)
)


def _depth(graph, name):
    return 1 + max((_depth(graph, upstream) for upstream in graph[name]), default=-1)


def _startable(graph):
    """Tasks that could start, found by trying until nothing changes."""
    found: set[str] = set()
    while True:
        more = {name for name, ups in graph.items() if set(ups) <= found} - found
        if not more:
            return found
        found |= more


@given(strategies.upstreams())
def test_levels_are_the_lengths_of_the_longest_ways_to_a_task(graph):
    """And within a level the order is that of adding."""
    levels = DependencyResolver(graph).levels()
    depth = {name: _depth(graph, name) for name in graph}
    expected = [[name for name in graph if depth[name] == d] for d in range(len(levels))]
    assert levels == expected
    assert sum(map(len, levels)) == len(graph)


@given(strategies.upstreams())
def test_order_is_topological_and_complete(graph):
    """As the standard library's own sorter has it."""
    order = DependencyResolver(graph).order()
    assert sorted(order) == sorted(graphlib.TopologicalSorter(graph).static_order())
    place = {name: at for at, name in enumerate(order)}
    assert all(place[up] < place[name] for name, ups in graph.items() for up in ups)


@given(ANY_GRAPH)
def test_a_cycle_is_found_exactly_where_there_is_one(graph):
    """The path is a real one, of distinct tasks, closed, in the direction of the data."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
        cyclic = False
    except graphlib.CycleError:
        cyclic = True
    paths = DependencyResolver(graph).cycles()
    assert bool(paths) == cyclic
    assert DependencyResolver(graph).cycle() == (paths[0] if paths else None)
    for path in paths:
        assert path[0] == path[-1]
        assert len(set(path)) == len(path) - 1
        assert all(before in graph[after] for before, after in pairwise(path))


def _ancestors(graph, name):
    found, ahead = set(), [name]
    while ahead:
        new = set(graph[ahead.pop()]) - found
        found |= new
        ahead += new
    return found


@given(ANY_GRAPH)
def test_tasks_that_feed_each_other_have_one_cycle_told_and_others_have_another(graph):
    """Each knot of tasks once, in the order of adding, by a cycle through its first task."""
    above = {name: _ancestors(graph, name) for name in graph}
    tied = [name for name in graph if name in above[name]]
    knots = dict.fromkeys(
        tuple(other for other in tied if name in above[other] and other in above[name])
        for name in tied
    )
    paths = DependencyResolver(graph).cycles()
    assert [path[0] for path in paths] == [knot[0] for knot in knots]
    assert all(set(path) <= set(knot) for path, knot in zip(paths, knots, strict=True))


@given(MAYBE_UNKNOWN)
def test_unreachable_is_what_could_never_start(graph):
    """On or behind a cycle, or behind an unknown name."""
    found = DependencyResolver(graph).unreachable()
    assert found == [name for name in graph if name not in _startable(graph)]


@given(MAYBE_UNKNOWN)
def test_check_objects_exactly_to_what_is_unsound(graph):
    """Unknown names first, then a cycle, else nothing."""
    unknown = any(up not in graph for ups in graph.values() for up in ups)
    sound = len(_startable(graph)) == len(graph)
    expected = DefinitionError if unknown else None if sound else CycleError
    try:
        DependencyResolver(graph).check()
        raised = None
    except DefinitionError as error:
        raised = type(error)
    assert raised is expected


def test_a_cycle_is_told_with_its_path():
    """The error names the tasks in the direction of the data."""
    graph = {"a": [], "b": ["a", "d"], "c": ["b"], "d": ["c"]}
    with pytest.raises(CycleError) as caught:
        DependencyResolver(graph).check()
    assert caught.value.path == ("b", "c", "d", "b")
    assert "b -> c -> d -> b" in str(caught.value)


def test_each_of_several_cycles_is_told():
    """All there is to mend at once; a task between two of them is on none."""
    graph = {
        "a": ["b"],
        "b": ["a"],
        "m": ["a"],
        "x": ["y", "m"],
        "y": ["x"],
        "s": ["s"],
        "z": ["y"],
    }
    with pytest.raises(CycleError) as caught:
        DependencyResolver(graph).check()
    assert caught.value.path == ("a", "b", "a")
    assert caught.value.paths == (("a", "b", "a"), ("x", "y", "x"), ("s", "s"))
    assert str(caught.value) == (
        "tasks depend on each other in 3 circles\n  - a -> b -> a\n  - x -> y -> x\n  - s -> s\n"
        "  hint: remove one dependency of each"
    )


def test_of_very_many_cycles_the_first_are_told():
    graph = {f"t{number}": [f"t{number}"] for number in range(1_000)}
    with pytest.raises(CycleError) as caught:
        DependencyResolver(graph).check()
    assert len(caught.value.paths) == 1_000
    assert len(str(caught.value).splitlines()) < 30
    assert "(980 more)" in str(caught.value)


def test_a_task_that_depends_on_itself_is_a_cycle():
    """The shortest there is."""
    assert DependencyResolver({"a": ["a"]}).cycle() == ("a", "a")


def test_unknown_names_are_told_together_with_what_was_probably_meant():
    """All problems at once; no guess where nothing is like the name."""
    graph = {"extract": [], "load": ["extarct", "quite_other"], "mail": ["laod"]}
    with pytest.raises(DefinitionError) as caught:
        DependencyResolver(graph).check()
    assert caught.value.problems == (
        "task 'load' depends on 'extarct', which does not exist; did you mean 'extract'?",
        "task 'load' depends on 'quite_other', which does not exist",
        "task 'mail' depends on 'laod', which does not exist; did you mean 'load'?",
    )
    assert nearest("zzz", graph) == ""


# --- cost ---------------------------------------------------------------------------------------


class Name(str):
    """A name that counts how often it is looked up."""

    __slots__ = ()
    looked_up = 0

    def __hash__(self):
        Name.looked_up += 1
        return str.__hash__(self)


def _chain(size, first=()):
    names = [Name(f"t{number}") for number in range(size)]
    return {name: (names[at - 1],) if at else tuple(first) for at, name in enumerate(names)}


def _fan_out(size):
    root = Name("root")
    return {root: (), **{Name(f"t{number}"): (root,) for number in range(size - 1)}}


def _behind_a_cycle(size):
    """The tasks that come first are all behind the cycle that comes last."""
    one, two = Name("one"), Name("two")
    return {**_chain(size - 2, first=(two,)), one: (two,), two: (one,)}


def _one_large_knot(size):
    """Each task feeds the next two, the last ones the first."""
    names = [Name(f"t{number}") for number in range(size)]
    return {name: (names[at - 1], names[at - 2]) for at, name in enumerate(names)}


def _many_knots(size):
    """Pairs that feed each other, each pair behind the one before."""
    names = [Name(f"t{number}") for number in range(size)]
    return {name: (names[at ^ 1], names[at - 2]) if at > 1 else (names[at ^ 1],)
            for at, name in enumerate(names)}  # fmt: skip


def _behind_an_unknown(size):
    return _chain(size, first=(Name("nobody"),))


SHAPES = [_chain, _fan_out, _behind_a_cycle, _one_large_knot, _many_knots, _behind_an_unknown]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_question_costs_a_fixed_number_of_look_ups_a_task(shape):
    """In graphs of 1,000 and of 20,000 tasks alike, and without recursion."""
    costs = []
    for size in (1_000, 20_000):
        graph = shape(size)
        Name.looked_up = 0
        resolver = DependencyResolver(graph)
        assert len(resolver.order()) + len(resolver.unreachable()) == size
        resolver.cycles()
        assert len(resolver.unknown()) <= 1
        costs.append(Name.looked_up / size)
    assert costs[1] <= costs[0] * 1.05 < 80
