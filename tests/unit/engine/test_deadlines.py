"""deadlines: of tasks over all attempts and of runs; in the loop, after crashes, while paused."""

from __future__ import annotations

import attrs
import pytest
from histories_of import A_THEN_B, CLAIMED, CREATED, PAUSED, STARTED, begun
from loop_rig import FakeClock, Rig, live_of, put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.fault import Fault
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine.claiming import claim
from durable_wf.store.memory import MemoryLog

SECOND = 1_000_000
AT = FakeClock().us + 60 * SECOND
"""A minute after the rig begins."""


def pass_(rig, seconds):
    """Time goes by, on both clocks."""
    rig.clock.us += round(seconds * SECOND)
    rig.clock.s += seconds


def entered(work=A_THEN_B):
    rig = Rig()
    live = rig.enter(work, deadline_at=AT)
    rig.turn()
    return rig, live


# --- of runs --------------------------------------------------------------------------------------


def test_a_run_fails_at_its_deadline_and_what_runs_is_stopped():
    rig, live = entered()
    pass_(rig, 59.9)
    rig.turn()
    assert live.state.status is RunStatus.RUNNING
    assert rig.executor.cancelled == []
    pass_(rig, 0.2)
    rig.turn()
    assert live.state.status is RunStatus.DRAINING
    assert rig.executor.cancelled == [(1, 0, 1)]
    rig.executor.breaks("a", fault=Fault(FaultKind.LOST, "was cancelled"))
    rig.turn()
    assert live.state.status is RunStatus.FAILED
    assert rig.log.row("r").cause == "the run's deadline has passed"
    assert rig.settled == ["r"]


def test_a_run_that_ends_in_time_knows_nothing_of_its_deadline():
    rig, live = entered()
    pass_(rig, 59)
    rig.executor.ends("a")
    rig.turn()
    rig.executor.ends("b")
    rig.turn()
    assert live.state.status is RunStatus.SUCCEEDED
    assert rig.log.row("r").wake_at is None


def test_the_row_says_when_the_run_must_be_looked_at():
    """Others, who do not hold the run, go by it."""
    rig, live = entered()
    assert (rig.log.row("r").wake_at, live.wake_at) == (AT, AT)


def test_a_timer_that_is_due_before_comes_first():
    rig, live = entered()
    live.judge = lambda state, index: i.Retry(index, "mine", "later", 10 * SECOND)
    rig.executor.breaks("a")
    rig.turn()
    assert live.wake_at == rig.clock.us + 10 * SECOND
    assert rig.log.row("r").wake_at == live.wake_at
    pass_(rig, 10)
    rig.turn()
    rig.turn()
    assert rig.executor.given("a").attempt == 2
    assert live.wake_at == AT


def test_a_paused_run_waits_and_fails_when_it_is_resumed():
    rig, live = entered()
    rig.loop.give(live, i.Pause("ann"))
    rig.turn()
    assert live.wake_at is None
    pass_(rig, 100)
    rig.turn()
    assert live.state.status is RunStatus.PAUSED
    rig.executor.ends("a")
    rig.turn()
    rig.loop.give(live, i.Resume("ann"))
    rig.turn()
    assert rig.executor.tasks() == ["a"], "nothing starts for which there is no time"
    assert live.state.status is RunStatus.FAILED


def test_a_run_that_drains_for_another_reason_has_no_deadline_any_more():
    rig, live = entered()
    rig.loop.give(live, i.Cancel("ann"))
    rig.turn()
    assert live.wake_at is None
    pass_(rig, 100)
    rig.turn()
    rig.executor.breaks("a", fault=Fault(FaultKind.LOST, "was cancelled"))
    rig.turn()
    assert live.state.status is RunStatus.CANCELLED


