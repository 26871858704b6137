"""A trip that is booked step by step, and what its tasks note about themselves.

Owns: `trip`, whose last task fails unless told otherwise, and the notes in a file.
Must never: run anything.
"""

from __future__ import annotations

from pathlib import Path

import durable_wf as wf


def note(path: Path, *words: object) -> None:
    with path.open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def noted(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def trip(path: Path, last=None, **options) -> wf.WorkflowBuilder:
    """Three bookings, one after the other, each with its cancellation; then `last`."""

    def book(what: str) -> dict:
        return {"id": f"{what}-7"}

    def cancel(what: str, result: dict) -> str:
        note(path, "cancel", what, result["id"], wf.current().task)
        return f"no more {what}"

    def fails() -> None:
        raise ValueError("no cars")

    builder = wf.WorkflowBuilder("trip")
    before: list[str] = []
    for what in ("flight", "hotel", "dinner"):
        builder.add_task(what, book, {"what": what}, compensate=cancel, **options).after(*before)
        before = [what]
    return builder.add_task("car", last or fails).after("dinner")


ALL_BACK = [
    "cancel dinner dinner-7 dinner~undo",
    "cancel hotel hotel-7 hotel~undo",
    "cancel flight flight-7 flight~undo",
]
