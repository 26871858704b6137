"""Clock: where the engine's time comes from.

Owns: the only reads of the wall clock and the monotonic clock in this layer.
Must never: be bypassed; tests give the engine a clock of their own.
Read next: `loop.py`.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as an argument."""

    def now_us(self) -> int:
        """Wall clock, UTC microseconds: what events are stamped with."""

    def monotonic_s(self) -> float:
        """Seconds that never jump: what waits and rate limits go by."""


class SystemClock:
    """The machine's clocks."""

    def now_us(self) -> int:
        """Wall clock, UTC microseconds."""
        return time.time_ns() // 1000

    def monotonic_s(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()
