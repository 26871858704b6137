"""Choosing: which ready tasks of all runs start now, on which executor.

Owns: the executors with their schedulers, the runs with tasks that became ready, and the tasks that
wait for a pool that other engines hold; those that wait for a breaker are `breakers.py`'s, and runs
that wait for their turn `suspects.py`'s.
Must never: announce or start what it has chosen; the loop does, in this order.
Read next: `loop.py`; `core/scheduler.py`, which orders and admits; `pools.py`.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from durable_wf.core.hot import hot
from durable_wf.core.resources import Ledger
from durable_wf.core.scheduler import Pick, Question, TaskScheduler
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.clock import Clock
from durable_wf.engine.live import LiveRun
from durable_wf.engine.pools import RETRY_S, PoolLeases
from durable_wf.engine.suspects import Suspects
from durable_wf.execute.port import Executor, Seat


@hot
class Chosen:
    """A pick whose AttemptStarted is the event number `n` of its run."""

    live: LiveRun
    pick: Pick[Seat]
    attempt: int
    n: int


@attrs.define(eq=False)
class Bench:
    """An executor with the scheduler that fills it, how many attempts it holds, and those that
    it is given when the next commit has announced them.
    """

    executor: Executor
    scheduler: TaskScheduler[Seat]
    outstanding: int = 0
    chosen: list[Chosen] = attrs.field(factory=list)

    @property
    def is_busy(self) -> bool:
        """Whether something may come of it: attempts out, or tasks waiting for a seat."""
        return self.outstanding > 0 or len(self.scheduler) > 0


class Chooser:
    """Fills the executors. `runs` are those that the loop holds, by key."""

    def __init__(
        self,
        clock: Clock,
        pools: PoolLeases,
        breakers: Breakers,
        runs: Mapping[int, LiveRun],
        suspects: Suspects | None = None,
    ) -> None:
        self.benches: dict[str, Bench] = {}
        self._clock = clock
        self._pools = pools
        self._breakers = breakers
        self._suspects = suspects or Suspects()
        self._runs = runs
        self._ready: dict[int, LiveRun] = {}
        self._later: list[tuple[float, int, int]] = []

    def add(self, name: str, executor: Executor, ledger: Ledger) -> None:
        """Give it a place to run attempts; all places take from one ledger."""
        self.benches[name] = Bench(executor, TaskScheduler(ledger.capacity, ledger))

    def bench(self, live: LiveRun, index: int) -> Bench:
        """Where a task of a run is to run."""
        return self.benches[live.state.task(index).executor or live.executor]

    def take(self, live: LiveRun) -> None:
        """A run has come into the hands of this engine."""
        self._suspects.take(live)

    def offer(self, live: LiveRun) -> None:
        """Tasks of this run became ready."""
        self._ready[live.key] = live

    def forget(self, live: LiveRun) -> None:
        """The run is held no more."""
        self._ready.pop(live.key, None)
        self._suspects.forget(live)

    @property
    def is_offered(self) -> bool:
        """Whether tasks became ready that were not looked at yet."""
        return bool(self._ready)

    def choose(self) -> list[tuple[Bench, Pick[Seat]]]:
        """What starts now. Each pick must be started."""
        if self._later:
            self._queue_later()
        if self._suspects.in_use:
            for live in self._suspects.released(self._aside):
                live.state.ready = live.state.all_ready()
                self.offer(live)
        if self._breakers.in_use:
            for run, index in self._breakers.released():
                self._offer_again(run, index)
        self._queue_ready()
        chosen = []
        for bench in self.benches.values():
            wanted = bench.scheduler.wanted_seats()
            if wanted:
                picks = bench.scheduler.pick(bench.executor.seats(wanted), self._question)
                if self._pools.in_use:
                    picks = self._with_pools(picks)
                if self._breakers.in_use:
                    picks = [pick for pick in picks if self._lets_begin(pick)]
                for pick in picks:
                    chosen.append((bench, pick))
        return chosen

    def _aside(self, live: LiveRun) -> frozenset[int]:
        """Tasks of a run that could start and wait for an open breaker."""
        return self._breakers.aside(live, 0.0) if self._breakers.in_use else frozenset()

    def _queue_ready(self) -> None:
        waiting, self._ready = self._ready, {}
        for live in waiting.values():
            ready = live.state.ready
            live.state.ready = []
            if live.key in self._suspects.held or live.equip is not None:
                continue  # it comes again when it is released, or has its code
            tasks = live.state.workflow.tasks
            for index in ready:
                task = tasks[index]
                if task.wait is not None:
                    continue  # it waits already
                bench = self.benches[task.executor or live.executor]
                bench.scheduler.add(live.key, index, task, live.remaining[index])

    def _with_pools(self, picks: list[Pick[Seat]]) -> list[Pick[Seat]]:
        """The picks whose pools have units left in the whole store; the others come again."""
        wanted = []
        for pick in picks:
            if needs := self._pools.needs(self._runs[pick.run].state.task(pick.index)):
                wanted.append(((pick.run, pick.index), needs))
        if not wanted:
            return picks
        granted = self._pools.take(wanted)
        lost = {place for place, _ in wanted if place not in granted}
        if lost:
            retry_at = self._clock.monotonic_s() + RETRY_S
            self._later += ((retry_at, run, index) for run, index in sorted(lost))
        return [pick for pick in picks if (pick.run, pick.index) not in lost]

    def _queue_later(self) -> None:
        """Bring back tasks that waited for a pool."""
        now = self._clock.monotonic_s()
        due = [entry for entry in self._later if entry[0] <= now]
        if not due:
            return
        self._later = [entry for entry in self._later if entry[0] > now]
        for _, run, index in due:
            self._offer_again(run, index)

    def _offer_again(self, run: int, index: int) -> None:
        live = self._runs.get(run)
        if live is not None:
            live.state.ready.append(index)
            self._ready[run] = live

    def _lets_begin(self, pick: Pick[Seat]) -> bool:
        """Whether the pick may be started; if not, its breaker keeps it aside."""
        place = (pick.run, pick.index)
        if self._breakers.lets_probe(place):
            return True
        self._pools.end(place)
        return False

    def _question(self, run: int, index: int) -> Question | None:
        live = self._runs.get(run)
        found = None if live is None or run in self._suspects.held else live.question(index)
        if live is None or found is None or found.task.breaker is None:
            return found
        return found if self._breakers.admits(live, index) else None
