"""A clock for tests, that goes as it is told.

Owns: FakeClock.
Must never: sleep.
Read next: `unit/engine/test_timers.py`.
"""

from __future__ import annotations

import attrs


@attrs.define(slots=False)
class FakeClock:
    """Wall and monotonic clock; each look at the monotonic one takes `step_s` seconds."""

    wall_us: int = 1_790_000_000_000_000
    mono_s: float = 100.0
    step_s: float = 0.0

    def now_us(self) -> int:
        return self.wall_us

    def monotonic_s(self) -> float:
        self.pass_(self.step_s)
        return self.mono_s

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        self.mono_s += seconds
        self.wall_us += round(seconds * 1e6)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_us += round(seconds * 1e6)
