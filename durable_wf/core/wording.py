"""Wording: numbers of things, and states, as people say them.

Owns: singular and plural, and the verb that goes with a state.
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


_PERFECT = {
    "succeeded": "has succeeded", "failed": "has failed", "faulted": "has failed",
    "skipped": "was skipped", "cancelled": "was cancelled", "interrupted": "was interrupted",
}  # fmt: skip


def stands(state: str) -> str:
    """The word of a state with its verb: `is running`, `has failed`, `was skipped`."""
    return _PERFECT.get(state, f"is {state}")
