"""Past: what rules may know of a task whose attempts have failed.

Owns: the counts and the newest attempts of one task, kept only for tasks that had a fault, and the
steps by which events change them. `evolve.py` and backtests share these steps.
Must never: grow with the number of attempts beyond `KEPT`.
Read next: `state.py`; `recovery/history.py`, which shows it to rules.
"""

from __future__ import annotations

from collections import deque

import attrs

from durable_wf.core.status import FaultKind

KEPT = 50
"""How many attempts are remembered one by one; older ones are in the counts alone."""

MACHINE = frozenset({FaultKind.LOST, FaultKind.IN_DOUBT})
"""Faults that are not the task's own: the worker or the engine under it is gone."""

_NOT_OWN = MACHINE | {FaultKind.BREAKER}
"""Nor is it the task's fault when it was not let through."""


@attrs.frozen
class PastAttempt:
    """One attempt that failed. Times are UTC microseconds."""

    number: int
    started_at: int
    ended_at: int
    kind: FaultKind
    exception: str = ""


@attrs.define
class Past:
    """What became of a task so far. `faults` counts its own, `losses` those of the machine;
    `retries` counts retries spent on its own. `delay_us` is how long the last retry waited.
    `fallback` is the function it fell back to, "" if it has not; `fallbacks` says how often.
    `probe` is the function that its next attempt calls to find out about the one in doubt, or "".
    """

    first_started_at: int
    first_fault_at: int
    faults: int = 0
    losses: int = 0
    retries: int = 0
    delay_us: int = 0
    fallback: str = ""
    fallbacks: int = 0
    probe: str = ""
    attempts: deque[PastAttempt] = attrs.field(factory=lambda: deque(maxlen=KEPT))

    @classmethod
    def begin(cls, started_at: int, at: int) -> Past:
        """At the first fault of a task."""
        return cls(started_at, at)

    @property
    def last_is_own(self) -> bool:
        """Whether the newest fault is the task's own."""
        return not self.attempts or self.attempts[-1].kind not in _NOT_OWN

    def fail(self, attempt: PastAttempt) -> None:
        """An attempt has failed."""
        self.attempts.append(attempt)
        if attempt.kind in MACHINE:
            self.losses += 1
        elif attempt.kind not in _NOT_OWN:
            self.faults += 1

    def retry(self, until: int, at: int) -> bool:
        """A retry is scheduled; returns whether it is spent on a fault of the task's own."""
        own = self.last_is_own
        if own:
            self.retries += 1
            self.delay_us = max(0, until - at)
        return own

    def fall_back(self, function: str) -> None:
        """From now on another function is called."""
        self.fallback = function
        self.fallbacks += 1
        self.probe = ""
