"""Breakers: which tasks go through the circuit breakers that all engines of a store share.

Owns: this engine's view of the outcomes by key, the tasks that it keeps aside while a circuit is
open, and the rows and events that tell how attempts ended and circuits changed. They are written
with the events of the attempts. The right to probe is a lease in the store, taken before the
attempt is announced and given back with the outcome; a dead engine's is void.
Must never: let an attempt through on a view that is older than this turn of the loop; or cost
anything where no task has a breaker.
Read next: `core/circuit.py`, which judges; `choosing.py`, which asks; `loop.py`, which reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.circuit import (
    KEPT,
    Circuit,
    CircuitState,
    Outcome,
    Tally,
    What,
    endings,
    kept,
    lease_of,
    parts_of,
    place_of,
)
from durable_wf.core.events import BreakerClosed, BreakerOpened, ProbeTaken, StoreEvent
from durable_wf.core.past import MACHINE
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine.clock import Clock
from durable_wf.engine.inbox import POLL_S
from durable_wf.engine.live import LiveRun
from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.port import Appended, Batch, LeaseDrop, LeaseTake, Log

RETRY_S = 1.0
"""How long the right to probe is not asked for again when another engine has it. Its outcome is
seen at once; only its death is not.
"""

_Place = tuple[int, int]
"""run key and task index"""


@attrs.define(eq=False)
class _Aside:
    """Tasks with one breaker that are kept aside, first come first; `again_at` is when they are
    looked at though nothing has changed (monotonic seconds).
    """

    tasks: dict[_Place, None] = attrs.field(factory=dict)
    again_at: float = math.inf


class Breakers:
    """The circuit breakers as one engine sees them. `runs` are those that the loop holds. Until
    the first task with a breaker is met they are not `in_use`, and need not be asked.
    """

    def __init__(self, log: Log, clock: Clock, engine: str, runs: Mapping[int, LiveRun]) -> None:
        self._log = log
        self._clock = clock
        self._engine = engine
        self._runs = runs
        self.in_use = False
        self._rows: dict[str, list[Outcome]] = {}
        self._tallies: dict[str, dict[Breaker, Tally]] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._version: int | None = None
        self._looked = False
        self._look_at = 0.0
        self._aside: dict[Breaker, _Aside] = {}
        self._changed: set[str] = set()
        self._candidates: dict[_Place, Breaker] = {}
        self._probes: dict[_Place, str] = {}
        self._denied: dict[str, float] = {}
        self._refused: list[tuple[LiveRun, i.Refuse]] = []
        self._outcomes: list[Outcome] = []
        self._events: list[tuple[int, StoreEvent]] = []
        self._drops: list[LeaseDrop] = []

    def turn(self) -> None:
        """A turn of the loop begins."""
        self._looked = False

    # --- before an attempt ------------------------------------------------------------------------

    def admits(self, live: LiveRun, index: int) -> bool:
        """Whether a ready task may start now, as far as its breaker is concerned. One that may not
        is kept aside or refused, and comes back through `released` or `refused`.
        """
        breaker = guard_of(live.state, index)
        if breaker is None:
            return True
        circuit = self._circuit(breaker)
        place = (live.key, index)
        match circuit.state:
            case CircuitState.CLOSED:
                return True
            case CircuitState.HALF_OPEN if self._may_probe(breaker.key):
                self._candidates[place] = breaker
                return True
            case _ if breaker.when_open is WhenOpen.FAULT:
                facts = (("failures", circuit.failures), ("opened_at", circuit.opened_at))
                refuse = i.Refuse(index, breaker.key, circuit.until, facts)
                self._refused.append((live, refuse))
                return False
            case _:
                self._put_aside(breaker, place, circuit)
                return False

    def lets_probe(self, place: _Place) -> bool:
        """Whether a task that was admitted may start after all: the probe of a half-open circuit
        needs the store's only right to it. One that does not get it is kept aside.
        """
        breaker = self._candidates.pop(place, None)
        if breaker is None:
            return True
        key = breaker.key
        if not self._take(key, place):
            self._denied[key] = self._clock.monotonic_s() + RETRY_S
            self._put_aside(breaker, place, self._circuit(breaker), first=True)
            return False
        # Who had it before may have given it back with an outcome that was not seen here yet.
        self._look()
        circuit = self._circuit(breaker)
        if circuit.state is CircuitState.HALF_OPEN:
            self._probes[place] = key
            return True
        self._drops.append(LeaseDrop(lease_of(key), self._engine))
        if circuit.state is CircuitState.CLOSED:
            return True
        self._put_aside(breaker, place, circuit, first=True)
        return False

    def begun(self, live: LiveRun, index: int, attempt: int, at: int) -> None:
        """The attempt is decided; if it is a probe, that is told in the same commit."""
        key = self._probes.get((live.key, index))
        if key is not None:
            task = live.state.graph.names[index]
            place = place_of(live.run_id, task, attempt)
            self._add(Outcome(key, at, What.PROBE, place))
            probe = ProbeTaken(key, self._engine, live.run_id, task, attempt)
            self._events.append((at, probe))

    def released(self) -> list[_Place]:
        """Tasks that were kept aside and are to be asked about again."""
        self._candidates.clear()
        if not self._aside:
            self._changed.clear()
            return []
        now = self._clock.monotonic_s()
        if now >= self._look_at:
            self._look()
        found: list[_Place] = []
        for breaker, aside in [*self._aside.items()]:
            if breaker.key in self._changed or aside.again_at <= now:
                found += self._release(breaker, aside)
        self._changed.clear()
        return found

    def refused(self) -> list[tuple[LiveRun, i.Refuse]]:
        """What is to be decided about tasks that are not to wait, once."""
        refused, self._refused = self._refused, []
        return refused

    def wait_s(self) -> float:
        """Seconds until tasks are to be asked about again."""
        if not self._aside:
            return math.inf
        soonest = min(aside.again_at for aside in self._aside.values())
        return max(0.0, soonest - self._clock.monotonic_s())

    # --- after an attempt -------------------------------------------------------------------------

    def end(self, place: _Place) -> None:
        """No attempt is open there any more: if it was a probe, another may take its place."""
        key = self._probes.pop(place, None)
        if key is not None:
            self._drops.append(LeaseDrop(lease_of(key), self._engine))
            self._changed.add(key)

    def note(self, live: LiveRun, report: i.Report, at: int) -> None:
        """An attempt has ended. To be told before the report is decided."""
        breaker = guard_of(live.state, report.index)
        attempt = live.state.running.get(report.index)
        if breaker is None or attempt is None or attempt.started.attempt != report.attempt:
            return
        what = _what(live, report)
        if what is None:
            return
        if not self._looked:
            self._look()
        tally = self._tally(breaker)
        task = live.state.graph.names[report.index]
        place = place_of(live.run_id, task, report.attempt)
        self._add(Outcome(breaker.key, at, what, place, attempt.at))
        self._tell(tally.circuit(at))

    def recent(self, key: str) -> tuple[Outcome, ...]:
        """How the last attempts with this key ended, oldest first, in all runs."""
        if not self._looked:
            self._look()
        return endings(self._of_key(key))

    # --- the commit -------------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether something waits to be written, though nothing else may be there to record."""
        return bool(self._drops or self._outcomes or self._events)

    def owed(self) -> tuple[list[Outcome], list[tuple[int, StoreEvent]], list[LeaseDrop]]:
        """What is to be written in the next commit, once."""
        owed = self._outcomes, self._events, self._drops
        self._outcomes, self._events, self._drops = [], [], []
        return owed

    def committed(self, appended: Appended) -> None:
        """That commit is durable. Rows of runs in conflict are not in it."""
        if appended.conflicts and self._rows:
            self._forget_rows()

    # --- the view ---------------------------------------------------------------------------------

    def _circuit(self, breaker: Breaker) -> Circuit:
        """The circuit as it stands, told if it has changed unnoticed."""
        if not self._looked:
            self._look()
        tally = self._tally(breaker)
        circuit = tally.circuit(self._moment(tally))
        if circuit.untold is not None:
            self._tell(circuit)
        return circuit

    def _moment(self, tally: Tally) -> int:
        """Now; but what has passed since it was seen open counts even if the clock was set back, or
        a cooldown would last as long as the clock was wrong.
        """
        opened_at, monotonic_s = tally.opened_at, self._clock.monotonic_s()
        seen_at, seen_s = self._seen.get(tally.breaker.key, (0, 0.0))
        if seen_at != opened_at:
            seen_s = monotonic_s
            self._seen[tally.breaker.key] = (opened_at, seen_s)
        return max(self._clock.now_us(), opened_at + round((monotonic_s - seen_s) * 1e6))

    def _look(self) -> None:
        """Notice what other engines have committed."""
        self.in_use = True
        self._looked = True
        self._look_at = self._clock.monotonic_s() + POLL_S
        version = self._log.version()
        if version != self._version:
            self._version = version
            self._forget_rows()

    def _forget_rows(self) -> None:
        self._changed.update(self._rows)
        self._rows.clear()
        self._tallies.clear()

    def _of_key(self, key: str) -> list[Outcome]:
        rows = self._rows.get(key)
        if rows is None:
            pending = [row for row in self._outcomes if row.key == key]
            rows = self._rows[key] = self._log.outcomes(key) + pending
            self._tallies[key] = {}
        return rows

    def _tally(self, breaker: Breaker) -> Tally:
        rows = self._of_key(breaker.key)
        tallies = self._tallies[breaker.key]
        tally = tallies.get(breaker)
        if tally is None:
            tally = tallies[breaker] = Tally(breaker)
            for row in rows:
                tally.add(row)
        return tally

    def _add(self, row: Outcome) -> None:
        """A row of ours, in the next commit."""
        rows = self._of_key(row.key)
        rows.append(row)
        if len(rows) > 2 * KEPT:
            rows[:] = kept(rows)
        for tally in self._tallies[row.key].values():
            tally.add(row)
        self._outcomes.append(row)
        self._changed.add(row.key)

    def _tell(self, circuit: Circuit) -> None:
        """Write that the circuit has changed, if that follows from the rows and is not said."""
        key, place = circuit.key, circuit.place
        run_id, task, attempt = parts_of(place)
        match circuit.untold:
            case What.OPENED:
                at = circuit.opened_at
                self._add(Outcome(key, at, What.OPENED, place))
                opened = BreakerOpened(key, circuit.until, circuit.failures, run_id, task)
                self._events.append((at, opened))
            case What.CLOSED:
                self._add(Outcome(key, circuit.closed_at, What.CLOSED, place))
                closed = BreakerClosed(key, run_id, task, attempt)
                self._events.append((circuit.closed_at, closed))
            case _:
                pass

    # --- tasks aside, and the right to probe ------------------------------------------------------

    def _put_aside(
        self, breaker: Breaker, place: _Place, circuit: Circuit, *, first: bool = False
    ) -> None:
        aside = self._aside.setdefault(breaker, _Aside())
        if first:
            aside.tasks = {place: None, **aside.tasks}
        else:
            aside.tasks[place] = None
        self._plan(breaker, aside, circuit)

    def _plan(self, breaker: Breaker, aside: _Aside, circuit: Circuit) -> None:
        """When to look again though nothing changes: at the end of the cooldown; or, while another
        engine probes, now and then, since its death changes nothing in the store.
        """
        now = self._clock.monotonic_s()
        if circuit.state is CircuitState.OPEN:
            left_us = circuit.until - self._moment(self._tally(breaker))
            aside.again_at = now + max(0, left_us) / 1e6
        else:
            aside.again_at = max(now + RETRY_S, self._denied.get(breaker.key, 0.0))

    def _release(self, breaker: Breaker, aside: _Aside) -> list[_Place]:
        """All of them if the circuit is closed, one if it may probe, else none."""
        circuit = self._circuit(breaker)
        found: list[_Place] = []
        if circuit.state is CircuitState.CLOSED:
            found = [*aside.tasks]
            aside.tasks.clear()
        elif circuit.state is CircuitState.HALF_OPEN and self._may_probe(breaker.key):
            while aside.tasks and not found:
                place = next(iter(aside.tasks))
                del aside.tasks[place]
                found = [place] if self._is_ready(place) else []
        if aside.tasks:
            self._plan(breaker, aside, circuit)
        else:
            del self._aside[breaker]
        return found

    def _is_ready(self, place: _Place) -> bool:
        live = self._runs.get(place[0])
        return live is not None and live.state.is_ready(place[1])

    def _may_probe(self, key: str) -> bool:
        if key in self._probes.values() or any(b.key == key for b in self._candidates.values()):
            return False
        return self._clock.monotonic_s() >= self._denied.get(key, 0.0)

    def _take(self, key: str, place: _Place) -> bool:
        """The lease is for one in the whole store; nobody gets it while the store cannot be
        written for a while (full disk, busy writer).
        """
        take = LeaseTake(lease_of(key), self._engine, f"{place}")
        drops, self._drops = self._drops, []  # it may be ours still, from the probe before
        try:
            appended = self._log.append(Batch(takes=[take], drops=drops))
        except (DiskFull, StoreBusy):
            self._drops = drops
            return False  # the loop's own commit waits for better times, and says so
        return not appended.conflicts


def guard_of(state: RunState, index: int) -> Breaker | None:
    """The breaker that guards the next attempt of a task, or the one that runs. Functions that it
    falls back to, and those that find out what became of an attempt, go through unasked.
    """
    breaker = state.task(index).breaker
    if breaker is None or not state.past:
        return breaker
    past = state.past.get(index)
    return None if past is not None and (past.fallback or past.probe) else breaker


def _what(live: LiveRun, report: i.Report) -> What | None:
    """What the report says about the thing that the breaker guards; None: nothing."""
    match report:
        case i.Succeeded():
            return What.OK
        case i.Failed(fault=fault) if fault.kind is FaultKind.NOT_STORABLE:
            return What.OK  # the function has returned
        case i.Failed(fault=fault) if fault.kind in MACHINE:
            return None
        case i.Failed() if live.state.verdict is RunStatus.CANCELLED:
            return None  # we have stopped it
        case i.Failed():
            return What.FAILED
        case _:
            return None
