"""claiming: who may take a run, and what becomes of attempts whose engine died."""

from __future__ import annotations

import time

import attrs
import pytest
from histories_of import (
    A_THEN_B,
    BOTH_DONE,
    CANCELLING,
    CLAIMED,
    CREATED,
    PAUSED,
    RELEASED,
    STARTED,
    SUCCEEDED,
    begun,
    broke,
    closed,
)
from loop_rig import put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.state import row_of
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine import claiming
from durable_wf.engine.claiming import Claimed, claim, refuse_if_not_claimable, replayed
from durable_wf.engine.overtaken import Overtaken
from durable_wf.engine.view import load_state
from durable_wf.errors import HistoryError, OwnedElsewhere, WrongState
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.store import locks as lock_files
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch, RunAppend

BEGUN = (CREATED, CLAIMED, STARTED)
TWO_OPEN = (*BEGUN, begun("a"), begun("b"))
SIDE_BY_SIDE = workflow(task("a"), task("b"))


@pytest.fixture
def log():
    return MemoryLog()


def begin_mark(locks, seq, worker="w-1-0"):
    """The worker's mark says that it had begun `seq`."""
    mark = BegunMark(path_of(locks, worker), create=True)
    mark.begin(seq, 1, 0)
    mark.close()


def taken(log, locks, *events, workflow=A_THEN_B):
    """The claim of a run with this history, by another engine."""
    row, state = put(log, *events, workflow=workflow)
    return row, claim(log, locks, row, state, "e-2", "recover", 1_000)


def test_what_is_read_later_than_who_runs_it_is_no_claim(log, tmp_path, monkeypatch):
    """The row tells of an engine that is dead, the history of one that has taken over since: its
    workers are not ended.
    """
    row, _ = put(log, *BEGUN, begun())
    append = RunAppend(row.run, "r", row.n, [e.Recorded(row.n + 1, 9, RELEASED)], row)
    assert not log.append(Batch([append])).conflicts
    monkeypatch.setattr(claiming, "clear_worker", lambda *given: pytest.fail("ended"))
    with pytest.raises(Overtaken):
        claim(log, tmp_path, row, load_state(log, "r"), "e-2", "recover", 1_000)


def kinds(claimed):
    return [type(recorded.event).__name__ for recorded in claimed.events]


# --- who may ------------------------------------------------------------------------------------


def test_a_run_of_a_dead_engine_may_be_claimed(log, tmp_path):
    """No lock file, or one that nobody holds."""
    row, _ = put(log, *BEGUN)
    assert row.engine == "e-1"
    assert refuse_if_not_claimable(log, row, tmp_path) is None
    lock_files.create(tmp_path, "e-1").release()
    assert refuse_if_not_claimable(log, row, tmp_path) is None


def test_an_engine_that_lives_keeps_its_runs(log, tmp_path):
    row, _ = put(log, *BEGUN)
    lock = lock_files.create(tmp_path, "e-1")
    try:
        with pytest.raises(OwnedElsewhere, match="engine e-1, which is alive"):
            refuse_if_not_claimable(log, row, tmp_path)
    finally:
        lock.release()


def test_a_run_that_was_released_is_free_though_its_engine_lives(log, tmp_path):
    row, _ = put(log, *BEGUN, RELEASED)
    lock = lock_files.create(tmp_path, "e-1")
    try:
        assert row.engine == ""
        assert refuse_if_not_claimable(log, row, tmp_path) is None
    finally:
        lock.release()


def test_a_run_that_ended_has_ended(log, tmp_path):
    row, state = put(log, *BEGUN, *BOTH_DONE, SUCCEEDED)
    with pytest.raises(WrongState, match="has ended: succeeded") as refused:
        refuse_if_not_claimable(log, row, tmp_path)
    assert refused.value.hint == f"dwf show {row.run_id}"
    with pytest.raises(WrongState, match="has ended"):
        claim(log, tmp_path, row, state, "e-2", "resume", 1_000)


def test_a_run_that_failed_is_not_continued_but_retried(log, tmp_path):
    row, _ = put(log, *BEGUN, *BOTH_DONE, SUCCEEDED)
    failed = attrs.evolve(row, status=RunStatus.FAILED)
    with pytest.raises(WrongState, match="has ended: failed") as refused:
        refuse_if_not_claimable(log, failed, tmp_path)
    assert refused.value.hint == f"dwf retry {row.run_id}"


