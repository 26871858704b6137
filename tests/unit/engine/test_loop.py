"""loop: decide, commit, start; one turn, one transaction, for all runs."""

from __future__ import annotations

import logging

import pytest
from histories_of import A_THEN_B
from loop_rig import Rig
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.definition import PayloadRef, Upstream
from durable_wf.core.resources import Resources
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine.inbox import POLL_S
from durable_wf.engine.pools import RETRY_S
from durable_wf.errors import DiskFull, OwnedElsewhere, StoreBusy
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Answer, Batch, Command, RunAppend, Verb

WIDE = workflow(task("a"), task("b"), task("c"))
READS_A = workflow(task("a"), task("b", "a", args=(Upstream("a"),)))
TROUBLES = pytest.mark.parametrize("trouble", [DiskFull("full"), StoreBusy("busy")])


def steal(rig, live):
    """Another engine writes to the run, as it may when this one was thought dead."""
    row = rig.log.row(live.run_id)
    event = e.Recorded(row.n + 1, 10, e.RunClaimed("e-9", "recover"))
    other = MemoryLog(rig.log.shelf)
    append = RunAppend(row.run, row.run_id, row.n, [event], row)
    assert not other.append(Batch([append])).conflicts


def post(rig, verb, run_id="r"):
    """A command from another process; the inbox is looked at in the next turn."""
    rig.clock.s += POLL_S
    other = MemoryLog(rig.log.shelf)
    return other.post(run_id, verb, "ann", f"k-{verb.value}", 1, "{}")


# --- decide, commit, start ----------------------------------------------------------------------


def test_a_run_goes_from_its_creation_to_its_end():
    rig = Rig()
    live = rig.enter()
    rig.turn()
    rig.executor.ends("a")
    rig.turn()
    rig.executor.ends("b")
    rig.turn()
    assert rig.log.kinds() == [
        "RunCreated", "RunClaimed", "RunStarted", "AttemptStarted", "AttemptSucceeded",
        "AttemptStarted", "AttemptSucceeded", "RunSucceeded",
    ]  # fmt: skip
    assert rig.settled == ["r"]
    assert live.state.status is RunStatus.SUCCEEDED
    assert rig.executor.forgotten == [1]
    assert rig.loop.runs() == []


def test_nothing_starts_before_its_attempt_is_in_the_log():
    """And an assignment carries the number that its announcement has there."""
    rig = Rig()
    found = []
    rig.executor.on_start = lambda one: found.append((one, rig.log.shelf.events[one.seq - 1]))
    rig.enter(WIDE, "r", 1)
    rig.enter(A_THEN_B, "s", 2)
    rig.turn()
    assert len(found) == 4
    for one, stored in found:
        assert stored.kind == "AttemptStarted"
        assert (stored.run, stored.task, stored.attempt) == (one.run, one.task, one.attempt)


def test_a_turn_has_one_transaction_however_many_runs():
    rig = Rig(seats=8)
    for key in range(1, 5):
        rig.enter(A_THEN_B, f"r{key}", key)
    rig.turn()
    assert len(rig.log.batches) == 1
    for key in range(1, 5):
        rig.executor.ends("a", run=key)
    rig.turn()
    assert len(rig.log.batches) == 2
    assert len(rig.log.batches[1].appends) == 4
    assert rig.executor.tasks().count("b") == 4


def test_a_turn_in_which_nothing_happened_writes_nothing():
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.turn()
    rig.turn()
    assert len(rig.log.batches) == 1


def test_assignments_come_in_the_order_of_the_log():
    """A worker's begun mark is the highest number it began, so they must rise. By priority the
    runs take turns; in the log the events of each run stand together.
    """
    rig = Rig()
    rig.enter(workflow(task("x", priority=2), task("z")), "r", 1)
    rig.enter(workflow(task("y", priority=1)), "s", 2)
    rig.turn()
    (batch,) = rig.executor.batches
    assert [one.task for one in batch] == ["x", "z", "y"]
    assert [one.seq for one in batch] == sorted(one.seq for one in batch)


