"""Circuit: what the recorded outcomes of one breaker key say.

Owns: Outcome, a row of that record; which rows of it are kept; and `fold`, which makes of the rows
and the time of asking the state of the circuit.
Must never: know which engine or run asks: everybody who reads the same rows sees the same circuit.
Read next: `breaker.py`, for what is declared; `engine/breakers.py`, which asks and writes.

Closed: attempts go through. `failures` failures in a row, none longer than `within_s` before the
last of them, open it; a success between them begins the count anew. Open: nothing goes through for
`cooldown_s`. Then half-open: one attempt, the probe, goes through; its success closes the circuit,
its failure opens it again. What began before the circuit opened says nothing about it any more.
A person may reset it: it is closed, its count begins anew, and what began before counts no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from enum import Enum

import attrs

from durable_wf.core.breaker import MOST_FAILURES, Breaker
from durable_wf.core.wording import count_of

KEPT = 200
"""Rows that are kept of one key, and beside them the last of each kind of TURNS."""

_LAST_S = 250_000_000_000
"""In the year 9892. A store that somebody else made may name any time."""


class What(Enum):
    """What a row says: how an attempt ended, or that the circuit changed."""

    OK = "ok"
    FAILED = "failed"
    OPENED = "opened"
    PROBE = "probe"
    CLOSED = "closed"
    RESET = "reset"


TURNS = (What.OPENED, What.PROBE, What.CLOSED, What.RESET)
"""Rows that say how the circuit changed."""


@attrs.frozen
class Outcome:
    """One row of a breaker key. `place` names the attempt behind it: "run id/task/attempt"; behind
    a reset there is none. `began_at` is when an attempt was announced, if the row says how it
    ended. UTC microseconds.
    """

    key: str
    at: int
    what: What
    place: str
    began_at: int = 0

    @property
    def run_id(self) -> str:
        """The run whose attempt it was."""
        return self.place.partition("/")[0]


class CircuitState(Enum):
    """Whether attempts go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@attrs.frozen
class Circuit:
    """What the rows of a key say at one moment.

    `failures` are those in a row: so many up to now, or so many that opened it. `opened_at`,
    `until` (no attempt goes through before) and `place` (the attempt whose failure it was) say how
    it opened; `probe` is the attempt that was let through, whatever has become of it. `untold` is
    a turn that follows from the rows and does not stand among them; if it has closed, `place` and
    `closed_at` say by which attempt.
    """

    key: str
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    opened_at: int = 0
    until: int = 0
    place: str = ""
    probe: str = ""
    untold: What | None = None
    closed_at: int = 0


def place_of(run_id: str, task: str, attempt: int) -> str:
    """How an attempt is named in an Outcome."""
    return f"{run_id}/{task}/{attempt}"


def lease_of(key: str) -> str:
    """What an engine holds that lets a probe of this key through: one in the whole store."""
    return f"breaker/{key}"


def parts_of(place: str) -> tuple[str, str, int]:
    """Run id, task and attempt of a place; what cannot be read is "" and 0."""
    run_id, _, rest = place.partition("/")
    task, _, attempt = rest.rpartition("/")
    return run_id, task, int(attempt) if attempt.isdecimal() and len(attempt) < 19 else 0


def fold(breaker: Breaker, rows: Iterable[Outcome], at: int) -> Circuit:
    """The circuit of a key at a moment, from the rows of it, oldest first."""
    tally = Tally(breaker)
    for row in rows:
        tally.add(row)
    return tally.circuit(at)


