"""What the other end of a stream can show: colour, symbols, width; and what must not reach it.

Owns: Look (the abilities of one stream), `clean` (control characters are taken out of foreign
text), measuring and shortening by terminal cells.
Must never: know what is shown.
Read next: `tables.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from collections.abc import Mapping
from typing import IO

import attrs

_CODES = {
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "dim": "2",
    "bold": "1",
}

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|(?:\x1b\]|\x9d)[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links, clipboard
    r"|\x1b[PX^_].*?(?:\x1b\\|\x9c)"  # device control and other strings
    r"|\x1b[ -/]*[0-~]",  # two-character sequences
    re.DOTALL,
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""C0 but tab and newline, DEL, C1, and the marks that reverse the reading direction."""


@attrs.frozen
class Look:
    """What one stream can show. `width` is None where lines may be of any length (no terminal).

    `live` tells a screen that can be redrawn; `terminal` one that interprets control characters.
    """

    width: int | None = None
    colour: bool = False
    symbols: bool = True
    live: bool = False
    terminal: bool = False

    def paint(self, text: str, *styles: str) -> str:
        """`text` in these colours or styles, where the stream shows colour."""
        codes = ";".join(_CODES[style] for style in styles if style)
        return f"\x1b[{codes}m{text}\x1b[0m" if self.colour and codes and text else text

    def clean(self, text: str) -> str:
        """Foreign text, made harmless where a terminal would interpret it."""
        return clean(text) if self.terminal else text


def look_at(stream: IO[str], environ: Mapping[str, str] | None = None) -> Look:
    """What `stream` can show. NO_COLOR wins over FORCE_COLOR, both over asking the stream."""
    env = os.environ if environ is None else environ
    try:
        terminal = stream.isatty()
    except ValueError:  # closed
        terminal = False
    dumb = env.get("TERM") == "dumb"
    if env.get("NO_COLOR"):
        colour = False
    elif env.get("FORCE_COLOR", "0") not in {"", "0"}:
        colour = True
    else:
        colour = terminal and not dumb
    return Look(
        width=max(20, shutil.get_terminal_size().columns) if terminal else None,
        colour=colour,
        symbols=_encodes(stream, "✓▶✗│"),
        live=terminal and not dumb and not env.get("CI"),
        terminal=terminal,
    )


def _encodes(stream: IO[str], text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def clean(text: str) -> str:
    """`text` without escape sequences and control characters; newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """`text` on one line, harmless: for names and messages in tables."""
    return " ".join(clean(text).split())


def cells(text: str) -> int:
    """How many terminal cells `text` takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shorten(text: str, width: int, *, symbols: bool = True) -> str:
    """`text` in at most `width` cells, with a mark where something was cut off."""
    if cells(text) <= width:
        return text
    mark = "…" if symbols else "~"
    kept = ""
    for char in text:
        if cells(kept + char) > width - 1:
            break
        kept += char
    return kept + mark if width > 0 else ""


def pad(text: str, width: int) -> str:
    """`text` filled up with spaces to `width` cells."""
    return text + " " * (width - cells(text))
