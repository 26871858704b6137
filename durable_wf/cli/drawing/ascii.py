"""Characters: a drawing for the terminal, top to bottom, with lines between boxes.

Owns: boxes, rank by rank, and the list by level that stands in for a drawing too wide for the
screen. `channel.py` draws the lines between ranks.
Must never: draw what cannot be told apart without colour.
Read next: `channel.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from durable_wf.cli.drawing.channel import Net, channel
from durable_wf.cli.drawing.layout import Layered, layered, places
from durable_wf.cli.drawing.picture import Picture, PictureNode
from durable_wf.cli.states import MARKS
from durable_wf.cli.terminal import Look, cells, pad, shorten

_LABEL_MOST = 34


def ascii_art(picture: Picture, look: Look, *, width: int) -> str | None:
    """The drawing, in lines of at most `width` cells; None when it would be wider."""
    drawn = layered(len(picture.nodes), picture.edges)
    boxes = [_Box.of(node, look) for node in picture.nodes]
    points = len(drawn.below) - drawn.real
    breadth = [box.width for box in boxes] + [1] * points
    centre = places(drawn, breadth, 2)
    broad = max((c + b // 2 + 1 for c, b in zip(centre, breadth, strict=True)), default=0)
    if broad > width:
        return None
    art = _Art(drawn, boxes, centre, look)
    return "\n".join([picture.title, "", *art.lines()])


@attrs.frozen
class _Box:
    lines: tuple[str, ...]
    styles: tuple[str, ...]
    width: int

    @classmethod
    def of(cls, node: PictureNode, look: Look) -> _Box:
        lines = [shorten(node.label, _LABEL_MOST, symbols=look.symbols)]
        styles = [""]
        if node.state is not None:
            mark = MARKS[node.state]
            symbol = mark.symbol if look.symbols else mark.plain
            lines.append(f"{symbol} {shorten(node.detail, _LABEL_MOST, symbols=look.symbols)}")
            styles.append(mark.colour)
        # Odd, so that a line can enter in the middle.
        width = max(cells(line) for line in lines) + 4
        return cls(tuple(lines), tuple(styles), width + 1 - width % 2)


class _Art:
    """Draws rank after rank, and a channel after each."""

    def __init__(
        self, drawn: Layered, boxes: Sequence[_Box], centre: Sequence[int], look: Look
    ) -> None:
        self._drawn = drawn
        self._boxes = boxes
        self._centre = centre
        self._look = look

    def lines(self) -> list[str]:
        out: list[str] = []
        for at, nodes in enumerate(self._drawn.ranks):
            out += self._row(nodes)
            if at + 1 < len(self._drawn.ranks):
                out += channel(self._nets(nodes), self._look)
        return [line.rstrip() for line in out]

    def _row(self, nodes: Sequence[int]) -> list[str]:
        """The boxes of a rank side by side; lines that pass go straight down."""
        real = [n for n in nodes if n < self._drawn.real]
        inner = max((len(self._boxes[n].lines) for n in real), default=0)
        rows = [""] * (inner + 2 if real else 1)
        used = 0
        for node in nodes:
            if node >= self._drawn.real:
                parts = ["│" if self._look.symbols else "|"] * len(rows)
                start, width = self._centre[node], 1
            else:
                box = self._boxes[node]
                parts, width = self._frame(box, inner), box.width
                start = self._centre[node] - width // 2
            rows = [
                row + " " * (start - used) + part for row, part in zip(rows, parts, strict=True)
            ]
            used = start + width
        return rows

    def _frame(self, box: _Box, inner: int) -> list[str]:
        corners, bar, side = ("┌┐└┘", "─", "│") if self._look.symbols else ("++++", "-", "|")
        bars = bar * (box.width - 2)
        middle = []
        for line, style in zip(box.lines, box.styles, strict=True):
            filled = pad(line, box.width - 4)
            middle.append(f"{side} {self._look.paint(filled, style)} {side}")
        blank = f"{side}{' ' * (box.width - 2)}{side}"
        middle += [blank] * (inner - len(middle))
        return [corners[0] + bars + corners[1], *middle, corners[2] + bars + corners[3]]

    def _nets(self, nodes: Sequence[int]) -> list[Net]:
        """Lines from this rank to the next: one for all boxes that have the same targets."""
        groups: dict[frozenset[int], list[int]] = {}
        for node in nodes:
            if self._drawn.below[node]:
                groups.setdefault(frozenset(self._drawn.below[node]), []).append(node)
        entering: dict[int, int] = {}
        for targets in groups:
            for target in targets:
                entering[target] = entering.get(target, 0) + 1
        taken: dict[int, int] = {}
        real = self._drawn.real
        exits = {self._centre[node] for node in nodes if self._drawn.below[node]}
        nets = []
        for targets, sources in groups.items():
            own = {self._centre[node] for node in sources}
            doors = {}
            for target in sorted(targets, key=lambda n: self._centre[n]):
                turn = taken[target] = taken.get(target, -1) + 1
                doors[self._door(target, turn, entering[target], exits - own)] = target < real
            heads = frozenset(x for x, arrow in doors.items() if arrow)
            nets.append(Net(tuple(sorted(own)), tuple(doors), heads))
        return nets

    def _door(self, target: int, turn: int, total: int, avoid: set[int]) -> int:
        """Where line `turn` of `total` enters a box: spread out, not under a stranger's exit."""
        centre = self._centre[target]
        if target >= self._drawn.real:
            return centre
        half = self._boxes[target].width // 2 - 1
        step = min(4, 2 * half // max(1, total - 1))
        wish = centre + turn * step - (total - 1) * step // 2
        wish = min(centre + half, max(centre - half, wish))
        near = sorted(range(centre - half, centre + half + 1), key=lambda x: abs(x - wish))
        return next((x for x in near if x not in avoid), wish)


def listing(picture: Picture, look: Look) -> str:
    """The graph as a list by level, each box with what it waits for: fits any width."""
    drawn = layered(len(picture.nodes), picture.edges)
    upstream: dict[int, list[str]] = {}
    for source, target in picture.edges:
        upstream.setdefault(target, []).append(picture.nodes[source].label)
    arrow = "←" if look.symbols else "<-"
    lines = [picture.title]
    for number, nodes in enumerate(drawn.ranks):
        lines.append(look.paint(f"level {number + 1}", "bold"))
        for node in (n for n in nodes if n < drawn.real):
            box = picture.nodes[node]
            line = f"  {box.label}"
            if box.state is not None:
                mark = MARKS[box.state]
                symbol = mark.symbol if look.symbols else mark.plain
                line = f"  {look.paint(symbol, mark.colour)} {box.label}  {box.detail}"
            if waits := upstream.get(node):
                more = f" and {len(waits) - 4} more" if len(waits) > 4 else ""
                line += look.paint(f"  {arrow} {', '.join(waits[:4])}{more}", "dim")
            lines.append(line)
    return "\n".join(lines)
