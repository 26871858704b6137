"""answering: what people say to tasks that wait, where no engine lives; and who came first."""

from __future__ import annotations

import json

import pytest
from histories_of import CLAIMED, CREATED, PAUSED, RELEASED, STARTED, begun
from loop_rig import Rig, put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import WaitFor
from durable_wf.core.status import Otherwise, RunStatus, TaskStatus, Verdict, WaitKind
from durable_wf.engine.answering import decide_alone
from durable_wf.engine.commands import LONGEST_REASON, answer_body, check_comment, signal_body
from durable_wf.engine.control import command_live, send
from durable_wf.engine.view import load_state
from durable_wf.errors import CallerError, NotFound, WrongState
from durable_wf.store import locks
from durable_wf.store.memory import MemoryLog
from durable_wf.store.opening import open_store
from durable_wf.store.port import Command, Verb

ASKS = WaitFor(WaitKind.APPROVAL, question="publish?", timeout_s=5.0, on_timeout=Otherwise.SKIP)
REVIEWED = workflow(
    task("build"), task("review", wait=ASKS), task("publish", "review"),
    task("paid", wait=WaitFor(WaitKind.SIGNAL, "payment")),
)  # fmt: skip
BEGUN = (CREATED, CLAIMED, STARTED)
REVIEW = e.TaskWaiting("review", WaitKind.APPROVAL)
PAID = e.TaskWaiting("paid", WaitKind.SIGNAL)
YES = answer_body("review", Verdict.APPROVE)
NO = answer_body("review", Verdict.REJECT)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    yield store
    store.close()


def waiting(store, *more, until=None, run_id="r"):
    review = e.TaskWaiting("review", WaitKind.APPROVAL, until)
    return put(store.log, *BEGUN, review, PAID, *more, workflow=REVIEWED, run_id=run_id)


def say(store, body, actor="ann", comment="", verb=Verb.ANSWER, run_id="r"):
    return send(store, run_id, verb, actor, comment, more=body)


def kinds(store, after=5):
    row = store.log.row("r")
    return [type(one.event).__name__ for one in store.log.history(row.run, after)]


# --- nobody runs it -----------------------------------------------------------------------------


def test_an_answer_is_written_and_nothing_else_is_decided(store):
    """No claim, no fate of the attempt that was open: that is for the engine that goes on."""
    waiting(store, begun("build"))
    answer = say(store, YES, comment="looks good")
    assert answer.accepted
    assert answer.text == "approve accepted; no engine runs it; to go on: dwf resume r"
    assert kinds(store, 6) == ["OperatorDecided", "TaskCompleted"]
    state = load_state(store.log, "r")
    assert (state.status, state.engine) == (RunStatus.RUNNING, "e-1")
    assert state.tasks[0] is TaskStatus.RUNNING
    assert state.tasks[1] is TaskStatus.SUCCEEDED
    assert json.loads(str(state.values[1])) == {
        "approved": True, "by": "ann", "comment": "looks good",
    }  # fmt: skip
    assert [one.name for one in store.folder.locks.iterdir() if one.name.startswith("e-")] == []


def test_what_it_brings_to_an_end_has_ended(store):
    put(store.log, *BEGUN, REVIEW, PAID, workflow=REVIEWED)
    answer = say(store, NO)
    assert answer.text == "reject accepted; the run has ended: failed"
    assert kinds(store)[-1] == "RunFailed"


def test_what_waits_for_a_run_that_an_answer_ends_is_told(store):
    put(store.log, *BEGUN, REVIEW, PAID, workflow=REVIEWED)
    left = store.log.post("r", Verb.RESUME, "bob", "k", 1, "{}")
    assert say(store, NO).accepted
    assert store.log.command(left).answer == "run r has ended: failed; the resume came too late"
    assert store.log.inbox() == []


def test_the_second_answer_is_told_of_the_first(store):
    waiting(store)
    say(store, YES, "ann", "looks good")
    with pytest.raises(WrongState) as caught:
        say(store, NO, "bob")
    assert "task 'review' waits for nobody; it has succeeded (answered by ann at" in str(
        caught.value
    )
    assert "approve: looks good)" in str(caught.value)
    assert len(kinds(store)) == 2


def test_also_when_the_first_has_ended_the_run(store):
    waiting(store)
    say(store, NO, "ann")
    with pytest.raises(WrongState, match="has ended: failed .answered by ann at .*: reject"):
        say(store, YES, "bob")


def test_of_two_that_are_decided_at_the_same_moment_one_counts(store, monkeypatch):
    """Each has read the run before the other wrote; the slower one looks again, and is told."""
    waiting(store)
    real = store.log.append
    others = [("bob", NO)]

    def slow(batch):
        if others:
            actor, body = others.pop()
            assert say(store, body, actor).accepted
        return real(batch)

    monkeypatch.setattr(store.log, "append", slow)
    with pytest.raises(WrongState, match="answered by bob"):
        say(store, YES, "ann")
    monkeypatch.undo()
    assert kinds(store).count("OperatorDecided") == 1


def test_who_reads_the_run_while_another_writes_looks_again(store):
    """What the other has decided is not taken for something that was due."""
    row, _ = waiting(store)
    assert say(store, NO, "bob").accepted
    late = Command(0, "r", Verb.ANSWER, "ann", "", 1, json.dumps({"reason": "", **YES}))
    assert decide_alone(store.log, row, late) is None


