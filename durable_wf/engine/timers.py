"""Timers: when runs that wait must be looked at again.

Owns: one heap of (when, run), and the two clocks behind it: within a process the monotonic clock
counts; after a restart, or when the wall clock jumps, the recorded times do.
Must never: look at a run. Ten thousand runs that wait cost one comparison per turn.
Read next: `loop.py`.
"""

from __future__ import annotations

import heapq

from durable_wf.engine.clock import Clock

JUMP_S = 5.0
"""The wall clock may be corrected by this much without anything being planned again."""


_SPARE = 1_000
"""Times that count no more may stand in the heap, this many and as many as do count."""


class Timers:
    """Wake-up times by run. Wall-clock times are UTC microseconds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int]] = []
        self._wake_at: dict[int, int] = {}
        self._planned: dict[int, float] = {}
        self._offset_s = self._offset()

    def plan(self, run: int, wake_at: int | None) -> None:
        """Wake `run` at this time, and no more at the one named before; None: not at all."""
        if wake_at is None:
            self._wake_at.pop(run, None)
            self._planned.pop(run, None)
        elif self._wake_at.get(run) != wake_at:
            self._wake_at[run] = wake_at
            self._push(run, wake_at)

    def due(self) -> list[tuple[int, int]]:
        """The runs to wake now, with the times they waited for."""
        if not self._wake_at:
            self._heap.clear()
            return []
        self._replan_after_jump()
        now = self._clock.monotonic_s()
        found = []
        while self._heap and self._heap[0][0] <= now:
            at, run = heapq.heappop(self._heap)
            if self._planned.get(run) == at:
                found.append((run, self._wake_at.pop(run)))
                del self._planned[run]
        return found

    def wait_s(self, most: float) -> float:
        """Seconds until the next timer is due, at most `most`."""
        if not self._heap:
            return most
        return min(most, max(0.0, self._heap[0][0] - self._clock.monotonic_s()))

    def _push(self, run: int, wake_at: int) -> None:
        ahead_s = (wake_at - self._clock.now_us()) / 1e6
        at = self._clock.monotonic_s() + ahead_s
        self._planned[run] = at
        if len(self._heap) > 2 * len(self._planned) + _SPARE:
            # Runs that were planned again and again, as those are that have a deadline far away.
            self._heap = [(at, run) for run, at in self._planned.items()]
            heapq.heapify(self._heap)
        else:
            heapq.heappush(self._heap, (at, run))

    def _offset(self) -> float:
        return self._clock.now_us() / 1e6 - self._clock.monotonic_s()

    def _replan_after_jump(self) -> None:
        offset_s = self._offset()
        if abs(offset_s - self._offset_s) <= JUMP_S:
            return
        self._offset_s = offset_s
        self._heap.clear()
        for run, wake_at in self._wake_at.items():
            self._push(run, wake_at)
