"""Breakers: which tasks go through the circuit breakers that all engines of a store share.

Owns: the tasks that this engine keeps aside while a circuit is open, and the right to probe: a
lease in the store, taken before the attempt is announced and given back with its outcome; a dead
engine's is void.
Must never: let an attempt through on a view that is older than this turn of the loop; or cost
anything where no task has a breaker.
Read next: `circuits.py`, the view; `choosing.py`, which asks; `loop.py`, which reports.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.breaker import Breaker, WhenOpen, is_failure
from durable_wf.core.circuit import Circuit, CircuitState, Outcome, What, lease_of, place_of
from durable_wf.core.events import ProbeTaken, StoreEvent
from durable_wf.core.past import MACHINE
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine.circuits import Circuits
from durable_wf.engine.clock import Clock
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
    """The circuit breakers as one engine sees them. `runs` are those that the loop holds."""

    def __init__(self, store: Log, clock: Clock, engine: str, runs: Mapping[int, LiveRun]) -> None:
        self._log = store
        self._clock = clock
        self._engine = engine
        self._runs = runs
        self._circuits = Circuits(store, clock)
        self._aside: dict[Breaker, _Aside] = {}
        self._candidates: dict[_Place, Breaker] = {}
        self._probes: dict[_Place, str] = {}
        self._denied: dict[str, float] = {}
        self._refused: list[tuple[LiveRun, i.Refuse]] = []
        self._drops: list[LeaseDrop] = []

    @property
    def in_use(self) -> bool:
        """Whether a task with a breaker was met; before, they need not be asked."""
        return self._circuits.in_use

    def turn(self) -> None:
        """A turn of the loop begins."""
        self._circuits.turn()

    # --- before an attempt ------------------------------------------------------------------------

    def admits(self, live: LiveRun, index: int) -> bool:
        """Whether a ready task may start now, as far as its breaker is concerned. One that may not
        is kept aside or refused, and comes back through `released` or `refused`.
        """
        breaker = guard_of(live.state, index)
        if breaker is None:
            return True
        circuit = self._circuits.circuit(breaker)
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
            self._put_aside(breaker, place, self._circuits.circuit(breaker), first=True)
            return False
        # Who had it before may have given it back with an outcome that was not seen here yet.
        self._circuits.look()
        circuit = self._circuits.circuit(breaker)
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
            row = Outcome(key, at, What.PROBE, place_of(live.run_id, task, attempt))
            probe = ProbeTaken(key, self._engine, live.run_id, task, attempt)
            self._circuits.add(row, probe)

    def released(self) -> list[_Place]:
        """Tasks that were kept aside and are to be asked about again."""
        self._candidates.clear()
        if not self._aside:
            return []
        self._circuits.look_now_and_then()
        now, changed = self._clock.monotonic_s(), self._circuits.changes()
        found: list[_Place] = []
        for breaker, aside in [*self._aside.items()]:
            if breaker.key in changed or aside.again_at <= now:
                found += self._release(breaker, aside)
        return found

    def refused(self) -> list[tuple[LiveRun, i.Refuse]]:
        """What is to be decided about tasks that are not to wait, once."""
        refused, self._refused = self._refused, []
        return refused

    def aside(self, live: LiveRun, longer_s: float) -> frozenset[int]:
        """Tasks of a run that wait for an open circuit, for longer than that."""
        then = self._clock.monotonic_s() + longer_s
        return frozenset(
            index
            for breaker, aside in self._aside.items()
            if aside.again_at > then and self._circuits.circuit(breaker).state is CircuitState.OPEN
            for key, index in aside.tasks
            if key == live.key
        )

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
            self._circuits.touch(key)

    def note(self, live: LiveRun, report: i.Report, at: int) -> None:
        """An attempt has ended. To be told before the report is decided."""
        breaker = guard_of(live.state, report.index)
        attempt = live.state.running.get(report.index)
        if breaker is None or attempt is None or attempt.started.attempt != report.attempt:
            return
        what = _what(live, report, breaker)
        if what is not None:
            place = place_of(live.run_id, attempt.started.task, report.attempt)
            row = Outcome(breaker.key, at, what, place, attempt.at)
            self._circuits.ended(breaker, row)

    def recent(self, key: str) -> tuple[Outcome, ...]:
        """How the last attempts with this key ended, oldest first, in all runs."""
        return self._circuits.recent(key)

    # --- the commit -------------------------------------------------------------------------------

    @property
    def owes(self) -> bool:
        """Whether something waits to be written, though nothing else may be there to record."""
        return bool(self._drops) or self._circuits.owes

    def owed(self) -> tuple[list[Outcome], list[tuple[int, StoreEvent]], list[LeaseDrop]]:
        """What is to be written in the next commit, once."""
        drops, self._drops = self._drops, []
        return *self._circuits.owed(), drops

    def committed(self, appended: Appended) -> None:
        """That commit is durable."""
        self._circuits.committed(appended)

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
            aside.again_at = now + self._circuits.left_s(breaker)
        else:
            aside.again_at = max(now + RETRY_S, self._denied.get(breaker.key, 0.0))

    def _release(self, breaker: Breaker, aside: _Aside) -> list[_Place]:
        """All of them if the circuit is closed, one if it may probe, else none."""
        circuit = self._circuits.circuit(breaker)
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


def _what(live: LiveRun, report: i.Report, breaker: Breaker) -> What | None:
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
        case i.Failed(fault=fault):
            return What.FAILED if is_failure(breaker, fault) else None
        case _:
            return None