def test_whose_time_was_up_is_not_answered_though_nobody_has_noticed(store):
    """And nothing is written: the engine that goes on does what was due."""
    waiting(store, until=60)
    with pytest.raises(WrongState) as caught:
        say(store, YES)
    assert "too late" in str(caught.value)
    assert caught.value.hint == "dwf resume r"
    assert kinds(store) == []


def test_an_answer_in_time_needs_no_engine_either(store):
    waiting(store, until=2**60)
    assert say(store, YES).accepted


def test_while_a_run_is_paused_its_questions_may_be_answered_late(store):
    waiting(store, PAUSED, RELEASED, until=60)
    assert say(store, YES).accepted
    assert store.log.row("r").status is RunStatus.PAUSED


def test_a_signal_is_taken_or_kept(store):
    waiting(store)
    assert say(store, signal_body("payment", 5), verb=Verb.SIGNAL).accepted
    assert kinds(store) == ["SignalReceived", "TaskCompleted"]
    assert say(store, signal_body("payment", 6), verb=Verb.SIGNAL).accepted
    assert kinds(store)[2:] == ["SignalReceived"]
    state = load_state(store.log, "r")
    assert (state.values.get(3), state.signals) == (None, {"payment": ["6"]})


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "body", "error", "words"),
    [
        (Verb.ANSWER, answer_body("reviw", Verdict.APPROVE), NotFound, "did you mean 'review'"),
        (Verb.SIGNAL, signal_body("paymen", 1), NotFound, "did you mean 'payment'"),
        (Verb.ANSWER, answer_body("build", Verdict.APPROVE), WrongState, "waits for nobody"),
        (
            Verb.ANSWER,
            answer_body("paid", Verdict.APPROVE),
            WrongState,
            "no approval but for a signal",
        ),
        (Verb.ANSWER, answer_body("review", Verdict.RETRY), WrongState, "it waits for an approval"),
        (
            Verb.ANSWER,
            answer_body("review", Verdict.APPROVE, attempt=3),
            WrongState,
            "has come to attempt 0; this is about 3",
        ),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(store, verb, body, error, words):
    """With no engine, with one that is asked by way of the inbox, and within one."""
    waiting(store)
    with pytest.raises(error) as caught:
        say(store, body, verb=verb)
    assert words in str(caught.value)
    assert kinds(store) == []

    rig = Rig()
    rig.enter(REVIEWED)
    rig.turn()
    before = len(rig.log.kinds())
    with pytest.raises(error) as caught:
        command_live(rig.loop, "r", verb, "ann", "", body)
    assert words in str(caught.value)
    rig.turn()
    assert len(rig.log.kinds()) == before


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: answer_body(3, Verdict.SKIP), "named by a text"),
        (lambda: answer_body("a", Verdict.SKIP, attempt="2"), "a whole number"),
        (lambda: answer_body("a", Verdict.SKIP, attempt=True), "a whole number"),
        (lambda: answer_body("a", Verdict.VALUE, object()), "value"),
        (lambda: signal_body(3, 1), "named by a text"),
        (lambda: signal_body("a", float), "value"),
        (lambda: signal_body("a", "x" * 70_000), "write it to a file and send its path"),
        (lambda: check_comment(3), "a comment is a text"),
        (lambda: check_comment("x" * (LONGEST_REASON + 1)), "10,001 characters"),
        (lambda: check_comment("\udce4"), "not valid Unicode"),
    ],
)
def test_nonsense_is_not_even_sent(call, words):
    with pytest.raises(CallerError) as caught:
        call()
    assert words in str(caught.value)


# --- through the inbox ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "{}", "[]", "3", "no JSON", '{"task": 3, "verdict": "skip"}',
        '{"task": "review", "verdict": "maybe"}',
        '{"task": "review", "verdict": "skip", "attempt": "1"}',
        '{"task": "review", "verdict": "value", "value": "no JSON"}',
        '{"task": "review", "verdict": "value"}',
    ],
)  # fmt: skip
def test_a_row_that_nobody_can_read_is_refused_and_stops_no_engine(body):
    rig = Rig()
    rig.enter(REVIEWED)
    rig.turn()
    number = MemoryLog(rig.log.shelf).post("r", Verb.ANSWER, "ann", "k", 1, body)
    rig.clock.s += 1.0
    rig.turn()
    command = rig.log.command(number)
    assert isinstance(command, Command)
    assert (command.accepted, command.answer[:26]) == (False, "the command cannot be read")
    assert "OperatorDecided" not in rig.log.kinds()


def test_an_engine_that_lives_is_asked_and_its_answer_told(store):
    put(store.log, *BEGUN, REVIEW, PAID, workflow=REVIEWED)
    lock = locks.create(store.folder.locks, "e-1")
    try:
        answer = send(store, "r", Verb.ANSWER, "ann", "fine", 0.0, YES)
    finally:
        lock.release()
    assert not answer.accepted
    (command,) = store.log.inbox()
    assert json.loads(command.body) == {
        "reason": "fine", "task": "review", "verdict": "approve", "value": "", "attempt": None,
    }  # fmt: skip
