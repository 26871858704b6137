"""Drafting: what the next commit carries besides the events of runs.

Owns: facts of the store's own, payloads and answers until they are committed, and the gathering of
what pools, breakers and heartbeats have to be written with them.
Must never: append; the loop does, and says here when it is done.
Read next: `loop.py`; `pools.py`, `breakers.py`, `beats.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_wf.core.events import StoreEvent
from durable_wf.engine.beats import Beats
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.pools import PoolLeases
from durable_wf.store.port import Answer, Batch, RunAppend


class Draft:
    """The next commit of one engine."""

    def __init__(self, pools: PoolLeases, breakers: Breakers, beats: Beats) -> None:
        self._pools = pools
        self._breakers = breakers
        self._beats = beats
        self._facts: list[tuple[int, StoreEvent]] = []
        self._answers: list[Answer] = []
        self._payloads: dict[str, bytes] = {}

    def announce(self, at: int, event: StoreEvent) -> None:
        """Add a fact that belongs to no run."""
        self._facts.append((at, event))

    def answer(self, answer: Answer) -> None:
        """Add what the sender of a command is told."""
        self._answers.append(answer)

    def keep_payload(self, digest: str, data: bytes) -> None:
        """Add a payload. It is written with the events that name it, never alone."""
        self._payloads[digest] = data

    def batch(self, appends: Sequence[RunAppend]) -> Batch | None:
        """All of it with these events, as one transaction; None where nothing is to be written."""
        if not (
            self._facts
            or self._answers
            or self._payloads
            or self._pools.owes
            or self._beats.owes
            or (self._breakers.in_use and self._breakers.owes)
        ):
            return Batch(appends) if appends else None
        beats = self._beats.rows()
        outcomes, told, leases = self._breakers.owed()
        facts = [*self._facts, *told]
        drops = [*self._pools.released(), *leases]
        if not (appends or facts or self._answers or drops or outcomes or beats):
            return None
        return Batch(
            appends=appends,
            store_events=facts,
            payloads=list(self._payloads.items()),
            answers=self._answers,
            drops=drops,
            outcomes=outcomes,
            beats=beats,
        )

    def written(self) -> dict[str, bytes]:
        """It is committed; a new one begins. Returns the payloads of the old one."""
        payloads = self._payloads
        if payloads or self._facts or self._answers:
            self._facts, self._answers, self._payloads = [], [], {}
        return payloads
