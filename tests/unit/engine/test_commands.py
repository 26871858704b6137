"""commands: what a row of the inbox means, and that no row can end the engine that reads it."""

from __future__ import annotations

import json

import pytest

from durable_wf.core import inputs as i
from durable_wf.core.status import Verdict
from durable_wf.engine.commands import command_input
from durable_wf.errors import CallerError
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