class Tally:
    """The fold, one row after the other."""

    def __init__(self, breaker: Breaker) -> None:
        self.breaker = breaker
        self._streak: list[int] = []
        self._failures = 0
        self._place = ""  # of the last turn
        self._opened_at = 0  # of the last opening, which may be over
        self._closed_at = 0
        self._reset_at = 0
        self._is_open = False
        self._probe = ""
        self._turns: set[tuple[What, str]] = set()
        self._untold: What | None = None

    def add(self, row: Outcome) -> None:
        """Take the next row."""
        match row.what:
            case What.OK if self._is_probe(row):
                self._close(row)
            case What.FAILED if self._is_probe(row):
                self._open(row, 1)
            case What.OK | What.FAILED if row.began_at < self._reset_at:
                self._turns.add((What.OPENED, row.place))  # whoever took it for one did not know
            case What.OK | What.FAILED if row.began_at < self._opened_at:
                pass
            case What.OK if not self._is_open:
                self._streak.clear()
            case What.OK if self._untold is What.OPENED and not self._probe:
                self._close(row)  # nobody has acted on that opening, and the next attempt went well
                self._untold = None
            case What.FAILED if not self._is_open:
                self._count(row)
            case What.OPENED:
                self._told_open(row)
            case What.CLOSED:
                self._told_closed(row)
            case What.RESET:
                self._reset(row)
            case What.PROBE if self._is_open:
                self._probe = row.place
            case _:
                pass

    @property
    def opened_at(self) -> int:
        """When the circuit opened, if it is not closed."""
        return self._opened_at if self._is_open else 0

    def circuit(self, at: int) -> Circuit:
        """How it stands at this time."""
        key = self.breaker.key
        if not self._is_open:
            if self._untold is None:
                return Circuit(key, failures=len(self._streak))
            return Circuit(
                key, failures=len(self._streak), place=self._place, untold=self._untold,
                closed_at=self._closed_at,
            )  # fmt: skip
        until = self._opened_at + round(self.breaker.cooldown_s * 1e6)
        half = at >= until or bool(self._probe)
        return Circuit(
            key, CircuitState.HALF_OPEN if half else CircuitState.OPEN, self._failures,
            self._opened_at, until, self._place, self._probe, self._untold,
        )  # fmt: skip

    def _is_probe(self, row: Outcome) -> bool:
        return self._is_open and row.place == self._probe

    def _count(self, row: Outcome) -> None:
        self._streak = [*self._streak[-MOST_FAILURES:], row.at]
        begin = row.at - round(self.breaker.within_s * 1e6)
        recent = sum(at >= begin for at in self._streak)
        if recent >= self.breaker.failures:
            self._open(row, recent)

    def _open(self, row: Outcome, failures: int) -> None:
        self._is_open, self._probe, self._untold = True, "", What.OPENED
        self._opened_at, self._place, self._failures = row.at, row.place, failures
        self._turns.add((What.OPENED, row.place))

    def _close(self, row: Outcome) -> None:
        self._is_open, self._probe, self._untold = False, "", What.CLOSED
        self._closed_at, self._place = row.at, row.place
        self._streak.clear()
        self._turns.add((What.CLOSED, row.place))

    def _reset(self, row: Outcome) -> None:
        self._is_open, self._probe, self._untold = False, "", None
        self._reset_at = row.at
        self._streak.clear()

    def _told_open(self, row: Outcome) -> None:
        """Two engines may tell of one opening, and by rules of their own of another."""
        if not self._is_open and (What.OPENED, row.place) not in self._turns:
            self._open(row, max(1, len(self._streak)))
        if self._is_open:
            self._untold = None
        self._turns.add((What.OPENED, row.place))

    def _told_closed(self, row: Outcome) -> None:
        if self._is_open and (What.CLOSED, row.place) not in self._turns:
            self._close(row)
        if not self._is_open:
            self._untold = None
        self._turns.add((What.CLOSED, row.place))


def sentence(circuit: Circuit) -> str:
    """Why a task with this breaker is held, in a sentence; "" if it is not."""
    name = f"breaker {circuit.key!r}"
    match circuit.state:
        case CircuitState.CLOSED:
            return ""
        case CircuitState.OPEN:
            run_id, task, attempt = parts_of(circuit.place)
            until = datetime.fromtimestamp(min(max(0, circuit.until // 1_000_000), _LAST_S), UTC)
            return (
                f"{name} is open until {until:%Y-%m-%d %H:%M:%S} UTC: {_counted(circuit.failures)},"
                f" the last one in run {run_id}, task {task!r}, attempt {attempt}"
            )
        case CircuitState.HALF_OPEN if circuit.probe:
            run_id, task, attempt = parts_of(circuit.probe)
            return (
                f"{name} is half-open: run {run_id}, task {task!r}, attempt {attempt} is its probe,"
                " and the others wait for how that ends"
            )
        case CircuitState.HALF_OPEN:
            return f"{name} is half-open: the next attempt is its probe, and the others wait"


def _counted(failures: int) -> str:
    return count_of(failures, "failure") + " in a row" * (failures != 1)


def endings(rows: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """The rows that say how an attempt ended."""
    return tuple(row for row in rows if row.what not in TURNS)


def kept(rows: Sequence[Outcome]) -> list[Outcome]:
    """The rows of one key, oldest first, without those that are not kept any longer."""
    cut = len(rows) - KEPT
    if cut <= 0:
        return list(rows)
    last = {row.what: number for number, row in enumerate(rows) if row.what in TURNS}
    return [rows[number] for number in sorted(last.values()) if number < cut] + list(rows[cut:])
