"""Starting: how what was chosen is announced, and handed to its executor once it is in the log.

Owns: the two halves of every start, before the commit and after it, and what becomes of an attempt
that was announced and cannot begin here.
Must never: hand over what is not durable, or choose.
Read next: `choosing.py`, which chooses; `loop.py`, which commits in between; `live.py`, which makes
the assignments.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Protocol

from durable_wf.core import inputs as i
from durable_wf.core.events import AttemptStarted
from durable_wf.core.fault import Fault
from durable_wf.core.scheduler import Pick
from durable_wf.core.status import FaultKind
from durable_wf.core.steps import Decided
from durable_wf.engine import unreadable
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.choosing import Bench, Chooser, Chosen
from durable_wf.engine.clock import Clock
from durable_wf.engine.fetching import PayloadCache
from durable_wf.engine.live import LiveRun, TooLate
from durable_wf.errors import PayloadMissing
from durable_wf.execute.port import Seat
from durable_wf.store.port import Appended, Log

_SEQ = attrgetter("seq")


class Host(Protocol):
    """The loop, as far as starts need it."""

    def give(self, live: LiveRun, given: i.Input, at: int = 0) -> Decided:
        """Decide an input of a run."""

    def end(self, run: int, index: int) -> None:
        """No attempt of a task is open any more."""


class Starter:
    """Starts attempts of the runs that the loop holds. `reports` are those of attempts that could
    not begin, for the loop to take at its next turn.
    """

    def __init__(
        self,
        host: Host,
        store: Log,
        clock: Clock,
        chooser: Chooser,
        breakers: Breakers,
        runs: Mapping[int, LiveRun],
    ) -> None:
        self._host = host
        self._clock = clock
        self._chooser = chooser
        self._breakers = breakers
        self._runs = runs
        self.cache = PayloadCache(store)
        self.reports: list[i.Report] = []

    # --- before the commit ------------------------------------------------------------------------

    def announce(self) -> None:
        """Announce what the chooser has chosen; it starts when the announcement is in the log."""
        chosen = self._chooser.choose()
        at = self._clock.now_us() if chosen else 0
        for bench, pick in chosen:
            self._begin(bench, pick, at)
        if self._breakers.in_use:
            for live, refuse in self._breakers.refused():
                self._host.give(live, refuse)

    def _begin(self, bench: Bench, pick: Pick[Seat], at: int) -> None:
        live = self._runs[pick.run]
        seat = pick.seat
        detail = live.last_details.get(pick.index, "") if live.last_details else ""
        given = i.AttemptBegins(pick.index, seat.worker, seat.pid, seat.born, detail)
        decided = self._host.give(live, given, at)
        if decided.refused:  # pragma: no cover - pick asked a moment ago
            return
        recorded = decided.events[0]
        started = recorded.event
        assert isinstance(started, AttemptStarted)
        bench.chosen.append(Chosen(live, pick, started.attempt, recorded.n))
        if self._breakers.in_use:
            self._breakers.begun(live, pick.index, started.attempt, at)

    # --- after it ---------------------------------------------------------------------------------

    def hand_over(self, bench: Bench, appended: Appended) -> None:
        """Start what is now announced; remember each event's seq for the begun mark."""
        chosen, bench.chosen = bench.chosen, []
        assignments = []
        for one in chosen:
            live = one.live
            if live.run_id in appended.conflicts:
                self._host.end(live.key, one.pick.index)
                continue
            seq = appended.first_seq[live.run_id] + one.n - live.pending[0].n
            try:
                assignments.append(live.assignment(one.pick, one.attempt, seq, self.cache.fetch))
            except PayloadMissing as error:
                lost = unreadable.failure(live.key, one.pick.index, one.attempt, error)
                self.reports.append(lost)
            except TooLate as error:
                fault = Fault(FaultKind.TIMEOUT, str(error))
                self.reports.append(i.Failed(live.key, one.pick.index, one.attempt, fault))
        if len(assignments) > 1:
            assignments.sort(key=_SEQ)  # a worker's begun mark is the highest seq it began
        if assignments:
            bench.outstanding += len(assignments)
            bench.executor.start(assignments)
