"""overtaken: of two that touch a run in the same moment both get through, whoever is first.

Nothing here depends on time: whoever is overtaken is stopped between what it has read and what it
commits, and the other does all that it does meanwhile.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import attrs
import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.state import row_of
from durable_wf.core.status import Verdict
from durable_wf.engine import control, overtaken
from durable_wf.engine.commands import NOTHING_MORE, answer_body, signal_body
from durable_wf.engine.overtaken import LOOKS, Overtaken
from durable_wf.engine.result import RunHandle
from durable_wf.engine.view import load_state, row_or_raise
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch, RunAppend, Verb
from durable_wf.store.sqlite import SqliteLog

RUN = "r"


def publish():
    return "published"


def asking():
    """It waits for an approval and for a signal, then `publish` runs."""
    builder = wf.WorkflowBuilder("asks").add_task("review", wf.approval("publish?"))
    builder.add_task("paid", wf.wait_for_signal("payment"))
    return builder.add_task("publish", publish).after("review", "paid").build()


@pytest.fixture
def path(tmp_path):
    """A store with that run, which nobody runs."""
    path = tmp_path / "s"
    with engine_at(path) as engine:
        assert engine.run(asking(), run_id=RUN).waiting
    return path


def engine_at(path):
    return wf.WorkflowEngine(path, executor_type="sequential")


def history(path):
    store = open_store(path, readonly=True)
    try:
        return [one.event for one in store.log.history(row_or_raise(store.log, RUN).run)]
    finally:
        store.close()


def claims(path):
    return [one.why for one in history(path) if isinstance(one, e.RunClaimed)]


@attrs.define
class Moments:
    """What happens between the reading and the committing of others. `wanted` says before which
    batch; each of `happens` is called once, one before each such batch.
    """

    wanted: object = None
    happens: list = attrs.field(factory=list)
    busy: bool = False

    def come(self, batch):
        if self.busy or not self.happens or not self.wanted(batch):
            return
        self.busy = True  # what happens now is not stopped itself
        try:
            self.happens.pop(0)()
        finally:
            self.busy = False


@pytest.fixture
def moments(monkeypatch):
    found, real = Moments(), SqliteLog.append

    def append(self, batch):
        found.come(batch)
        return real(self, batch)

    monkeypatch.setattr(SqliteLog, "append", append)
    return found


def events_in(batch):
    return [one.event for append in batch.appends for one in append.events]


def enters(batch):
    """An engine takes the run, or makes it."""
    return any(
        (isinstance(one, e.RunClaimed) and one.why in {"resume", "recover"})
        or isinstance(one, e.RunCreated)
        for one in events_in(batch)
    )


def commands(batch):
    """Somebody says something, and decides about it without an engine."""
    return any(
        isinstance(one, e.OperatorDecided | e.SignalReceived)
        or (isinstance(one, e.RunClaimed) and one.why in {"pause", "cancel"})
        for one in events_in(batch)
    )


# --- who enters, and who commands -----------------------------------------------------------------


def refused(_, error):
    raise error


ENTRIES = {
    "run": lambda engine: engine.run(asking(), run_id=RUN, check=False),
    "submit": lambda engine: engine.submit(asking(), run_id=RUN),
    "resume": lambda engine: engine.resume(RUN, workflow=asking(), check=False),
    "recover": lambda engine: engine.recover(on_refused=refused),
    "recover one": lambda engine: engine.recover([RUN], on_refused=refused),
}
APPROVE = (Verb.ANSWER, answer_body("review", Verdict.APPROVE))
SIGNAL = (Verb.SIGNAL, signal_body("payment", 5))
PAUSE = (Verb.PAUSE, NOTHING_MORE)
CANCEL = (Verb.CANCEL, NOTHING_MORE)
COMMANDS = {"approve": APPROVE, "signal": SIGNAL, "pause": PAUSE, "cancel": CANCEL}

every_entry = pytest.mark.parametrize("entry", ENTRIES)
every_command = pytest.mark.parametrize("command", COMMANDS)


def say(path, verb, body):
    """As another process would."""
    store = open_store(path)
    try:
        return control.send(store, RUN, verb, "ann", "because", more=body, wait_s=DEADLINE_S)
    finally:
        store.close()


SAID = {
    "approve": lambda one: isinstance(one, e.OperatorDecided),
    "signal": lambda one: isinstance(one, e.SignalReceived),
    "pause": lambda one: isinstance(one, e.RunPaused),
    "cancel": lambda one: isinstance(one, e.RunCancelled),
}


@every_entry
@every_command
def test_who_is_overtaken_by_a_command_goes_on_with_it(path, moments, entry, command):
    """The engine has read the run and claims it; before its commit somebody has said something."""
    answers = []
    moments.wanted = enters
    moments.happens = [lambda: answers.append(say(path, *COMMANDS[command]))]
    with engine_at(path) as engine:
        if command == "cancel" and entry in {"resume", "recover", "recover one"}:
            with pytest.raises(wf.WrongState, match="has ended: cancelled"):
                ENTRIES[entry](engine)
        else:
            ENTRIES[entry](engine)
        if command == "approve":
            assert engine.signal(RUN, "payment").accepted
            assert engine.run(asking(), run_id=RUN)["publish"] == "published"
        elif command == "signal":
            assert engine.approve(RUN, "review").accepted
            assert engine.run(asking(), run_id=RUN)["publish"] == "published"
    assert moments.happens == []
    assert [answer.accepted for answer in answers] == [True]
    assert len([one for one in history(path) if SAID[command](one)]) == 1
    check_log(path, RUN)


@every_entry
@every_command
def test_a_command_that_is_overtaken_is_given_to_the_engine(path, moments, entry, command):
    """Somebody has read that nobody runs the run; before the commit an engine has taken it."""
    moments.wanted = commands
    with engine_at(path) as engine:
        moments.happens = [lambda: ENTRIES[entry](engine)]
        assert say(path, *COMMANDS[command]).accepted
        assert moments.happens == []
    assert len([one for one in history(path) if SAID[command](one)]) == 1
    check_log(path, RUN)


@every_entry
def test_two_engines_that_enter_at_once_are_one_that_does_and_one_that_is_told(
    path, moments, entry
):
    """The other one lives and has the run: that stays an error, and says whose it is."""
    moments.wanted = enters
    with engine_at(path) as first, engine_at(path) as second:
        moments.happens = [lambda: first.resume(RUN, workflow=asking())]
        with pytest.raises(wf.OwnedElsewhere, match=r"is being run by engine e-\w+, which is al"):
            ENTRIES[entry](second)
        assert moments.happens == []
        first.approve(RUN, "review")
        first.signal(RUN, "payment")
        assert first.run(asking(), run_id=RUN)["publish"] == "published"
    check_log(path, RUN)


@every_entry
def test_who_is_overtaken_each_time_gives_up_in_the_end(path, moments, entry):
    """And has written nothing; one time less, and it goes on."""
    moments.wanted = enters
    moments.happens = [lambda: say(path, *SIGNAL)] * LOOKS
    with engine_at(path) as engine, pytest.raises(wf.OwnedElsewhere, match="time after time"):
        ENTRIES[entry](engine)
    assert moments.happens == []
    assert claims(path) == ["create"]
    moments.happens = [lambda: say(path, *SIGNAL)] * (LOOKS - 1)
    with engine_at(path) as engine:
        ENTRIES[entry](engine)
    assert moments.happens == []
    assert len(claims(path)) == 2
    check_log(path, RUN)


# --- two that make a run of one id ----------------------------------------------------------------


def made(name="asks"):
    return wf.WorkflowBuilder(name).add_task("one", lambda: 1).build()


def test_who_is_overtaken_while_it_makes_a_run_has_the_outcome_of_the_other(tmp_path, moments):
    path = tmp_path / "s"
    moments.wanted = enters
    with engine_at(path) as first, engine_at(path) as second:
        moments.happens = [lambda: first.run(made(), run_id=RUN)]
        assert second.run(made(), run_id=RUN)["one"] == 1
    assert len([one for one in history(path) if isinstance(one, e.AttemptStarted)]) == 1
    check_log(path, RUN)


def test_or_is_told_that_it_is_another_run(tmp_path, moments):
    path = tmp_path / "s"
    moments.wanted = enters
    with engine_at(path) as first, engine_at(path) as second:
        moments.happens = [lambda: first.run(asking(), run_id=RUN)]
        with pytest.raises(wf.RunConflict, match="exists with another definition"):
            second.run(made(), run_id=RUN)
    check_log(path, RUN)


def test_of_two_retries_of_a_run_one_is_made_and_the_other_told(tmp_path, moments):
    def fails():
        raise ValueError("no")

    path = tmp_path / "s"
    failing = wf.WorkflowBuilder("fails").add_task("one", fails).build()
    with engine_at(path) as first, engine_at(path) as second:
        first.run(failing, run_id=RUN, check=False)
        moments.wanted = enters
        moments.happens = [lambda: first.retry(RUN, workflow=failing, check=False)]
        with pytest.raises(wf.OwnedElsewhere, match="another engine has just retried run r"):
            second.retry(RUN, workflow=failing, check=False)


# --- a run that was in an engine's hands ----------------------------------------------------------


def seize(path):
    """Write to a run as an engine would that takes this one for dead, and is gone itself."""
    store = open_store(path)
    try:
        row, state = row_or_raise(store.log, RUN), load_state(store.log, RUN)
        claimed = decide(state, i.Claim("e-99999999", "seize"), state.at + 1).events
        append = RunAppend(row.run, RUN, row.n, claimed, row_of(state))
        assert not store.log.append(Batch([append])).conflicts
    finally:
        store.close()


def test_a_run_that_is_lost_later_is_not_taken_again(path):
    """This engine had started what it had: another one has judged that by now."""
    with engine_at(path) as engine:
        handle = engine.submit(asking(), run_id=RUN)
        seize(path)
        say(path, *SIGNAL)
        engine.approve(RUN, "review")
        with pytest.raises(wf.OwnedElsewhere, match="has written to it; this one has let go"):
            handle.result(DEADLINE_S)
    assert claims(path) == ["create", "resume", "seize"]


def test_a_command_that_is_lost_with_its_run_is_given_again(path):
    """The engine that had the run has let go of it; accepted means that it is in the log."""
    with engine_at(path) as engine:
        engine.submit(asking(), run_id=RUN)
        seize(path)
        answer = engine.approve(RUN, "review")
    assert answer.accepted
    assert "it still waits for somebody" in answer.text
    assert len([one for one in history(path) if isinstance(one, e.OperatorDecided)]) == 1
    check_log(path, RUN)


# --- looking again --------------------------------------------------------------------------------


def lost(run_id=RUN):
    handle = RunHandle(run_id, lambda *given: None)
    handle.settle(Overtaken(run_id))
    return handle


def held(run_id=RUN):
    return RunHandle(run_id, lambda *given: None)


def test_of_many_those_that_were_overtaken_are_entered_again():
    asked = []
    runs = {"a": [held("a")], "b": [lost("b"), held("b")], "c": [lost("c")] * LOOKS}

    def enter(run_ids):
        asked.append([*run_ids])
        return [runs[run_id].pop(0) for run_id in run_ids]

    given_up = []
    found = overtaken.all_entered(
        lambda act: act(), enter, ["a", "b", "c"], lambda run_id, error: given_up.append(run_id)
    )
    assert [handle.run_id for handle in found] == ["a", "b"]
    assert asked == [["a", "b", "c"], ["b", "c"], *[["c"]] * (LOOKS - 2)]
    assert given_up == ["c"]


def test_another_error_is_no_reason_to_look_again():
    handle = held()
    handle.settle(wf.OwnedElsewhere("it is theirs"))
    assert overtaken.entered(lambda act: act(), [handle].pop) is handle


def test_two_threads_of_one_engine_that_are_overtaken_have_the_run_both(path, moments):
    """They share what they enter, and what becomes of it."""
    moments.wanted = enters
    moments.happens = [lambda: say(path, *APPROVE)]
    with engine_at(path) as engine, ThreadPoolExecutor(2) as pool:
        handles = [pool.submit(engine.submit, asking(), run_id=RUN) for _ in range(2)]
        found = [handle.result(DEADLINE_S) for handle in handles]
        engine.signal(RUN, "payment")
        assert [one.result(DEADLINE_S)["publish"] for one in found] == ["published"] * 2
    check_log(path, RUN)
