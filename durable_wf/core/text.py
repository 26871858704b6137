"""Text: what UTF-8 has bytes for, and what is made of the rest.

Owns: telling texts with lone surrogates (names of files and messages may contain them) from others,
and the escapes that stand for these where people read them.
Must never: change a value of a task; those are stored exactly, see `values_standard.py`.
Read next: `state.py` and `execute/faults.py`, whose texts come from anywhere.
"""

from __future__ import annotations


def is_text(value: str) -> bool:
    """Whether UTF-8 has bytes for all of `value`."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def escaped(value: str) -> str:
    """The text itself, with escapes where UTF-8 has no bytes for it. Also of a class of its own, of
    which nothing is asked, it makes a plain text.
    """
    if type(value) is str and value.isascii():
        return value
    return str.encode(value, "utf-8", "backslashreplace").decode()