def test_an_engine_that_comes_back_after_the_deadline_fails_the_run_at_once(tmp_path):
    log = MemoryLog()
    created = attrs.evolve(CREATED, deadline_at=AT)
    row, state = put(log, created, CLAIMED, STARTED, begun())
    claimed = claim(log, tmp_path, row, state, "e-2", "recover", AT)
    assert claimed.state.status is RunStatus.FAILED
    assert claimed.events[-1].event == e.RunFailed("the run's deadline has passed")
    assert not any(isinstance(one.event, e.TaskRetryScheduled) for one in claimed.events)


def test_an_engine_that_comes_back_in_time_goes_on_and_keeps_to_the_deadline(tmp_path):
    rig = Rig()
    created = attrs.evolve(CREATED, deadline_at=AT)
    row, state = put(rig.log, created, CLAIMED, STARTED, begun())
    claimed = claim(rig.log, tmp_path, row, state, "e-2", "recover", AT - 5 * SECOND)
    live = live_of(state, run=row.run, committed_n=row.n, pending=claimed.events)
    rig.clock.us = AT - 5 * SECOND
    rig.loop.adopt(live)
    rig.turn()
    assert rig.executor.given("a").attempt == 2
    assert live.wake_at == AT
    pass_(rig, 5)
    rig.turn()
    assert live.state.status is RunStatus.DRAINING


def test_an_engine_that_claims_a_paused_run_after_its_deadline_leaves_it_paused(tmp_path):
    log = MemoryLog()
    created = attrs.evolve(CREATED, deadline_at=AT)
    row, state = put(log, created, CLAIMED, STARTED, PAUSED)
    claimed = claim(log, tmp_path, row, state, "e-2", "resume", AT + SECOND)
    assert claimed.state.status is RunStatus.PAUSED
    claimed.give(i.Resume("ann"), AT + SECOND)
    assert claimed.state.status is RunStatus.FAILED


# --- of tasks -------------------------------------------------------------------------------------

HURRIED = workflow(task("a", deadline_s=60.0), task("b", "a", optional=True))


@pytest.fixture
def patient():
    """A rig whose rule tries again after 20 s, for ever."""
    rig = Rig()
    live = rig.enter(HURRIED)
    live.judge = lambda state, index: i.Retry(index, "mine", "again in 20 s", 20 * SECOND)
    rig.turn()
    return rig, live


def fail_and_wait(rig, seconds):
    rig.executor.breaks("a")
    rig.turn()
    pass_(rig, seconds)
    rig.turn()
    rig.turn()


def test_attempts_share_the_time_of_their_task(patient):
    rig, _ = patient
    fail_and_wait(rig, 20)
    fail_and_wait(rig, 20)
    assert [one.limits.timeout_s for one in rig.executor.started] == [60.0, 40.0, 20.0]


def test_a_retry_that_would_begin_after_the_deadline_is_not_made(patient):
    rig, live = patient
    for _ in range(2):
        fail_and_wait(rig, 20)
    pass_(rig, 1)
    fail_and_wait(rig, 0)
    assert len(rig.executor.started) == 3
    failed = next(one.event for one in rig.log.history(1) if isinstance(one.event, e.TaskFailed))
    assert failed.rule == "deadline"
    assert failed.reason.endswith("again in 20 s")
    assert live.state.status is RunStatus.FAILED


def test_an_attempt_that_could_begin_only_after_the_deadline_never_does(patient):
    """It was woken in time, but nobody was there to begin it."""
    rig, live = patient
    rig.executor.breaks("a")
    rig.turn()
    rig.executor.seats_now = []
    pass_(rig, 20)
    rig.turn()
    rig.turn()
    rig.executor.seats_now = Rig().executor.seats_now
    pass_(rig, 41)
    rig.turn()
    rig.turn()
    assert len(rig.executor.started) == 1
    fault = [one.event for one in rig.log.history(1) if isinstance(one.event, e.AttemptFailed)][-1]
    assert fault.attempt == 2
    assert fault.fault.kind is FaultKind.TIMEOUT
    assert fault.fault.message == (
        "its task's deadline of 60 s over all attempts had passed before the attempt could begin"
    )
    assert live.state.status is RunStatus.FAILED
