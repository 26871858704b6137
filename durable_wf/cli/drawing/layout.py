"""Where the boxes of a drawing stand: ranks, order inside each rank, and a place along it.

Owns: the layered layout. Ranks are longest paths; arrows over more than one rank pass through
invisible points, shared by all arrows of one box; a few barycentre sweeps untangle the order;
places are drawn towards their neighbours. SVG and characters use this layout with own units.
Must never: know what a box looks like beyond how broad it is.
Read next: `svg.py`, `ascii.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import attrs

_SWEEPS = 6


@attrs.frozen
class Layered:
    """`ranks` hold node numbers in order; numbers from `real` on are invisible points.

    `below` and `above` are the neighbours one rank further and one rank back.
    """

    real: int
    ranks: tuple[tuple[int, ...], ...]
    below: tuple[tuple[int, ...], ...]
    above: tuple[tuple[int, ...], ...]


def layered(count: int, edges: Sequence[tuple[int, int]]) -> Layered:
    """Ranks and order of `count` boxes (without cycles) joined by `edges`."""
    rank = _ranks(count, edges)
    below: list[list[int]] = [[] for _ in range(count)]
    points: dict[tuple[int, int], int] = {}
    for source, target in edges:
        node = source
        for at in range(rank[source] + 1, rank[target]):
            if (source, at) not in points:
                points[source, at] = len(rank)
                rank.append(at)
                below.append([])
                below[node].append(points[source, at])
            node = points[source, at]
        below[node].append(target)
    above: list[list[int]] = [[] for _ in rank]
    for node, targets in enumerate(below):
        for target in targets:
            above[target].append(node)
    ranks: list[list[int]] = [[] for _ in range(max(rank, default=-1) + 1)]
    for node, at in enumerate(rank):
        ranks[at].append(node)
    _untangle(ranks, below, above)
    return Layered(
        count,
        tuple(tuple(nodes) for nodes in ranks),
        tuple(tuple(nodes) for nodes in below),
        tuple(tuple(nodes) for nodes in above),
    )


def _ranks(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Longest path from a root to each box."""
    children: list[list[int]] = [[] for _ in range(count)]
    unmet = [0] * count
    for source, target in edges:
        children[source].append(target)
        unmet[target] += 1
    rank = [0] * count
    ready = [node for node in range(count) if unmet[node] == 0]
    for node in ready:  # grows while it is read
        for child in children[node]:
            rank[child] = max(rank[child], rank[node] + 1)
            unmet[child] -= 1
            if unmet[child] == 0:
                ready.append(child)
    return rank


def _untangle(
    ranks: list[list[int]], below: Sequence[Sequence[int]], above: Sequence[Sequence[int]]
) -> None:
    """Order each rank by the mean position of its neighbours, down and up; keep the best order."""
    best, fewest = [list(nodes) for nodes in ranks], _crossings(ranks, below)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        down = sweep % 2 == 0
        order = range(1, len(ranks)) if down else range(len(ranks) - 2, -1, -1)
        for at in order:
            near = ranks[at - 1 if down else at + 1]
            position = {node: float(i) for i, node in enumerate(near)}
            own = {node: float(i) for i, node in enumerate(ranks[at])}
            neighbours = above if down else below
            ranks[at].sort(key=_barycentre(neighbours, position, own))
        crossings = _crossings(ranks, below)
        if crossings < fewest:
            best, fewest = [list(nodes) for nodes in ranks], crossings
    ranks[:] = best


def _barycentre(
    neighbours: Sequence[Sequence[int]], position: dict[int, float], own: dict[int, float]
) -> Callable[[int], float]:
    def key(node: int) -> float:
        near = neighbours[node]
        return sum(position[n] for n in near) / len(near) if near else own[node]

    return key


def _crossings(ranks: Sequence[Sequence[int]], below: Sequence[Sequence[int]]) -> int:
    """Pairs of arrows that cross, counted with a Fenwick tree: O(arrows x log boxes)."""
    total = 0
    for at in range(len(ranks) - 1):
        position = {node: i for i, node in enumerate(ranks[at + 1])}
        tree = [0] * (len(position) + 1)
        seen = 0
        for node in ranks[at]:
            ends = sorted(position[target] for target in below[node])
            for end in ends:
                total += seen - _sum_up_to(tree, end)
            for end in ends:
                _add(tree, end)
                seen += 1
    return total


def _add(tree: list[int], index: int) -> None:
    index += 1
    while index < len(tree):
        tree[index] += 1
        index += index & -index


def _sum_up_to(tree: Sequence[int], index: int) -> int:
    index += 1
    total = 0
    while index > 0:
        total += tree[index]
        index -= index & -index
    return total


def places(drawn: Layered, breadth: Sequence[int], gap: int) -> list[int]:
    """The centre of each box along its rank, in the units of `breadth`; the smallest edge is at 0.

    Boxes keep their order and at least `gap` between them.
    """
    centre = [0.0] * len(drawn.below)
    for nodes in drawn.ranks:
        edge = 0.0
        for node in nodes:
            centre[node] = edge + breadth[node] / 2
            edge += breadth[node] + gap
    for sweep in range(8):
        down = sweep % 2 == 0
        for nodes in drawn.ranks if down else reversed(drawn.ranks):
            near = drawn.above if down else drawn.below
            wanted = [
                sum(centre[n] for n in near[node]) / len(near[node]) if near[node] else centre[node]
                for node in nodes
            ]
            for node, place in zip(nodes, _spread(nodes, wanted, breadth, gap), strict=True):
                centre[node] = place
    least = min((centre[n] - breadth[n] / 2 for n in range(len(centre))), default=0.0)
    return [round(place - least) for place in centre]


def _spread(
    nodes: Sequence[int], wanted: Sequence[float], breadth: Sequence[int], gap: int
) -> list[float]:
    """Places as near to `wanted` as order and gaps allow.

    Subtracting what the boxes before must take turns this into fitting a rising line, which pooling
    neighbours that are out of order solves (least squares).
    """
    offsets = [0.0]
    for one, two in pairwise(nodes):
        offsets.append(offsets[-1] + (breadth[one] + breadth[two]) / 2 + gap)
    pools: list[tuple[float, int]] = []
    for place, offset in zip(wanted, offsets, strict=True):
        total, size = place - offset, 1
        while pools and pools[-1][0] / pools[-1][1] > total / size:
            before = pools.pop()
            total, size = total + before[0], size + before[1]
        pools.append((total, size))
    line = [total / size for total, size in pools for _ in range(size)]
    return [at + offset for at, offset in zip(line, offsets, strict=True)]
