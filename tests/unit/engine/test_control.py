"""control: commands to a run, wherever it is: here, with another engine, or with nobody."""

from __future__ import annotations

import attrs
import histories_of as h
import pytest
from histories_of import (
    BOTH_DONE,
    CLAIMED,
    CREATED,
    PAUSED,
    RELEASED,
    STARTED,
    SUCCEEDED,
    begun,
)
from loop_rig import Rig, put

from durable_wf.core import events as e
from durable_wf.core.evolve import replay
from durable_wf.core.state import row_of
from durable_wf.core.status import RunStatus
from durable_wf.engine import control
from durable_wf.engine.claiming import claim
from durable_wf.engine.commands import LONGEST_REASON
from durable_wf.engine.control import command_if_live, command_live, send, send_all
from durable_wf.engine.overtaken import LOOKS
from durable_wf.engine.view import load_state
from durable_wf.errors import CallerError, NotFound, NotTrusted, OwnedElsewhere, WrongState
from durable_wf.store import locks
from durable_wf.store.check import check
from durable_wf.store.opening import open_store
from durable_wf.store.port import Answer, Batch, RunAppend, Verb

BEGUN = (CREATED, CLAIMED, STARTED)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    yield store
    store.close()


@pytest.fixture
def living(store):
    """Engine e-1, which the histories name, is alive."""
    lock = locks.create(store.folder.locks, "e-1")
    yield lock
    lock.release()


class Around:
    """A log around another: `then` is called after each command that is posted."""

    def __init__(self, log, then):
        self._log = log
        self._then = then

    def __getattr__(self, name):
        return getattr(self._log, name)

    def post(self, *given):
        number = self._log.post(*given)
        self._then(number)
        return number


def kinds(store, after=3):
    row = store.log.row("r")
    return [type(one.event).__name__ for one in store.log.history(row.run, after)]


def lock_names(store):
    return {path.name for path in store.folder.locks.iterdir() if path.name.startswith("e-")}


# --- nobody runs it -----------------------------------------------------------------------------


def test_with_no_engine_alive_a_cancel_is_decided_alone(store):
    """Claimed, cancelled and ended, in one transaction; what ended needs no release."""
    put(store.log, *BEGUN)
    answer = send(store, "r", Verb.CANCEL, "ann", "enough")
    assert answer == Answer(0, "r", True, "cancel accepted")
    assert kinds(store) == ["RunClaimed", "RunDraining", "TasksClosed", "RunCancelled"]
    assert store.log.row("r").status is RunStatus.CANCELLED
    assert store.log.inbox() == []


def test_a_reason_that_utf_8_cannot_hold_is_kept_with_escapes(store):
    put(store.log, *BEGUN, said=[e.EngineStarted("e-1", 1, "host", "0.1.0")])
    send(store, "r", Verb.CANCEL, "ann", "gone: \udcff\u00e9")
    row = store.log.row("r")
    assert (row.status, row.cause) == (RunStatus.CANCELLED, "gone: \\udcff\u00e9")
    assert check(store) == []


def test_with_no_engine_alive_a_pause_lets_go_of_the_run_again(store):
    put(store.log, *BEGUN)
    send(store, "r", Verb.PAUSE, "ann", "lunch")
    assert kinds(store) == ["RunClaimed", "RunPaused", "RunReleased"]
    row = store.log.row("r")
    assert (row.status, row.engine) == (RunStatus.PAUSED, "")
    state = load_state(store.log, "r")
    assert (state.n, state.status) == (6, RunStatus.PAUSED)


def test_what_was_open_is_decided_with_it(store):
    put(store.log, *BEGUN, begun())
    send(store, "r", Verb.CANCEL, "ann")
    assert kinds(store, 4) == [
        "RunClaimed", "AttemptFailed", "TaskRetryScheduled", "TaskWoken", "RunDraining",
        "TasksClosed", "RunCancelled",
    ]  # fmt: skip


def test_deciding_alone_leaves_no_lock_behind(store):
    put(store.log, *BEGUN)
    send(store, "r", Verb.PAUSE, "ann")
    assert lock_names(store) == set()
    with pytest.raises(WrongState):
        send_to_ended(store)
    assert lock_names(store) == set()


def send_to_ended(store):
    """What is claimed has ended by the claim itself: all its tasks had."""
    put(store.log, *BEGUN, *BOTH_DONE, run_id="s")
    send(store, "s", Verb.CANCEL, "ann")


