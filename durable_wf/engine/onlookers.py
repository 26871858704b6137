"""Onlookers: those who are told how their runs get on.

Owns: when each of them is told: not more often than `INTERVAL_S`, and always of the end.
Must never: slow the loop; one that raises is reported once and dropped.
Read next: `progress.py`, for what they are told; `loop.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from durable_wf.engine.choosing import Bench
from durable_wf.engine.clock import Clock
from durable_wf.engine.live import LiveRun
from durable_wf.engine.progress import INTERVAL_S, progress_of

log = logging.getLogger("durable_wf.engine")


class Onlookers:
    """Those of the runs that the loop holds. `late` are runs that changed too soon after their
    onlookers were told.
    """

    def __init__(self, clock: Clock, benches: Mapping[str, Bench]) -> None:
        self._clock = clock
        self._benches = benches
        self.late: dict[int, LiveRun] = {}

    def tell(self, live: LiveRun, *, at_rest: bool) -> None:
        """A run has changed: tell its onlooker when it is time, or at once if it comes to rest."""
        if live.on_progress is None:
            return
        now = self._clock.monotonic_s()
        if now < live.told_at + INTERVAL_S and not at_rest:
            self.late[live.key] = live
            return
        self.late.pop(live.key, None)
        live.told_at = now
        seats = sum(bench.executor.max_seats for bench in self._benches.values())
        try:
            live.on_progress(progress_of(live.state, live.eta_s(seats), at_rest=at_rest))
        except Exception:
            log.exception("the progress callback of run %s raised; it is dropped", live.run_id)
            live.on_progress = None

    def tell_late(self) -> None:
        """Tell those for whom it is time by now."""
        for live in [*self.late.values()]:
            self.tell(live, at_rest=False)

    def forget(self, live: LiveRun) -> None:
        """The run is held no more."""
        self.late.pop(live.key, None)
