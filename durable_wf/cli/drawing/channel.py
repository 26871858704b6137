"""The lines between two ranks of a drawing in characters.

Owns: routing. Boxes with the same targets share one line; every bent line gets a row where it can
run level, and lines of different origin that cross do not join.
Must never: know about boxes; it is given the columns where lines leave and enter.
Read next: `text.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from durable_wf.cli.terminal import Look

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = {
    _UP | _DOWN: "│|",
    _UP: "│|",
    _DOWN: "│|",
    _LEFT | _RIGHT: "─-",
    _LEFT: "─-",
    _RIGHT: "─-",
    _DOWN | _RIGHT: "┌+",
    _DOWN | _LEFT: "┐+",
    _UP | _RIGHT: "└+",
    _UP | _LEFT: "┘+",
    _UP | _DOWN | _RIGHT: "├+",
    _UP | _DOWN | _LEFT: "┤+",
    _LEFT | _RIGHT | _DOWN: "┬+",
    _LEFT | _RIGHT | _UP: "┴+",
    _UP | _DOWN | _LEFT | _RIGHT: "┼+",
}

_Grid = list[dict[int, tuple[int, int]]]
"""Row -> column -> directions drawn there, and the line that owns the place."""


@attrs.frozen
class Net:
    """One line: the columns where it leaves boxes above and where it enters boxes below.

    `heads` are the doors with an arrow head; at the others the line passes on to a later rank.
    """

    exits: tuple[int, ...]
    doors: tuple[int, ...]
    heads: frozenset[int]

    @property
    def straight(self) -> bool:
        """Whether it only goes down."""
        return self.exits == self.doors and len(self.exits) == 1

    @property
    def reach(self) -> tuple[int, int]:
        """Its leftmost and rightmost column."""
        ends = (*self.exits, *self.doors)
        return min(ends), max(ends)


def channel(nets: Sequence[Net], look: Look) -> list[str]:
    """The rows between two ranks. Each bent line has a row of its own, or shares one that it does
    not touch; a line whose way down is under another's way in goes first.
    """
    bent = sorted((n for n in nets if not n.straight), key=lambda net: net.reach)
    tracks = _tracks(bent)
    height = max(tracks, default=-1) + 1
    grid: _Grid = [{} for _ in range(height + 2)]
    for number, net in enumerate(nets):
        if net.straight:
            for row in range(len(grid)):
                _mark(grid, row, net.exits[0], _UP | _DOWN, number)
    for net, track in zip(bent, tracks, strict=True):
        _draw(grid, net, track + 1, nets.index(net))
    width = max((max(net.reach) for net in nets), default=0) + 1
    rows: list[list[str]] = []
    kind = 0 if look.symbols else 1
    for strokes in grid:
        line = [" "] * width
        for x, (bits, _) in strokes.items():
            line[x] = _LINES[bits][kind]
        rows.append(line)
    for x in (x for net in nets for x in net.heads):
        rows[-1][x] = "▼v"[kind]
    return ["".join(line) for line in rows]


def _tracks(nets: Sequence[Net]) -> list[int]:
    """A row for each line: below those it must not be drawn over, else the first with room."""
    after: dict[int, set[int]] = {i: set() for i in range(len(nets))}
    for i, one in enumerate(nets):
        for j, two in enumerate(nets):
            # Where one leaves the column in which two enters, one must turn away first.
            if i != j and set(one.exits) & set(two.doors):
                after[j].add(i)
    rows: list[list[tuple[int, int]]] = []
    placed: dict[int, int] = {}
    waiting = list(range(len(nets)))
    while waiting:
        free = [j for j in waiting if after[j] <= placed.keys()]
        j = free[0] if free else waiting[0]
        waiting.remove(j)
        low, high = nets[j].reach
        row = 1 + max((placed[i] for i in after[j] if i in placed), default=-1)
        while row < len(rows) and any(low <= b and a <= high for a, b in rows[row]):
            row += 1
        while row >= len(rows):
            rows.append([])
        rows[row].append((low, high))
        placed[j] = row
    return [placed[i] for i in range(len(nets))]


def _draw(grid: _Grid, net: Net, track: int, number: int) -> None:
    for x in net.exits:
        for row in range(track):
            _mark(grid, row, x, _UP | _DOWN, number)
        _mark(grid, track, x, _UP, number)
    for x in net.doors:
        for row in range(track + 1, len(grid)):
            _mark(grid, row, x, _UP | _DOWN, number)
        _mark(grid, track, x, _DOWN, number)
    low, high = net.reach
    for x in range(low, high + 1):
        bits = (_LEFT if x > low else 0) | (_RIGHT if x < high else 0)
        _mark(grid, track, x, bits, number)


def _mark(grid: _Grid, row: int, x: int, bits: int, number: int) -> None:
    """Add a stroke; of two lines that cross, the upright one is drawn over the level one."""
    if not bits:
        return
    old, owner = grid[row].get(x, (0, number))
    if owner == number:
        grid[row][x] = (old | bits, number)
    elif bits & (_UP | _DOWN) and not old & (_UP | _DOWN):
        grid[row][x] = (bits, number)