def test_what_finds_no_seat_waits_for_one():
    rig = Rig(seats=1)
    rig.enter(WIDE)
    rig.turn()
    assert rig.executor.tasks() == ["a"]
    rig.executor.ends("a")
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]


def test_an_engine_that_ends_starts_nothing_more():
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.loop.starting = False
    rig.executor.ends("a")
    rig.turn()
    assert rig.executor.tasks() == ["a"]
    assert rig.log.kinds()[-1] == "AttemptSucceeded"
    rig.loop.starting = True
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]


def test_a_failure_and_its_conclusion_are_one_transaction():
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    assert len(rig.log.batches) == 2
    assert rig.log.kinds()[-5:] == [
        "AttemptFailed", "TaskFailed", "RunDraining", "TasksClosed", "RunFailed",
    ]  # fmt: skip
    assert rig.executor.tasks() == ["a"]


# --- payloads -----------------------------------------------------------------------------------


def test_a_payload_is_committed_with_the_result_that_names_it():
    rig = Rig()
    rig.enter(READS_A)
    rig.turn()
    ref = PayloadRef("d" * 32, 3)
    rig.executor.ends("a", ref, payload=b"[1]")
    rig.turn()
    assert ("d" * 32, b"[1]") in rig.log.batches[1].payloads
    (argument,) = rig.executor.given("b").args
    assert (argument.value, argument.payload, argument.task) == (ref, b"[1]", "a")
    rig.executor.ends("b")
    rig.turn()
    assert [*rig.log.batches[2].payloads] == []


def test_a_payload_that_was_just_committed_is_not_read_back(monkeypatch):
    rig = Rig()
    rig.enter(READS_A)
    rig.turn()
    rig.executor.ends("a", PayloadRef("d" * 32, 3), payload=b"[1]")
    monkeypatch.setattr(rig.log, "payload", lambda digest: pytest.fail("read back"))
    rig.turn()
    assert rig.executor.given("b").args[0].payload == b"[1]"


def test_a_lost_payload_pauses_the_run_and_blames_no_task():
    """The task whose input is gone has not failed; it is given back."""
    rig = Rig()
    live = rig.enter(READS_A)
    rig.turn()
    rig.executor.ends("a", PayloadRef("d" * 32, 3))
    rig.turn()
    assert rig.executor.tasks() == ["a"]
    rig.turn()
    assert rig.log.kinds()[-2:] == ["RunPaused", "AttemptReturned"]
    paused, _ = rig.log.batches[-1].appends[0].events
    assert "the result of task 'a', which task 'b' needs, is lost" in paused.event.cause
    assert live.state.status is RunStatus.PAUSED
    assert rig.settled == ["r"]


# --- a store that cannot be written -----------------------------------------------------------


@TROUBLES
def test_a_store_that_cannot_be_written_keeps_the_batch_and_starts_nothing(trouble, caplog):
    rig = Rig()
    rig.enter()
    started_by_then = []

    def look():
        started_by_then.append(len(rig.executor.started))
        rig.loop.wake()

    rig.log.troubles, rig.log.on_trouble = [trouble] * 3, look
    with caplog.at_level(logging.WARNING, "durable_wf.engine"):
        rig.turn()
    assert started_by_then == [0, 0, 0]
    assert rig.log.refused == rig.log.batches * 3
    assert rig.executor.tasks() == ["a"]
    assert [record.message for record in caplog.records] == [
        f"{trouble.message}; waiting, nothing is lost",
        "the store can be written again",
    ]


@TROUBLES
def test_an_engine_that_must_end_does_not_wait_for_the_store(trouble):
    rig = Rig()
    rig.enter()
    rig.log.troubles = [trouble]
    rig.loop.may_commit_later = lambda: False
    with pytest.raises(type(trouble)):
        rig.turn()
    assert rig.executor.started == []


# --- conflicts ----------------------------------------------------------------------------------


