"""commands: what a row of the inbox means, that no row can end the engine that reads it, and what
its sender is told.
"""

from __future__ import annotations

import json

import pytest
from histories_of import CANCELLING, CLAIMED, CREATED, STARTED, begun, closed
from loop_rig import Rig, put
from strategies import task, workflow

from durable_wf.core import inputs as i
from durable_wf.core.status import RunStatus, Verdict
from durable_wf.engine.commands import LONGEST_REASON, command_input
from durable_wf.engine.control import command_live, send
from durable_wf.engine.inbox import POLL_S
from durable_wf.errors import CallerError
from durable_wf.store.memory import MemoryLog
from durable_wf.store.opening import open_store
from durable_wf.store.port import Command, Verb


def meant(verb, body):
    text = body if isinstance(body, str) else json.dumps(body)
    return command_input(Command(1, "r", verb, "ann", "k", 0, text))


def test_each_verb_is_an_input_of_the_core():
    said = {"reason": "why"}
    assert meant(Verb.PAUSE, said) == i.Pause("ann", "why")
    assert meant(Verb.RESUME, said) == i.Resume("ann")
    assert meant(Verb.CANCEL, said) == i.Cancel("ann", "why", compensate=True)
    assert meant(Verb.CANCEL, {"compensate": False}) == i.Cancel("ann", "", compensate=False)
    assert meant(Verb.SIGNAL, {"name": "paid", "value": "5"}) == i.Signal("paid", "5", "ann")
    answer = {"task": "t", "verdict": "value", "value": "7", "attempt": 2, "reason": "ok"}
    assert meant(Verb.ANSWER, answer) == i.Answer("t", Verdict.VALUE, "ann", "ok", "7", 2)


NESTED = "[" * 100_000 + "]" * 100_000
LONG = "9" * 5_000
"""A number that Python does not read."""


@pytest.mark.parametrize("verb", [verb for verb in Verb if verb is not Verb.RESUME])
@pytest.mark.parametrize(
    "body", ["", "{", "7", "null", "[]", NESTED, f'{{"attempt": {LONG}}}'], ids=range(7)
)
def test_what_is_no_object_is_refused(verb, body):
    with pytest.raises(CallerError, match="the command cannot be read"):
        meant(verb, body)


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        (Verb.SIGNAL, {"name": "paid"}),
        (Verb.SIGNAL, {"name": ["paid"], "value": "1"}),
        (Verb.SIGNAL, {"name": "paid", "value": 1}),
        (Verb.SIGNAL, {"name": "paid", "value": "{"}),
        (Verb.SIGNAL, {"name": "paid", "value": NESTED}),
        (Verb.ANSWER, {"task": "t", "verdict": "perhaps"}),
        (Verb.ANSWER, {"task": 7, "verdict": "retry"}),
        (Verb.ANSWER, {"task": "t", "verdict": "retry", "attempt": "2"}),
        (Verb.ANSWER, {"task": "t", "verdict": "value", "value": None}),
    ],
)
def test_what_the_verb_does_not_need_is_refused(verb, body):
    with pytest.raises(CallerError, match="the command cannot be read"):
        meant(verb, body)


def test_a_reason_that_is_too_long_is_refused_though_another_program_has_written_it():
    with pytest.raises(CallerError, match="the reason has 10,001 characters; 10,000 fit"):
        meant(Verb.PAUSE, {"reason": "x" * (LONGEST_REASON + 1)})
    assert meant(Verb.PAUSE, {"reason": "x" * LONGEST_REASON}).cause == "x" * LONGEST_REASON


# --- what their senders are told ------------------------------------------------------------------

DRAINED = "cancel accepted: what still runs is stopped; the run drained already and ends as "


def test_a_cancel_of_a_run_that_drains_is_told_what_it_changes():
    """Its verdict is fixed: only what runs is stopped. The same through the inbox."""
    rig = Rig()
    rig.enter(workflow(task("a"), task("b")))
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    _, answer = command_live(rig.loop, "r", Verb.CANCEL, "ann", "")
    assert answer.text == f"{DRAINED}failed"
    number = MemoryLog(rig.log.shelf).post("r", Verb.CANCEL, "ann", "k", 1, "{}")
    rig.clock.s += POLL_S
    rig.turn()
    assert rig.log.command(number).answer == f"{DRAINED}failed"
    assert rig.executor.cancelled == [(1, 1, 1), (1, 1, 1)]


def test_so_it_is_where_nobody_runs_it(tmp_path):
    """What was open is decided by the claim; the run had its verdict before the cancel came."""
    store = open_store(tmp_path / "store", create=True)
    put(store.log, CREATED, CLAIMED, STARTED, begun(), CANCELLING, closed(1))
    assert send(store, "r", Verb.CANCEL, "ann").text == f"{DRAINED}cancelled"
    assert store.log.row("r").status is RunStatus.CANCELLED
    store.close()


def test_what_is_so_already_is_told_so():
    rig = Rig()
    rig.enter()
    rig.turn()
    said = [Verb.RESUME, Verb.PAUSE, Verb.PAUSE, Verb.RESUME]
    assert [command_live(rig.loop, "r", verb, "ann", "")[1].text for verb in said] == [
        "resume accepted: the run was not paused",
        "pause accepted",
        "pause accepted: the run was paused already",
        "resume accepted",
    ]