def test_a_command_that_is_refused_writes_nothing(store):
    """Though the claim alone would have ended the run: the next engine does that."""
    with pytest.raises(WrongState, match="run s has succeeded and cannot be cancelled"):
        send_to_ended(store)
    row = store.log.row("s")
    assert (row.n, row.status) == (7, RunStatus.RUNNING)


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.PAUSE])
def test_a_retry_is_no_advice_to_who_wanted_a_run_to_stop(store, verb):
    put(store.log, *BEGUN, h.begun(), h.broke(), h.GIVEN_UP, h.FAILING, h.closed(1), h.FAILED)
    with pytest.raises(WrongState, match="run r has ended: failed") as caught:
        send(store, "r", verb, "ann")
    assert caught.value.hint == "dwf show r"


def test_a_resume_starts_tasks_so_it_waits_for_an_engine(store):
    put(store.log, *BEGUN, PAUSED, RELEASED)
    answer = send(store, "r", Verb.RESUME, "ann")
    assert not answer.accepted
    assert answer.text == "no engine is alive; continue with: dwf resume r"
    (command,) = store.log.inbox()
    assert (command.id, command.verb, command.actor) == (answer.command, Verb.RESUME, "ann")
    assert kinds(store, 5) == []


def claimed_in_between(store, monkeypatch, times):
    """Each time that a command has claimed the run in memory, so many times, another engine does so
    in the log, and dies.
    """
    real, left = control.claim, list(range(times))

    def late(log, folder, row, state, engine, why, at):
        claimed = real(log, folder, row, state, engine, why, at)
        if left:
            left.pop()
            claimed_by(store, "e-9")
        return claimed

    monkeypatch.setattr(control, "claim", late)


def test_who_was_slower_than_an_engine_looks_again(store, monkeypatch):
    put(store.log, *BEGUN)
    claimed_in_between(store, monkeypatch, 1)
    assert send(store, "r", Verb.PAUSE, "ann").accepted
    assert kinds(store) == ["RunClaimed", "RunClaimed", "RunPaused", "RunReleased"]
    assert lock_names(store) == set()


def test_who_was_slower_each_time_gives_up(store, monkeypatch):
    put(store.log, *BEGUN)
    claimed_in_between(store, monkeypatch, LOOKS)
    with pytest.raises(OwnedElsewhere, match="taken by one engine after the other"):
        send(store, "r", Verb.PAUSE, "ann")
    assert kinds(store) == ["RunClaimed"] * LOOKS
    assert lock_names(store) == set()


def test_who_reads_the_run_while_an_engine_takes_it_looks_again(store, monkeypatch):
    """The row says that nobody runs it; the history read after it says more."""
    put(store.log, *BEGUN)
    real, left = control.replayed, [1]

    def slow(log, row, workflow):
        while left:
            left.pop()
            claimed_by(store, "e-9")
        return real(log, row, workflow)

    monkeypatch.setattr(control, "replayed", slow)
    assert send(store, "r", Verb.PAUSE, "ann").accepted
    assert kinds(store) == ["RunClaimed", "RunClaimed", "RunPaused", "RunReleased"]


def test_what_waits_for_a_run_that_ends_is_told(store):
    """In the transaction that ends it; what waits for other runs waits on."""
    put(store.log, *BEGUN, PAUSED, RELEASED)
    put(store.log, *BEGUN, PAUSED, RELEASED, run_id="s")
    left, other = (send(store, run_id, Verb.RESUME, "ann").command for run_id in ("r", "s"))
    assert send(store, "r", Verb.CANCEL, "bob").accepted
    told = store.log.command(left)
    assert told.answer == "run r has ended: cancelled; the resume came too late"
    assert told.accepted is False
    assert [command.id for command in store.log.inbox()] == [other]


def test_a_resume_of_a_run_that_ends_meanwhile_does_not_wait(store):
    put(store.log, *BEGUN, PAUSED, RELEASED)
    log = store.log
    store.log = Around(log, lambda number: send(attrs.evolve(store, log=log), "r", Verb.CANCEL, ""))
    with pytest.raises(WrongState, match="run r has ended: cancelled"):
        send(store, "r", Verb.RESUME, "ann")
    assert log.inbox() == []
    assert log.command(1).answer == "run r has ended: cancelled; the resume came too late"


# --- another engine runs it ---------------------------------------------------------------------


def test_the_engine_that_runs_it_answers(store, living):
    put(store.log, *BEGUN)

    def answers(number):
        store_log.append(Batch(answers=[Answer(number, "r", True, "pause accepted")]))

    store_log = store.log
    store.log = Around(store_log, answers)
    answer = send(store, "r", Verb.PAUSE, "ann", "lunch", 30.0)
    assert (answer.accepted, answer.text) == (True, "pause accepted")
    assert store_log.command(answer.command).reason == "lunch"
    assert kinds(store) == []


def test_its_refusal_is_an_error_with_its_words(store, living):
    put(store.log, *BEGUN)
    store_log = store.log
    refusal = lambda number: store_log.append(Batch(answers=[Answer(number, "r", False, "no")]))
    store.log = Around(store_log, refusal)
    with pytest.raises(WrongState, match="no"):
        send(store, "r", Verb.PAUSE, "ann", wait_s=30.0)


