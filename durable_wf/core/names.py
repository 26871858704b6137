"""Names: what workflows and tasks may be called, and what runs may.

Owns: both questions, and the sentence that says what is wrong with a name.
Must never: change a name; what is not usable is refused by whoever asks.
Read next: `definition.py`.

Names are shown on terminals and web pages, typed in shells and compared as they are. So a name has
letters and digits of any language, in the one form (NFC) in which equal-looking texts are equal,
and nothing that cannot be seen or that changes the direction of the text around it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final, cast

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

SUFFIX: Final = "~undo"
"""What the name of a compensation ends with; the name of the task that it takes back stands before
it."""

_SIGNS: Final = frozenset("_.-~[]/ ")
_is_pool: Final = re.compile(r"[\w.\-]{1,100}").fullmatch
_ASCII_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.\-~\[\]/ ]{0,199}"
_is_ascii_name: Final = re.compile(_ASCII_NAME).fullmatch
_are_ascii_names: Final = re.compile(rf"(?:{_ASCII_NAME}\n)*").fullmatch

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


def is_pool_name(text: object) -> bool:
    """Whether a pool may be called this."""
    return isinstance(text, str) and _is_pool(text) is not None


def name_problem(what: str, name: object) -> str:
    """What is wrong with a name of a task or workflow, or ""."""
    if isinstance(name, str) and is_name(name):
        return ""
    if isinstance(name, str) and name.isprintable() and is_name(composed := composed_form(name)):
        return f"{what} {name!a:.220} is not in Unicode's form NFC, which is {composed!a}"
    return f"{what} {name!r:.220} is no usable name: {ALLOWED}"


def are_usual_names(names: Sequence[object]) -> bool:
    """Whether all of them are names of tasks, in ASCII letters; a quick answer about many."""
    try:
        text = "\n".join([*cast("Sequence[str]", names), ""])
    except TypeError:
        return False
    whole = text.count("\n") == len(names) and _are_ascii_names(text) is not None
    return whole and f"{SUFFIX}\n" not in text


def task_name_problem(name: object) -> str:
    """What is wrong with the name of a task, or ""."""
    if isinstance(name, str) and name.endswith(SUFFIX):
        return f"the task's name {name!a:.220} ends with {SUFFIX}, as compensations do"
    return name_problem("the task's name", name)