def test_a_conflict_drops_only_that_run():
    rig = Rig()
    lost, kept = rig.enter(A_THEN_B, "r", 1), rig.enter(A_THEN_B, "s", 2)
    rig.turn()
    steal(rig, lost)
    before = rig.log.kinds("r")
    rig.executor.ends("a", run=1)
    rig.executor.ends("a", run=2)
    rig.turn()
    assert rig.log.kinds("r") == before
    with pytest.raises(OwnedElsewhere, match="run r"):
        lost.handle.result(0)
    assert rig.loop.runs() == [kept]
    assert [one.run for one in rig.executor.started if one.task == "b"] == [2]
    assert rig.executor.forgotten == [1]


def test_what_runs_of_a_dropped_run_is_stopped_and_its_report_ignored():
    rig = Rig()
    lost = rig.enter(WIDE)
    rig.turn()
    steal(rig, lost)
    rig.executor.ends("a")
    rig.turn()
    assert {index for _, index, _ in rig.executor.cancelled} >= {1, 2}
    before = rig.log.kinds()
    rig.executor.ends("b")
    rig.executor.ends("c")
    rig.turn()
    assert rig.log.kinds() == before


def test_a_run_that_exists_already_is_not_started_twice():
    rig = Rig()
    first = rig.enter()
    rig.turn()
    other = Rig(rig.log.shelf)
    second = other.enter()
    other.turn()
    with pytest.raises(OwnedElsewhere):
        second.handle.result(0)
    assert other.executor.started == []
    assert rig.loop.runs() == [first]


# --- the inbox ----------------------------------------------------------------------------------


def test_the_answer_stands_in_the_transaction_of_what_it_answers():
    rig = Rig()
    rig.enter()
    rig.turn()
    number = post(rig, Verb.PAUSE)
    rig.turn()
    batch = rig.log.batches[-1]
    assert [*batch.answers] == [Answer(number, "r", True, "pause accepted")]
    assert [recorded.event for recorded in batch.appends[0].events] == [e.RunPaused("ann")]
    assert rig.log.inbox() == []


def test_a_refusal_is_an_answer_too():
    rig = Rig()
    rig.enter()
    rig.turn()
    rig.executor.breaks("a")
    number = post(rig, Verb.RESUME)
    rig.turn()
    answered = rig.log.command(number)
    assert answered.accepted is False
    assert answered.answer == "run r has failed and cannot be resumed"


def test_what_a_cancel_stops_is_stopped_after_the_commit():
    rig = Rig()
    rig.enter(WIDE)
    rig.turn()
    rig.loop.give(rig.loop.run("r"), i.Cancel("ann"))
    rig.log.troubles = [DiskFull("full")]
    stopped_by_then = []

    def look():
        stopped_by_then.extend(rig.executor.cancelled)
        rig.loop.wake()

    rig.log.on_trouble = look
    rig.turn()
    assert stopped_by_then == []
    assert rig.executor.cancelled == [(1, 0, 1), (1, 1, 1), (1, 2, 1)]


def test_commands_for_runs_of_others_are_left_alone():
    rig = Rig()
    rig.enter()
    rig.turn()
    number = post(rig, Verb.CANCEL, "somebody-elses")
    rig.turn()
    assert [command.id for command in rig.log.inbox()] == [number]


def test_a_command_that_waits_for_a_run_is_obeyed_once_the_run_is_adopted():
    """Though nothing new was posted since the inbox was last read."""
    rig = Rig()
    number = post(rig, Verb.PAUSE)
    rig.turn()
    rig.enter()
    rig.turn()
    rig.clock.s += POLL_S
    rig.turn()
    answered: Command = rig.log.command(number)
    assert answered.accepted is True


# --- pools --------------------------------------------------------------------------------------

NEEDY = workflow(*(task(name, resources=Resources(pools=(("db", 1),))) for name in "ab"))


def test_a_task_whose_pool_others_hold_waits_and_comes_again():
    holder = Rig(db=1)
    holder.enter(NEEDY, "s")
    holder.turn()
    (held,) = holder.executor.started
    rig = Rig(holder.log.shelf, engine="e-2", db=1)
    rig.enter(workflow(task("c", resources=NEEDY.tasks[0].resources)))
    rig.turn()
    assert rig.executor.started == []
    holder.loop.starting = False
    holder.executor.ends(held.task)
    holder.turn()
    rig.turn()
    assert rig.executor.started == []
    rig.clock.s += RETRY_S
    rig.turn()
    assert rig.executor.tasks() == ["c"]
    assert rig.log.held("pool/db") == {"e-2": 1}


