"""Circuit: what the recorded outcomes of one breaker key say.

Owns: Outcome, a row of that record, and which rows of it are kept.
Must never: know which engine or run asks: everybody who reads the same rows sees the same circuit.
Read next: `store/outcomes.py`, which keeps the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import attrs

KEPT = 200
"""Rows that are kept of one key, and beside them the last of each kind of TURNS."""


class What(Enum):
    """What a row says: how an attempt ended, or that the circuit changed."""

    OK = "ok"
    FAILED = "failed"
    OPENED = "opened"
    PROBE = "probe"
    CLOSED = "closed"


TURNS = (What.OPENED, What.PROBE, What.CLOSED)
"""Rows that say how the circuit changed."""


@attrs.frozen
class Outcome:
    """One row of a breaker key. `place` names the attempt behind it: "run id/task/attempt"."""

    key: str
    at: int
    what: What
    place: str

    @property
    def run_id(self) -> str:
        """The run whose attempt it was."""
        return self.place.partition("/")[0]


def place_of(run_id: str, task: str, attempt: int) -> str:
    """How an attempt is named in an Outcome."""
    return f"{run_id}/{task}/{attempt}"


def kept(rows: Sequence[Outcome]) -> list[Outcome]:
    """The rows of one key, oldest first, without those that are not kept any longer."""
    cut = len(rows) - KEPT
    if cut <= 0:
        return list(rows)
    last = {row.what: number for number, row in enumerate(rows) if row.what in TURNS}
    return [rows[number] for number in sorted(last.values()) if number < cut] + list(rows[cut:])
