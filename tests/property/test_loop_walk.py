"""Random lives of engines that share a store: no attempt is made twice at once, every history is
sound, and every run can be ended; and what breaks the engine is caught by some of these walks.
"""

from __future__ import annotations

import logging
from collections import Counter

import pytest
from faults.scale import TORTURE, say
from loop_walks import IN_DOUBT_BUDGET, check_loop_walk

from durable_wf.core import judge as judging
from durable_wf.core.events import KINDS
from durable_wf.engine import desk
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.loop import Loop
from durable_wf.engine.timers import Timers
from durable_wf.store.port import Appended

WALKS = 5_000 if TORTURE else 400
SEEDS_FOR_MUTANTS = range(1_000)

ELSEWHERE = {
    *("CodeAccepted", "RunReleased", "TaskFallbackScheduled", "TaskImported"),
    *("EngineStarted", "EngineStopped", "Pruned", "Trusted", "RunImported"),
}
"""Events that no walk comes by: they need code, earlier runs, or an engine with its session."""

RARE = ("RunPaused", "TaskEscalated", "TasksAdded", "ProbeTaken", "AttemptRefused")
"""Events that say how far walks get."""


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    """So small that walks spend it."""
    monkeypatch.setattr(judging, "IN_DOUBT_BUDGET", IN_DOUBT_BUDGET)


@pytest.fixture(autouse=True)
def quiet():
    """Engines warn of what walks do to them all the time."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.timeout(3600 if TORTURE else 180)
def test_every_loop_walk_is_sound_and_can_be_ended():
    """The seed is in the message of what fails."""
    walks_with: Counter[str] = Counter()
    for seed in range(WALKS):
        try:
            walk = check_loop_walk(seed)
        except Exception as error:
            raise AssertionError(f"loop_walks.check_loop_walk({seed}): {error!r}") from error
        walks_with.update(walk.seen())
    assert set(walks_with) == set(KINDS) - ELSEWHERE, "walks see more or less than is said here"
    figures = ", ".join(f"{kind} {walks_with[kind]:,}" for kind in RARE)
    say(f"loop walks: {WALKS:,}, of these with {figures}")


# --- the control: broken engines ----------------------------------------------------------------


def starts_before_the_commit(patch):
    """Attempts begin as soon as they are decided."""
    commit = Loop._commit

    def hasty(self):
        first_seq = {live.run_id: 1 for live in self.runs()}
        for bench in self._benches.values():
            if bench.chosen:
                self._starter.hand_over(bench, Appended({}, first_seq))
        commit(self)

    patch.setattr(Loop, "_commit", hasty)


def probes_without_the_lease(patch):
    """Each engine takes the only right to probe for granted."""
    patch.setattr(Breakers, "_take", lambda self, key, place: True)


def keeps_leases(patch):
    """The right to probe is not given back."""
    patch.setattr(Breakers, "end", lambda self, place: None)


def forgets_who_waits_for_a_breaker(patch):
    """Tasks that were kept aside are never asked about again."""
    patch.setattr(Breakers, "released", lambda self: [])


def ignores_conflicts(patch):
    """A run that another engine has written is kept all the same."""
    patch.setattr(Loop, "_drop", lambda self, appended: None)


def forgets_timers(patch):
    """Nobody is woken."""
    patch.setattr(Timers, "due", lambda self: [])


def leaves_the_late_alone(patch):
    """Commands to runs that have ended are nobody's."""
    patch.setattr(desk, "answer_if_ended", lambda log, command: None)


MUTANTS = (
    starts_before_the_commit,
    probes_without_the_lease,
    keeps_leases,
    forgets_who_waits_for_a_breaker,
    ignores_conflicts,
    forgets_timers,
    leaves_the_late_alone,
)


def _first_caught():
    """The seed of the first walk in which something does not hold."""
    for seed in SEEDS_FOR_MUTANTS:
        try:
            check_loop_walk(seed)
        except AssertionError:
            return seed
    return None


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_engine_is_caught(mutant, monkeypatch):
    """Each mutant is caught by one of the walks."""
    mutant(monkeypatch)
    caught = _first_caught()
    assert caught is not None, f"survived: {mutant.__name__}: {mutant.__doc__}"
