"""Graph: the shape of a sound workflow, by index.

Owns: the indexes that never change during a run: names, children, numbers of dependencies, the
longest remaining path. Tasks are numbered in the order of the definition.
Must never: know the state of a run; `state.py` holds that.
Read next: `state.py`.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from typing import Protocol

from durable_wf.core.resolver import DependencyResolver
from durable_wf.core.resources import Resources
from durable_wf.errors import DefinitionError


class Node(Protocol):
    """What a graph asks of a task."""

    @property
    def name(self) -> str:
        """Its name, which no other task has."""

    @property
    def upstream(self) -> tuple[str, ...]:
        """The tasks that must have ended first, without repeats."""

    @property
    def estimate_s(self) -> float | None:
        """How long it probably takes, in seconds; None where nobody has said."""

    @property
    def priority(self) -> int:
        """Higher comes first."""

    @property
    def resources(self) -> Resources:
        """What one attempt occupies."""


_NONE: tuple[int, ...] = ()

DEFAULT_ESTIMATE_S = 1.0
"""What a task is taken to last when nobody has measured or declared it."""


def estimate_of(node: Node) -> float:
    """Declared seconds of a task, or the default."""
    return DEFAULT_ESTIMATE_S if node.estimate_s is None else node.estimate_s


class Graph:
    """Indexes over the tasks of one definition. Raises DefinitionError if they are not sound."""

    __slots__ = ("children", "index", "names", "nodes", "order", "unmet", "upstream")

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.names = tuple([node.name for node in nodes])
        self.index = {name: i for i, name in enumerate(self.names)}
        if len(self.index) != len(nodes):
            twice = next(name for i, name in enumerate(self.names) if self.index[name] != i)
            raise DefinitionError(f"two tasks have the same name: {twice!r}")
        try:
            index = self.index
            self.upstream = tuple(
                [
                    tuple([index[name] for name in n.upstream]) if n.upstream else _NONE
                    for n in nodes
                ]
            )
        except KeyError:
            DependencyResolver({node.name: node.upstream for node in nodes}).check()
            raise
        self.unmet = array("i", map(len, self.upstream))
        self.children = self._children()
        self.order = self._order()

    def __len__(self) -> int:
        return len(self.names)

    def _children(self) -> tuple[tuple[int, ...], ...]:
        found: dict[int, list[int]] = {}
        for i, upstream in enumerate(self.upstream):
            for j in upstream:
                found.setdefault(j, []).append(i)
        return tuple([tuple(found[i]) if i in found else _NONE for i in range(len(self.names))])

    def _order(self) -> array[int]:
        """Indexes so that each comes after its upstreams."""
        unmet = array("i", self.unmet)
        order = array("i", (i for i, count in enumerate(unmet) if count == 0))
        for i in order:  # grows while it is read
            for child in self.children[i]:
                unmet[child] -= 1
                if unmet[child] == 0:
                    order.append(child)
        if len(order) != len(self.names):
            DependencyResolver({node.name: node.upstream for node in self.nodes}).check()
        return order

    def remaining(self, seconds: Callable[[int], float] | None = None) -> array[float]:
        """For each task, the longest path in seconds from its start to the end of the run.

        `seconds` gives the duration of a task by index; by default its estimate.
        """
        nodes, upstream = self.nodes, self.upstream
        length = array("d", bytes(8 * len(nodes)))
        after = array("d", length)  # the longest path of any child
        for i in reversed(self.order):
            own = estimate_of(nodes[i]) if seconds is None else seconds(i)
            length[i] = whole = own + after[i]
            for j in upstream[i]:
                after[j] = max(after[j], whole)
        return length

    def levels(self) -> list[list[int]]:
        """Indexes by level: those of one level depend only on earlier levels."""
        level = array("i", bytes(4 * len(self.names)))
        levels: list[list[int]] = []
        for i in self.order:
            level[i] = 1 + max((level[j] for j in self.upstream[i]), default=-1)
            if level[i] == len(levels):
                levels.append([])
            levels[level[i]].append(i)
        for found in levels:
            found.sort()
        return levels