def test_an_imported_run_is_only_read(log, tmp_path):
    row, _ = put(log, *BEGUN)
    with pytest.raises(WrongState, match="was imported"):
        refuse_if_not_claimable(log, attrs.evolve(row, imported=True), tmp_path)


def test_a_run_that_the_log_says_was_imported_is_only_read_whatever_its_row_says(log, tmp_path):
    row, _ = put(log, *BEGUN, said=[e.RunImported("ann", "r", len(BEGUN))])
    assert not row.imported
    with pytest.raises(WrongState, match="was imported"):
        refuse_if_not_claimable(log, row, tmp_path)


# --- what becomes of open attempts --------------------------------------------------------------


def test_without_open_attempts_a_claim_is_just_that(log, tmp_path):
    row, claimed = taken(log, tmp_path, *BEGUN)
    assert [recorded.event for recorded in claimed.events] == [e.RunClaimed("e-2", "recover")]
    assert claimed.events[0].n == row.n + 1
    assert claimed.state.engine == "e-2"


def test_an_attempt_of_which_nothing_is_known_is_in_doubt_and_runs_again(log, tmp_path):
    """No mark: it may have begun."""
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    assert kinds(claimed) == ["RunClaimed", "AttemptFailed", "TaskRetryScheduled", "TaskWoken"]
    fault = claimed.events[1].event.fault
    assert fault.kind is FaultKind.IN_DOUBT
    assert "attempt 1" in fault.message
    assert claimed.state.all_ready() == [0]
    assert claimed.state.in_doubt == {0: 1}


def test_an_attempt_that_had_begun_is_in_doubt(log, tmp_path):
    begin_mark(tmp_path, 4)  # the AttemptStarted is event 4 of an empty log
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    assert kinds(claimed)[1] == "AttemptFailed"


def test_an_attempt_that_had_not_begun_is_given_back_uncounted(log, tmp_path):
    begin_mark(tmp_path, 3)
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    assert kinds(claimed) == ["RunClaimed", "AttemptReturned"]
    assert claimed.state.all_ready() == [0]
    assert claimed.state.in_doubt == {}


def test_each_attempt_is_judged_by_itself_in_the_order_of_the_log(log, tmp_path):
    """The worker had begun `a`, while `b` waited in its pipe."""
    begin_mark(tmp_path, 4)
    _, claimed = taken(log, tmp_path, *TWO_OPEN, workflow=SIDE_BY_SIDE)
    assert kinds(claimed) == [
        "RunClaimed", "AttemptFailed", "TaskRetryScheduled", "TaskWoken", "AttemptReturned",
    ]  # fmt: skip
    assert (claimed.events[1].event.task, claimed.events[4].event.task) == ("a", "b")


def test_a_draining_run_ends_with_its_claim(log, tmp_path):
    """Nothing is run again in a run that was cancelled."""
    _, claimed = taken(log, tmp_path, *BEGUN, begun(), CANCELLING, closed(1))
    assert kinds(claimed) == ["RunClaimed", "AttemptFailed", "TaskCancelled", "RunCancelled"]
    assert claimed.state.status is RunStatus.CANCELLED


def test_a_paused_run_stays_paused(log, tmp_path):
    _, claimed = taken(log, tmp_path, *BEGUN, begun(), PAUSED)
    assert claimed.state.status is RunStatus.PAUSED
    assert claimed.state.running == {}
    assert "TaskWoken" not in kinds(claimed)


def test_a_fault_that_nobody_had_judged_is_judged_by_the_claim(log, tmp_path):
    _, claimed = taken(log, tmp_path, *BEGUN, begun(), broke())
    assert kinds(claimed) == ["RunClaimed", "TaskFailed", "RunDraining", "TasksClosed", "RunFailed"]


@pytest.mark.parametrize(("limit", "paused"), [(3, True), (4, False), (0, False)])
def test_a_run_over_which_so_many_engines_have_died_is_paused(log, tmp_path, limit, paused):
    """Its attempt is decided about, and waits with it."""
    died = [e.RunClaimed(f"e-{k}", "recover") for k in (2, 3)]
    row, state = put(log, *BEGUN, begun(), *died)
    claimed = claim(log, tmp_path, row, state, "e-4", "recover", 1_000, crash_limit=limit)
    expected = ["RunClaimed", *["RunPaused"] * paused, "AttemptFailed", "TaskRetryScheduled"]
    assert kinds(claimed)[: len(expected)] == expected
    assert (state.status is RunStatus.PAUSED) is paused


