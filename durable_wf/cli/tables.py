"""Plain tables: aligned columns, one row a line, cut to the width of the terminal.

Owns: the layout of tables. A column that is marked flexible gives way first.
Must never: know what is shown.
Read next: `commands/list.py`, which prints one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from durable_wf.cli.terminal import Look, cells, one_line, shorten


@attrs.frozen
class Column:
    """A column. `flexible` ones are shortened first, `least` is the width they keep."""

    title: str
    right: bool = False
    flexible: bool = False
    least: int = 8


@attrs.frozen
class Cell:
    """Text with a colour."""

    text: str
    style: str = ""


def table(columns: Sequence[Column], rows: Iterable[Sequence[Cell | str]], look: Look) -> list[str]:
    """The lines of a table, head line first."""
    body = [[c if isinstance(c, Cell) else Cell(c) for c in row] for row in rows]
    body = [[Cell(one_line(c.text), c.style) for c in row] for row in body]
    widths = [
        max([cells(column.title), *(cells(row[i].text) for row in body)])
        for i, column in enumerate(columns)
    ]
    if look.width is not None:
        _squeeze(widths, columns, look.width)
    head = [Cell(column.title, "dim") for column in columns]
    return [_line(row, columns, widths, look) for row in [head, *body]]


def _squeeze(widths: list[int], columns: Sequence[Column], width: int) -> None:
    """Take what is too much from the widest flexible column, again and again."""
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    while excess > 0:
        wide = [i for i, c in enumerate(columns) if c.flexible and widths[i] > c.least]
        if not wide:
            return
        widths[max(wide, key=lambda i: widths[i])] -= 1
        excess -= 1


def _line(row: Sequence[Cell], columns: Sequence[Column], widths: Sequence[int], look: Look) -> str:
    parts = []
    for i, (cell, column, width) in enumerate(zip(row, columns, widths, strict=True)):
        text = shorten(cell.text, width, symbols=look.symbols)
        gap = " " * (width - cells(text))
        painted = look.paint(text, cell.style)
        last = i == len(row) - 1
        parts.append(gap + painted if column.right else painted + ("" if last else gap))
    return "  ".join(parts).rstrip()
