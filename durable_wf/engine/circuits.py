"""Circuits: what this engine knows of the circuits of a store, and what it has to add.

Owns: the outcomes by key as they were read, with those that are not committed yet; when they are
read again; and the rows and store events by which a change of a circuit is told, once.
Must never: use rows that another process has added to since this turn of the loop began; or decide
what starts.
Read next: `core/circuit.py`, which judges; `breakers.py`, which asks.
"""

from __future__ import annotations

import logging

from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import (
    KEPT,
    Circuit,
    CircuitState,
    Outcome,
    Tally,
    What,
    endings,
    kept,
    parts_of,
    sentence,
)
from durable_wf.core.events import BreakerClosed, BreakerOpened, StoreEvent
from durable_wf.engine.clock import Clock
from durable_wf.engine.inbox import POLL_S
from durable_wf.store.port import Appended, Log

log = logging.getLogger("durable_wf.engine")


class Circuits:
    """The circuits as one engine sees them. Until somebody asks they are not `in_use`."""

    def __init__(self, store: Log, clock: Clock) -> None:
        self._log = store
        self._clock = clock
        self.in_use = False
        self._rows: dict[str, list[Outcome]] = {}
        self._tallies: dict[str, dict[Breaker, Tally]] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._version: int | None = None
        self._looked = False
        self._look_at = 0.0
        self._changed: set[str] = set()
        self._outcomes: list[Outcome] = []
        self._events: list[tuple[int, StoreEvent]] = []
        self._said: set[str] = set()

    def turn(self) -> None:
        """A turn of the loop begins: what is known may be old."""
        self._looked = False

    def look(self) -> None:
        """Notice what other processes have committed."""
        self.in_use = self._looked = True
        self._look_at = self._clock.monotonic_s() + POLL_S
        version = self._log.version()
        if version != self._version:
            self._version = version
            self._forget()

    def look_now_and_then(self) -> None:
        """The same, for those who only wait: not in every turn."""
        if self._clock.monotonic_s() >= self._look_at:
            self.look()

    # --- asking -----------------------------------------------------------------------------------

    def circuit(self, breaker: Breaker) -> Circuit:
        """The circuit as it stands. That it has changed is told, if nobody has."""
        tally = self._tally(breaker)
        circuit = tally.circuit(self._moment(tally))
        self._tell(circuit)
        return circuit

    def left_s(self, breaker: Breaker) -> float:
        """Seconds until an open circuit is half-open."""
        tally = self._tally(breaker)
        now = self._moment(tally)
        return max(0, tally.circuit(now).until - now) / 1e6

    def recent(self, key: str) -> tuple[Outcome, ...]:
        """How the last attempts with this key ended, oldest first, in all runs."""
        return endings(self._of_key(key))[-KEPT:]

    def changes(self) -> set[str]:
        """The keys about which something may have changed since this was asked last."""
        changed, self._changed = self._changed, set()
        return changed

    # --- adding -----------------------------------------------------------------------------------

    def add(self, row: Outcome, event: StoreEvent | None = None) -> None:
        """A row of ours, and what tells of it in the store's own stream; in the next commit."""
        rows = self._of_key(row.key)
        rows.append(row)
        if len(rows) > 2 * KEPT:
            rows[:] = kept(rows)
        for tally in self._tallies[row.key].values():
            tally.add(row)
        self._outcomes.append(row)
        if event is not None:
            self._events.append((row.at, event))
        self._changed.add(row.key)

    def ended(self, breaker: Breaker, row: Outcome) -> None:
        """An attempt behind this breaker has ended; if that changes the circuit, it is told."""
        tally = self._tally(breaker)
        self.add(row)
        self._tell(tally.circuit(row.at))

    def touch(self, key: str) -> None:
        """Something beside the rows has changed: see `changes`."""
        self._changed.add(key)

    @property
    def owes(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._outcomes or self._events)

    def owed(self) -> tuple[list[Outcome], list[tuple[int, StoreEvent]]]:
        """What is to be written in the next commit, once."""
        owed = self._outcomes, self._events
        self._outcomes, self._events = [], []
        return owed

    def committed(self, appended: Appended) -> None:
        """That commit is durable. Rows of runs in conflict are not in it."""
        if appended.conflicts and self._rows:
            self._forget()

    # --- the rows ---------------------------------------------------------------------------------

    def _tell(self, circuit: Circuit) -> None:
        """Write that the circuit has changed, if that follows from the rows and is not said."""
        key, place = circuit.key, circuit.place
        run_id, task, attempt = parts_of(place)
        match circuit.untold:
            case What.OPENED:
                opened = BreakerOpened(key, circuit.until, circuit.failures, run_id, task)
                self.add(Outcome(key, circuit.opened_at, What.OPENED, place), opened)
                if key not in self._said:  # not again after each probe that fails
                    self._said.add(key)
                    log.warning("%s; tasks behind it wait or are refused", sentence(circuit))
            case What.CLOSED:
                closed = BreakerClosed(key, run_id, task, attempt)
                self.add(Outcome(key, circuit.closed_at, What.CLOSED, place), closed)
                if key in self._said:
                    self._said.discard(key)
                    log.warning("breaker %r is closed again", key)
            case _ if circuit.state is CircuitState.CLOSED and key in self._said:
                self._said.discard(key)  # another engine has told it, or a person has reset it
                log.warning("breaker %r is closed again", key)
            case _:
                pass

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

    def _forget(self) -> None:
        self._changed.update(self._rows)
        self._rows.clear()
        self._tallies.clear()

    def _of_key(self, key: str) -> list[Outcome]:
        if not self._looked:
            self.look()
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
