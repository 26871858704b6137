"""Wording: numbers of things, as people say them.

Owns: singular and plural.
Must never: know a word whose plural is not made with an s.
Read next: whatever says something to people.
"""

from __future__ import annotations


def count_of(number: int, thing: str) -> str:
    """`1 task`, `2 tasks`; thousands are kept apart by commas: `12,000 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def has(number: int) -> str:
    """`has` or `have`, as goes with so many."""
    return "has" if number == 1 else "have"


def are(number: int) -> str:
    """`is` or `are`, as goes with so many."""
    return "is" if number == 1 else "are"
