"""What is drawn: nodes and edges of a workflow, with big fan-outs folded into one node.

Owns: Picture and the folding. Four steps, the first whose result is small enough is taken: every
task; twins (same upstream, same downstream) as one; tasks of one level and one stem of the name as
one; and whole stretches of levels as one. Folding never makes a cycle, since each group lies
inside one level or a stretch of levels.
Must never: know coordinates or formats.
Read next: `layout.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from itertools import takewhile

import attrs

from durable_wf.cli.names import stem
from durable_wf.cli.states import MARKS, WEIGHT, TaskShown
from durable_wf.cli.terminal import one_line
from durable_wf.core.definition import Workflow
from durable_wf.core.graph import Graph

DEFAULT_LIMIT = 60
"""Nodes that a drawing has at most, unless told otherwise."""


@attrs.frozen
class PictureNode:
    """A box: one task, or `size` of them. `state` is None where no run is looked at.

    `label` is the name, `detail` says the state in words ("succeeded", "9 of 10 succeeded").
    """

    label: str
    detail: str
    state: TaskShown | None
    size: int = 1


@attrs.frozen
class Picture:
    """Boxes, and arrows between them by index; `title` names what is drawn."""

    title: str
    nodes: tuple[PictureNode, ...]
    edges: tuple[tuple[int, int], ...]


def picture(
    workflow: Workflow,
    states: Mapping[str, TaskShown] | None = None,
    *,
    limit: int = DEFAULT_LIMIT,
    title: str = "",
) -> Picture:
    """The picture of a workflow, of at most about `limit` boxes."""
    graph = Graph(workflow.tasks)
    groups: list[list[int]] = [[i] for i in range(len(graph))]
    for fold in (_twins, _stems, partial(_stretches, limit=limit)):
        if len(groups) <= limit:
            break
        groups = fold(graph)
    home = {i: g for g, members in enumerate(groups) for i in members}
    edges = dict.fromkeys(
        (home[j], home[i])
        for i in range(len(graph))
        for j in graph.upstream[i]
        if home[j] != home[i]
    )
    nodes = [_node([graph.names[i] for i in members], states) for members in groups]
    return Picture(one_line(title or workflow.name), tuple(nodes), tuple(edges))


def _grouped(count: int, key: Callable[[int], Hashable]) -> list[list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for i in range(count):
        groups.setdefault(key(i), []).append(i)
    return list(groups.values())


def _twins(graph: Graph) -> list[list[int]]:
    return _grouped(
        len(graph), lambda i: (graph.upstream[i], graph.children[i], stem(graph.names[i]))
    )


def _stems(graph: Graph) -> list[list[int]]:
    level = _level_of(graph)
    return _grouped(len(graph), lambda i: (level[i], stem(graph.names[i])))


def _stretches(graph: Graph, limit: int) -> list[list[int]]:
    level = _level_of(graph)
    each = -(-(max(level.values()) + 1) // max(1, limit))
    return _grouped(len(graph), lambda i: level[i] // each)


def _level_of(graph: Graph) -> dict[int, int]:
    return {i: number for number, level in enumerate(graph.levels()) for i in level}


def _node(names: Sequence[str], states: Mapping[str, TaskShown] | None) -> PictureNode:
    label = one_line(names[0] if len(names) == 1 else _group_label(names))
    if states is None:
        return PictureNode(label, "", None, len(names))
    counts = Counter(states[name] for name in names)
    if len(names) == 1:
        state = states[names[0]]
        return PictureNode(label, MARKS[state].word, state)
    state = max(counts, key=lambda s: WEIGHT[s])
    ordered = sorted(counts.items(), key=lambda pair: -WEIGHT[pair[0]])
    detail = ", ".join(f"{count} {MARKS[s].word}" for s, count in ordered)
    return PictureNode(label, detail, state, len(names))


def _group_label(names: Sequence[str]) -> str:
    stems = list(dict.fromkeys(stem(name) for name in names))
    if len(stems) == 1:
        return f"{stems[0]} x {len(names)}"
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*stems, strict=False))
    common = "".join(letters[0] for letters in alike).rstrip("_-. [")
    if len(common) >= 3:
        return f"{common}... x {len(names)}"
    return f"{names[0]} ... {names[-1]} ({len(names)} tasks)"