def test_an_old_worker_that_will_not_die_pauses_the_run(log, tmp_path, monkeypatch):
    """Its attempt stays open: nobody may decide about what may still run."""
    asked = []

    def alive(locks, worker, pid, born, timeout_s):
        asked.append((worker, pid, born))
        return False

    monkeypatch.setattr(claiming, "clear_worker", alive)
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    assert asked == [("w-1-0", 100, 7)]
    assert claimed.survivors == ["w-1-0 (pid 100)"]
    cause = "old worker alive: w-1-0 (pid 100)"
    assert claimed.events[-1].event == e.RunPaused("recovery", cause)
    assert [*claimed.state.running] == [0]


def test_each_old_worker_is_cleared_once(log, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(claiming, "clear_worker", lambda *given: asked.append(given) or True)
    taken(log, tmp_path, *TWO_OPEN, workflow=SIDE_BY_SIDE)
    assert len(asked) == 1
    assert 0 < asked[0][-1] <= claiming.CLEARING_S


# --- the last words of open attempts ------------------------------------------------------------


def beat_mark(locks, seq, detail, worker="w-1-0"):
    """The worker runs attempt `seq`, which has said how far it is."""
    mark = BegunMark(path_of(locks, worker), create=True)
    mark.begin(seq, 1, 0)
    mark.beat(seq, time.monotonic_ns(), detail)
    mark.close()


def test_what_an_open_attempt_has_said_is_read_from_its_mark(log, tmp_path):
    beat_mark(tmp_path, 4, b"41")
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    (beat,) = claimed.beats
    assert (beat.index, beat.attempt, beat.detail) == (0, 1, "41")
    assert beat.at <= 1_000


def test_what_another_attempt_of_the_same_worker_has_said_is_not_its_own(log, tmp_path):
    """The worker had begun `a`, and `b` waited in its pipe; then, that `a` had ended."""
    beat_mark(tmp_path, 4, b"41")
    _, claimed = taken(log, tmp_path, *TWO_OPEN, workflow=SIDE_BY_SIDE)
    assert [beat.index for beat in claimed.beats] == [0]
    beat_mark(tmp_path, 3, b"40", worker="w-2-0")
    open_since = attrs.evolve(begun("a"), worker="w-2-0")
    _, claimed = taken(MemoryLog(), tmp_path, *BEGUN, open_since, workflow=SIDE_BY_SIDE)
    assert claimed.beats == []


def test_an_attempt_that_has_said_nothing_leaves_nothing(log, tmp_path):
    begin_mark(tmp_path, 4)
    _, claimed = taken(log, tmp_path, *BEGUN, begun())
    assert claimed.beats == []


# --- what was decided can be committed --------------------------------------------------------


@pytest.mark.parametrize(
    "history", [BEGUN, (*BEGUN, begun()), (*BEGUN, begun(), PAUSED), (CREATED, CLAIMED)]
)
def test_the_events_of_a_claim_follow_those_of_the_run(log, tmp_path, history):
    row, claimed = taken(log, tmp_path, *history)
    append = RunAppend(row.run, row.run_id, row.n, claimed.events, row_of(claimed.state))
    assert not log.append(Batch([append])).conflicts
    assert row_of(load_state(log, "r")) == row_of(claimed.state)


def test_the_second_of_two_claims_conflicts(log, tmp_path):
    row, claimed = taken(log, tmp_path, *BEGUN)
    other = claim(log, tmp_path, row, replayed(log, row, A_THEN_B), "e-3", "recover", 1_000)
    appends = [
        RunAppend(row.run, row.run_id, row.n, one.events, row_of(one.state))
        for one in (claimed, other)
    ]
    assert not log.append(Batch([appends[0]])).conflicts
    assert log.append(Batch([appends[1]])).conflicts == {"r"}


def test_a_history_that_does_not_fit_its_definition_is_an_error(log):
    row, _ = put(log, *BEGUN)
    with pytest.raises(HistoryError):
        replayed(log, row, workflow(task("a")))


def test_a_refusal_is_returned_and_adds_nothing(log):
    _, state = put(log, *BEGUN, *BOTH_DONE, SUCCEEDED)
    claimed = Claimed(state)
    assert "has ended" in claimed.give(i.Claim("e-2", "resume"), 1_000)
    assert claimed.events == []
