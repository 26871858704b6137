"""Names: what workflows and tasks may be called, and what runs may.

Owns: both questions.
Must never: change a name; what is not usable is refused by whoever asks.
Read next: `definition.py`.

Names are shown on terminals and web pages, typed in shells and compared as they are. So a name has
letters and digits of any language, in the one form (NFC) in which equal-looking texts are equal,
and nothing that cannot be seen or that changes the direction of the text around it.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

LONGEST: Final = 200
"""Characters of a name."""

RUN_ID_LENGTH: Final = 128
"""Characters of a run id."""

RUN_ID_PATTERN: Final = rf"[A-Za-z0-9_][A-Za-z0-9_.\-]{{0,{RUN_ID_LENGTH - 1}}}"
"""Run ids (regular expression, whole match): they stand in paths, commands and URLs."""

ALLOWED: Final = (
    f"up to {LONGEST} of letters and digits of any language (in Unicode's form NFC), '_', and "
    "inside also '.', '-', '~', '[', ']', '/', ' '"
)
"""What a name may be, in words."""

_SIGNS: Final = frozenset("_.-~[]/ ")
_is_ascii_name: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-~\[\]/ ]{0,199}").fullmatch

_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks by category that no font draws."""


def composed_form(text: str) -> str:
    """The text in Unicode's form NFC."""
    return unicodedata.normalize("NFC", text)


def is_name(text: str) -> bool:
    """Whether a workflow or a task may be called this."""
    if text.isascii():
        return _is_ascii_name(text) is not None
    return (
        len(text) <= LONGEST
        and (text[0].isalnum() or text[0] == "_")
        and all(char in _SIGNS or unicodedata.category(char)[0] in "LMN" for char in text)
        and not _INVISIBLE.search(text)
        and unicodedata.is_normalized("NFC", text)
    )
