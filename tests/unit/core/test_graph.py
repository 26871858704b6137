"""Graph: indexes over a sound definition."""

from __future__ import annotations

import pytest
import strategies
from hypothesis import given
from strategies import task

from durable_wf.core.graph import DEFAULT_ESTIMATE_S, Graph, estimate_of
from durable_wf.core.resolver import DependencyResolver
from durable_wf.errors import CycleError, DefinitionError


@given(strategies.workflows())
def test_indexes_say_the_same_as_names(workflow):
    """Upstream, children and counts, by the order of the definition."""
    graph = Graph(workflow.tasks)
    names = [task.name for task in workflow.tasks]
    for at, node in enumerate(workflow.tasks):
        assert [names[i] for i in graph.upstream[at]] == list(node.upstream)
        assert graph.unmet[at] == len(node.upstream)
        children = [other.name for other in workflow.tasks if node.name in other.upstream]
        assert [names[i] for i in graph.children[at]] == children
        assert graph.index[node.name] == at
    assert len(graph) == len(names)


@given(strategies.workflows())
def test_order_and_levels_are_those_of_the_resolver(workflow):
    """Two implementations, one answer."""
    graph = Graph(workflow.tasks)
    resolver = DependencyResolver({task.name: task.upstream for task in workflow.tasks})
    levels = [[graph.names[i] for i in level] for level in graph.levels()]
    place = {index: at for at, index in enumerate(graph.order)}
    assert levels == resolver.levels()
    assert sorted(graph.order) == list(range(len(graph)))
    assert all(place[up] < place[i] for i in range(len(graph)) for up in graph.upstream[i])


def _longest(graph, index):
    own = estimate_of(graph.nodes[index])
    return own + max((_longest(graph, child) for child in graph.children[index]), default=0.0)


@given(strategies.workflows())
def test_remaining_is_the_longest_way_to_the_end(workflow):
    """From the start of a task, its own time included."""
    graph = Graph(workflow.tasks)
    assert list(graph.remaining()) == [_longest(graph, i) for i in range(len(graph))]


def test_remaining_takes_measured_durations():
    """Where they are known they win over estimates."""
    graph = Graph([task("a", estimate_s=1.0), task("b", "a")])
    assert list(graph.remaining()) == [1.0 + DEFAULT_ESTIMATE_S, DEFAULT_ESTIMATE_S]
    assert list(graph.remaining(lambda index: (5.0, 7.0)[index])) == [12.0, 7.0]


def test_an_unsound_definition_is_refused():
    """Twice the same name, unknown names, circles."""
    with pytest.raises(DefinitionError, match="two tasks have the same name: 'a'"):
        Graph([task("a"), task("b"), task("a")])
    with pytest.raises(DefinitionError, match="did you mean 'load'"):
        Graph([task("load"), task("b", "laod")])
    with pytest.raises(CycleError) as caught:
        Graph([task("a", "b"), task("b", "a")])
    assert caught.value.path == ("a", "b", "a")


def test_long_chains_and_wide_fans_are_ordinary():
    """100,000 tasks: no recursion, and the answer is right at the far end."""
    size = 100_000
    chain = Graph([task(f"t{k}", *([f"t{k - 1}"] if k else [])) for k in range(size)])
    fan = Graph([task("root"), *(task(f"t{k}", "root") for k in range(size - 1))])

    assert chain.remaining()[0] == size * DEFAULT_ESTIMATE_S
    assert [len(level) for level in fan.levels()] == [1, size - 1]
    assert len(fan.children[0]) == size - 1
    assert chain.levels()[-1] == [size - 1]