def test_without_an_answer_in_time_the_command_waits(store, living):
    put(store.log, *BEGUN)
    answer = send(store, "r", Verb.PAUSE, "ann", wait_s=0.0)
    assert not answer.accepted
    assert "engine e-1 has not answered" in answer.text
    assert [command.id for command in store.log.inbox()] == [answer.command]


def ends(store):
    """The engine ends the run, and has not looked at the inbox."""
    row, state = store.log.row("r"), load_state(store.log, "r")
    events = [
        e.Recorded(row.n + at, 9, event) for at, event in enumerate((*BOTH_DONE, SUCCEEDED), 1)
    ]
    append = RunAppend(row.run, "r", row.n, events, row_of(replay(state, events)))
    assert not store.log.append(Batch([append])).conflicts


def test_an_engine_that_ends_the_run_is_not_waited_for_though_it_lives(store, living):
    """It may be a script that goes on with something else."""
    put(store.log, *BEGUN)
    log = store.log
    store.log = Around(log, lambda number: ends(store))
    with pytest.raises(WrongState, match="run r has ended: succeeded"):
        send(store, "r", Verb.PAUSE, "ann", wait_s=3600.0)
    assert log.command(1).answer == "run r has ended: succeeded; the pause came too late"


def test_nor_where_it_tells_the_sender_itself_at_that_moment(store, living):
    put(store.log, *BEGUN)
    log = store.log
    late = Answer(1, "r", False, "run r has ended: succeeded; the pause came too late")

    def ends_and_tells(number):
        ends(store)
        store.log = Taking(log, lambda: log.append(Batch(answers=[late])))

    store.log = Around(log, ends_and_tells)
    with pytest.raises(WrongState, match="run r has ended: succeeded; the pause came too late"):
        send(store, "r", Verb.PAUSE, "ann", wait_s=3600.0)


def test_an_engine_that_dies_unasked_leaves_the_decision_to_us(store, living):
    """And the command is consumed, so that nobody obeys it twice."""
    put(store.log, *BEGUN)
    store.log = Around(store.log, lambda number: living.release())
    answer = send(store, "r", Verb.CANCEL, "ann", wait_s=30.0)
    assert answer.text == "cancel accepted"
    assert kinds(store)[0] == "RunClaimed"
    assert store.log.inbox() == []
    assert store.log.command(1).answer == "nobody runs it any more"


class Taking:
    """A log around another: `then` is called before the first batch that is appended."""

    def __init__(self, log, then):
        self._log = log
        self._then = [then]

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, batch):
        while self._then:
            self._then.pop()()
        return self._log.append(batch)


def claimed_by(store, engine):
    """Another engine has taken the run."""
    row = store.log.row("r")
    claimed = claim(
        store.log, store.folder.locks, row, load_state(store.log, "r"), engine, "recover", 1
    )
    append = RunAppend(row.run, "r", row.n, claimed.events, row_of(claimed.state))
    assert not store.log.append(Batch([append])).conflicts


def test_a_command_is_left_for_the_engine_that_has_taken_over(store, living):
    """To take it back would have that engine, about to obey, let go of a run that is its own."""
    put(store.log, *BEGUN)

    def takes_over(number):
        living.release()
        claimed_by(store, "e-2")

    store.log = Around(store.log, takes_over)
    other = locks.create(store.folder.locks, "e-2")
    answer = send(store, "r", Verb.PAUSE, "ann", wait_s=0.2)
    other.release()
    assert answer.text == "engine e-2 has not answered within 0.2 s; the command waits"
    assert [command.id for command in store.log.inbox()] == [1]


def test_a_command_is_not_taken_back_from_an_engine_that_claims_at_that_moment(store, living):
    put(store.log, *BEGUN)
    store_log = store.log

    def dies(number):
        living.release()
        store.log = Taking(store_log, takes_over)

    def takes_over():
        taken.append(locks.create(store.folder.locks, "e-2"))
        claimed_by(store, "e-2")

    taken = []
    store.log = Around(store_log, dies)
    answer = send(store, "r", Verb.PAUSE, "ann", wait_s=0.2)
    taken.pop().release()
    assert answer.text == "engine e-2 has not answered within 0.2 s; the command waits"
    assert [command.id for command in store_log.inbox()] == [1]


# --- nobody may ---------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_not_found(store):
    with pytest.raises(NotFound):
        send(store, "r", Verb.CANCEL, "ann")


def test_a_run_that_has_ended_takes_no_commands(store):
    put(store.log, *BEGUN, *BOTH_DONE, SUCCEEDED)
    with pytest.raises(WrongState, match="has ended"):
        send(store, "r", Verb.CANCEL, "ann")