def test_units_of_a_dropped_run_come_back_without_waiting_for_other_work():
    """An engine may have nothing else to write for hours; others wait for the units."""
    rig = Rig(db=1)
    lost = rig.enter(NEEDY)
    rig.turn()
    (held,) = rig.executor.started
    assert rig.log.held("pool/db") == {"e-1": 1}
    steal(rig, lost)
    rig.loop.give(lost, i.Pause("ann"))
    rig.turn()
    assert rig.loop.runs() == []
    rig.executor.ends(held.task)
    rig.turn()
    assert rig.log.held("pool/db") == {}


# --- the end, onlookers, other threads ----------------------------------------------------------


def test_attempts_killed_by_the_closing_stay_open_in_the_log():
    """They are in doubt when the run is claimed again; what had ended before is recorded."""
    rig = Rig()
    live = rig.enter(WIDE)
    rig.turn()
    rig.executor.ends("a")
    rig.executor.breaks("b", fault=e.Fault(FaultKind.LOST, "killed"))
    rig.executor.breaks("c", fault=e.Fault(FaultKind.ERROR, "boom"))
    rig.loop.take_last_reports()
    rig.loop.flush()
    assert [*live.state.running] == [1]
    assert rig.log.kinds().count("AttemptFailed") == 1
    assert rig.log.kinds().count("AttemptSucceeded") == 1


def test_onlookers_hear_not_too_often_and_always_of_the_end():
    rig = Rig()
    heard = []
    live = rig.enter()
    live.on_progress = heard.append
    rig.clock.s = 5.0
    rig.turn()
    rig.executor.ends("a")
    rig.turn()
    assert [told.counts.succeeded for told in heard] == [0]
    rig.clock.s = 6.0
    rig.turn()
    assert [told.counts.succeeded for told in heard] == [0, 1]
    rig.executor.ends("b")
    rig.turn()
    assert heard[-1].status is RunStatus.SUCCEEDED
    assert heard[-1].counts.succeeded == 2


def test_an_onlooker_that_raises_is_dropped_and_the_run_goes_on(caplog):
    rig = Rig()
    calls = []

    def broken(progress):
        calls.append(progress)
        raise RuntimeError("no")

    live = rig.enter()
    live.on_progress = broken
    rig.clock.s = 5.0
    rig.turn()
    rig.clock.s = 9.0
    rig.executor.ends("a")
    rig.turn()
    assert len(calls) == 1
    assert "progress callback of run r" in caplog.text
    assert rig.executor.tasks() == ["a", "b"]


def test_requests_are_done_in_the_turn_and_promises_after_its_commit():
    rig = Rig()
    seen = []

    def act():
        rig.enter()
        rig.loop.after_commit(lambda: seen.append(rig.log.kinds()))
        seen.append(len(rig.log.batches))

    rig.loop.request(act)
    assert seen == []
    rig.turn()
    assert seen[0] == 0
    assert seen[1][-1] == "AttemptStarted"


def test_facts_of_the_store_go_with_the_next_commit():
    rig = Rig()
    rig.loop.announce(e.EngineStopped("e-1"))
    rig.loop.flush()
    rig.loop.flush()
    (batch,) = rig.log.batches
    assert [*batch.store_events] == [(rig.clock.us, e.EngineStopped("e-1"))]


def test_a_paused_run_is_settled_when_nothing_of_it_runs():
    rig = Rig()
    live = rig.enter()
    rig.turn()
    rig.loop.give(live, i.Pause("ann"))
    rig.turn()
    assert rig.settled == []
    rig.executor.ends("a")
    rig.turn()
    assert rig.settled == ["r"]
    assert rig.loop.runs() == [live]
    assert rig.executor.tasks() == ["a"]
