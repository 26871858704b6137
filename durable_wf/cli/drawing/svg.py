"""SVG: a drawing that needs no program but a browser.

Owns: units, boxes and curves. Left to right, so that a wide fan-out makes a tall page, not a wide
one. No style sheet, no script: it can stand in a page of any content policy, and in a notebook.
Must never: tell a state by colour alone; each box has its word, its symbol and its line style.
Read next: `ascii.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from durable_wf.cli.drawing.layout import Layered, layered, places
from durable_wf.cli.drawing.picture import Picture, PictureNode
from durable_wf.cli.states import MARKS
from durable_wf.cli.terminal import cells, shorten

_MARGIN = 16
_TITLE = 34
_LETTER = 7.4
_BOX_LEAST, _BOX_MOST = 90, 290
_PAD = 14
_HEIGHT, _HEIGHT_PLAIN = 46, 32
_GAP = 14
_BETWEEN = 56
_FONT = "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif"
_DASHES = {
    "slant": ' stroke-dasharray="5 3"',
    "stadium": ' stroke-width="2.4"',
    "hexagon": ' stroke-width="2"',
}


def svg(picture: Picture) -> str:
    """An SVG document."""
    drawn = layered(len(picture.nodes), picture.edges)
    plain = all(node.state is None for node in picture.nodes)
    height = _HEIGHT_PLAIN if plain else _HEIGHT
    points = len(drawn.below) - drawn.real
    centre = places(drawn, [height] * drawn.real + [4] * points, _GAP)
    widths = [_width(node) for node in picture.nodes]
    left, total = _columns(drawn, widths)
    tall = max((place + height // 2 for place in centre), default=0) + _TITLE + 2 * _MARGIN
    wide = max(total + 2 * _MARGIN, round(cells(picture.title) * 8.6) + 2 * _MARGIN)
    body = [
        *_head(picture.title, wide, tall),
        f'<g transform="translate({_MARGIN} {_MARGIN + _TITLE})">',
        *_curves(drawn, centre, left, widths),
        *(
            _box(node, left[number], centre[number] - height // 2, widths[number], height)
            for number, node in enumerate(picture.nodes)
        ),
        "</g>",
        "</svg>",
    ]
    return "\n".join(body)


def _head(title: str, wide: int, tall: int) -> list[str]:
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide}" height="{tall}" '
        f'viewBox="0 0 {wide} {tall}" role="img" font-family="{_FONT}" font-size="13">'
    )
    heading = (
        f'<text x="{_MARGIN}" y="{_MARGIN + 12}" font-size="15" font-weight="600" '
        f'fill="#1b1f24">{escape(title)}</text>'
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#57606a"/></marker></defs>'
    )
    page = f'<rect width="{wide}" height="{tall}" fill="#ffffff"/>'
    return [opening, f"<title>{escape(title)}</title>", page, heading, tip]


def _width(node: PictureNode) -> int:
    letters = max(cells(node.label), cells(node.detail) + 2)
    return round(min(_BOX_MOST, max(_BOX_LEAST, letters * _LETTER + 2 * _PAD)))


def _columns(drawn: Layered, widths: Sequence[int]) -> tuple[list[int], int]:
    """Left edge of each node, and where the last column ends."""
    left = [0] * len(drawn.below)
    edge = 0
    for nodes in drawn.ranks:
        for node in nodes:
            left[node] = edge
        broad = max((widths[node] for node in nodes if node < drawn.real), default=0)
        edge += broad + _BETWEEN
    return left, max(0, edge - _BETWEEN)


def _curves(
    drawn: Layered, centre: Sequence[int], left: Sequence[int], widths: Sequence[int]
) -> list[str]:
    column = [0] * len(drawn.below)
    for nodes in drawn.ranks:
        broad = max((widths[n] for n in nodes if n < drawn.real), default=0)
        for node in nodes:
            column[node] = broad
    lines = []
    for source, targets in enumerate(drawn.below):
        real = source < drawn.real
        start = left[source] + (widths[source] if real else column[source])
        for target in targets:
            y1, y2, end = centre[source], centre[target], left[target]
            bend = left[source] + column[source]
            middle = (bend + end) // 2
            path = f"M{start} {y1}H{bend}C{middle} {y1} {middle} {y2} {end} {y2}"
            if target >= drawn.real:
                path += f"h{column[target]}"
            tip = ' marker-end="url(#tip)"' if target < drawn.real else ""
            lines.append(f'<path d="{path}" fill="none" stroke="#57606a"{tip}/>')
    return lines


def _box(node: PictureNode, x: int, y: int, width: int, height: int) -> str:
    room = int((width - 2 * _PAD) / _LETTER) + 1
    label = escape(shorten(node.label, room))
    full = escape(f"{node.label}: {node.detail}" if node.detail else node.label)
    if node.state is None:
        fill, line, text, dash, round_ = "#f6f8fa", "#57606a", "#1b1f24", "", 5
    else:
        mark = MARKS[node.state]
        fill, line, text = mark.fill, mark.line, mark.text
        dash = _DASHES.get(mark.shape, "")
        round_ = {"box": 0, "round": 9, "stadium": 20, "hexagon": 0, "slant": 3}[mark.shape]
    behind = ""
    if node.size > 1:
        behind = (
            f'<rect x="{x + 4}" y="{y + 4}" width="{width}" height="{height}" rx="{round_}" '
            f'fill="{fill}" stroke="{line}"/>'
        )
    middle = x + width // 2
    lines = f'<text x="{middle}" y="{y + height // 2 + 5}" text-anchor="middle" fill="{text}">'
    if node.state is None:
        words = f"{lines}{label}</text>"
    else:
        mark = MARKS[node.state]
        detail = escape(f"{mark.symbol} {shorten(node.detail, room - 2)}")
        words = (
            f'<text x="{middle}" y="{y + 19}" text-anchor="middle" fill="{text}">{label}</text>'
            f'<text x="{middle}" y="{y + 36}" text-anchor="middle" font-size="12" '
            f'fill="{line}">{detail}</text>'
        )
    return (
        f"<g><title>{full}</title>{behind}"
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="{round_}" '
        f'fill="{fill}" stroke="{line}"{dash}/>{words}</g>'
    )