def test_a_store_that_may_only_be_read_takes_no_commands(store):
    put(store.log, *BEGUN)
    store.writable = False
    with pytest.raises(NotTrusted):
        send(store, "r", Verb.CANCEL, "ann")
    assert kinds(store) == []


# --- this engine runs it ------------------------------------------------------------------------


def test_a_run_held_here_is_commanded_at_once():
    rig = Rig()
    rig.enter()
    rig.turn()
    live, answer = command_live(rig.loop, "r", Verb.PAUSE, "ann", "lunch")
    assert live is rig.loop.run("r")
    assert answer == Answer(0, "r", True, "pause accepted")
    rig.turn()
    assert rig.log.kinds()[-1] == "RunPaused"


def test_what_its_state_does_not_allow_is_an_error():
    rig = Rig()
    live = rig.enter()
    rig.turn()
    command_live(rig.loop, "r", Verb.CANCEL, "ann", "")
    assert live.state.status is RunStatus.DRAINING
    with pytest.raises(WrongState, match="cannot be paused"):
        command_live(rig.loop, "r", Verb.PAUSE, "ann", "")


def test_a_run_that_has_just_ended_is_an_error_for_who_waits_only():
    rig = Rig()
    with pytest.raises(WrongState, match="has just ended"):
        command_live(rig.loop, "r", Verb.CANCEL, "ann", "")
    assert command_if_live(rig.loop, "r", Verb.CANCEL, "ann", "") is None


# --- reasons ------------------------------------------------------------------------------------

LONG = "x" * (LONGEST_REASON + 1)
TOO_LONG = "the reason has 10,001 characters; 10,000 fit"


@pytest.mark.parametrize("verb", [Verb.CANCEL, Verb.PAUSE, Verb.ANSWER])
def test_a_reason_that_is_too_long_is_refused_before_anything_is_written(store, living, verb):
    put(store.log, *BEGUN)
    for give in (send, lambda *given: list(send_all(store, ["r"], *given[2:]))):
        with pytest.raises(CallerError, match=TOO_LONG):
            give(store, "r", verb, "ann", LONG)
    assert store.log.inbox() == []


def test_the_longest_that_fits_is_kept(store):
    put(store.log, *BEGUN)
    send(store, "r", Verb.CANCEL, "ann", LONG[1:])
    assert store.log.row("r").cause == LONG[1:]


def test_a_reason_that_is_no_text_is_refused(store):
    put(store.log, *BEGUN)
    with pytest.raises(CallerError, match="a reason is a text, not 7"):
        send(store, "r", Verb.CANCEL, "ann", 7)


# --- many at once -------------------------------------------------------------------------------


def test_many_runs_are_told_and_each_has_its_answer_or_its_error(store):
    for run_id in ("r", "s"):
        put(store.log, *BEGUN, run_id=run_id)
    put(store.log, *BEGUN, *BOTH_DONE, SUCCEEDED, run_id="t")
    told = dict(send_all(store, ["r", "nobody", "s", "t"], Verb.CANCEL, "ann", "enough"))
    assert [told[run_id].accepted for run_id in ("r", "s")] == [True, True]
    assert isinstance(told["nobody"], NotFound)
    assert isinstance(told["t"], WrongState)
    assert store.log.row("r").cause == store.log.row("s").cause == "enough"


def test_all_commands_are_posted_before_the_first_answer_is_waited_for(store, living):
    """So that an engine takes them together. This one answers each as soon as there are two."""
    for run_id in ("r", "s"):
        put(store.log, *BEGUN, run_id=run_id)

    def answer(number):
        found = store.log.inbox()
        if len(found) == 2:
            answers = [Answer(one.id, one.run_id, True, "yes") for one in found]
            store.log.append(Batch(answers=answers))

    log = Around(store.log, answer)
    told = dict(send_all(attrs.evolve(store, log=log), ["r", "s"], Verb.PAUSE, "ann", wait_s=30))
    assert [told[run_id].text for run_id in ("r", "s")] == ["yes", "yes"]


def test_an_engine_that_is_silent_is_waited_for_once(store, living, monkeypatch):
    for run_id in ("r", "s", "t"):
        put(store.log, *BEGUN, run_id=run_id)
    waited = []
    monkeypatch.setattr(
        control, "wait_until", lambda look, wait_s, every_s: waited.append(wait_s) or look()
    )
    told = dict(send_all(store, ["r", "s", "t"], Verb.PAUSE, "ann", wait_s=3))
    assert waited == [3, 0, 0]
    assert not any(answer.accepted for answer in told.values())
    assert len(store.log.inbox()) == 3


def test_many_runs_of_a_foreign_store_are_refused_at_once(store):
    with pytest.raises(NotTrusted):
        list(send_all(attrs.evolve(store, writable=False), ["r"], Verb.CANCEL, "ann"))
