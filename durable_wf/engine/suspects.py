"""Suspects: runs over which engines have died, and how the innocent among them are told apart.

Owns: which of them must wait for their turn. When an engine dies, every run that had open attempts
may be to blame. A run at its last chance (one more death and it is paused) has open attempts only
while no other suspect has any: so when the engine dies again, there is one to blame. Progress
clears a run; it then runs beside all others.
Must never: pause a run; the core does, at its next claim.
Read next: `choosing.py`, which asks; `core/decide_runs.py` (`claim`), which pauses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence

import attrs

from durable_wf.core import inputs as i
from durable_wf.core.judge import CRASH_LOOP, in_a_row
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind
from durable_wf.engine.live import LiveRun

log = logging.getLogger("durable_wf.engine")

CRASH_LIMIT = 3
"""How many engines in a row may die over a run before it is paused."""


@attrs.frozen
class Suspect:
    """A run over which `crashes` engines in a row have died. `is_busy`: it has open attempts;
    `may_start`: it would start some.
    """

    key: int
    crashes: int
    is_busy: bool
    may_start: bool


def held(suspects: Sequence[Suspect], limit: int) -> frozenset[int]:
    """Those that may start nothing now."""
    last_chance = {one.key for one in suspects if one.crashes >= max(1, limit - 1)}
    if not limit or not last_chance:
        return frozenset()
    busy = {one.key for one in suspects if one.is_busy}
    if not busy:
        first = next(
            (one.key for one in suspects if one.key in last_chance and one.may_start), None
        )
        return frozenset() if first is None else _others(suspects, {first})
    if busy & last_chance:
        return _others(suspects, busy)
    return frozenset(last_chance)


def _others(suspects: Iterable[Suspect], than: set[int]) -> frozenset[int]:
    return frozenset(one.key for one in suspects if one.key not in than)


class Suspects:
    """Those that an engine holds. `held` are the keys of those that start nothing now."""

    def __init__(self, limit: int = CRASH_LIMIT) -> None:
        self.held: frozenset[int] = frozenset()
        self._limit = limit
        self._runs: dict[int, LiveRun] = {}

    @property
    def in_use(self) -> bool:
        """Whether there are any."""
        return bool(self._runs)

    def take(self, live: LiveRun) -> None:
        """A run has come into the hands of this engine."""
        if live.state.crashes:
            self._runs[live.key] = live

    def forget(self, live: LiveRun) -> None:
        """The run is held no more."""
        self._runs.pop(live.key, None)

    def released(self, aside: Callable[[LiveRun], Container[int]]) -> list[LiveRun]:
        """Look at them again; returns those that may start from now on and could not before.
        `aside` gives tasks of a run that wait for something else: no run waits for its turn behind
        one that has no other tasks.
        """
        for live in [live for live in self._runs.values() if not live.state.crashes]:
            self.forget(live)
            if live.key in self.held:
                self.held -= {live.key}
        before = self.held
        self.held = held([_seen(live, aside(live)) for live in self._runs.values()], self._limit)
        for key in self.held - before:
            live = self._runs[key]
            log.warning(
                "run %s waits for its turn: %s, and it runs beside no other such run",
                live.run_id, in_a_row(live.state.crashes),
            )  # fmt: skip
        return [self._runs[key] for key in sorted(before - self.held) if key in self._runs]


def _seen(live: LiveRun, aside: Container[int]) -> Suspect:
    state = live.state
    is_busy = bool(state.running)
    may_start = not is_busy and any(index not in aside for index in state.all_ready())
    return Suspect(live.key, state.crashes, is_busy, may_start)


def in_crash_loop(state: RunState, limit: int) -> bool:
    """Whether so many engines have died over the run that it stays paused."""
    return 0 < limit <= state.crashes


def say_paused(state: RunState) -> None:
    """Tell who started this engine that a run stays paused."""
    run_id = state.run_id
    log.warning("run %s is paused: %s; to go on: dwf resume %s", run_id, state.cause, run_id)


# --- a run that takes back what it did ------------------------------------------------------------


def ask_a_person(
    judge: Callable[[RunState, int], i.Decision], limit: int
) -> Callable[[RunState, int], i.Decision]:
    """`judge`, but for compensations over which engines die: a draining run cannot be paused, so a
    person is asked instead of trying again.
    """

    def decide(state: RunState, index: int) -> i.Decision:
        in_doubt = state.faults[index].kind is FaultKind.IN_DOUBT
        if index < state.forward or not in_doubt or not in_crash_loop(state, limit):
            return judge(state, index)
        task = state.graph.names[index]
        reason = in_a_row(state.crashes)
        return i.Escalate(index, CRASH_LOOP, reason, f"{task}: {reason}; what now?")

    return decide
