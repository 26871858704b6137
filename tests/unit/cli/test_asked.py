"""asked: what a run waits for, in words, as JSON, and as the lines to type."""

from __future__ import annotations

import shlex

import attrs
import pytest

from durable_wf.cli.asked import (
    asked_lines,
    awaited_document,
    command_lines,
    sentence,
    until_words,
    what_words,
)
from durable_wf.cli.terminal import Look
from durable_wf.core.awaited import RETRY, Awaited

S = 1_000_000
NOW = 1_790_000_000 * S
APPROVAL = Awaited("review", "approval", NOW - 60 * S, question="publish?", whom="ann")
TIMED = attrs.evolve(APPROVAL, until=NOW + 3600 * S, on_timeout="skip")
OPERATOR = Awaited("load", "operator", NOW, question="what now?", attempt=2)
SIGNAL = Awaited("paid", "signal", NOW, signal="payment")
SLEEP = Awaited("rest", "sleep", NOW, NOW + 5 * S)
BACK_OFF = Awaited("load", RETRY, NOW, NOW + 5 * S, attempt=1)
PLAIN = Look(symbols=False)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (APPROVAL, "an approval"), (OPERATOR, "a decision"), (SIGNAL, "signal payment"),
        (SLEEP, "time to pass"), (BACK_OFF, "a retry"),
    ],
)  # fmt: skip
def test_each_kind_has_its_words(one, words):
    assert what_words(one) == words
    assert sentence(one, NOW).startswith(f"{one.task} waits for {words}")


def test_until_when_and_what_then_is_said():
    assert until_words(APPROVAL, NOW) == ""
    assert until_words(TIMED, NOW).endswith("(1h00m left), then it is skipped")
    assert until_words(TIMED, NOW + 7200 * S).endswith("(overdue), then it is skipped")
    assert until_words(SLEEP, NOW).endswith("(5.0 s left)")
    assert "of ann, since 1m ago, until" in sentence(TIMED, NOW)


@pytest.mark.parametrize("then", ["fail", "skip", "approve", "continue", "retry"])
def test_whatever_happens_then_has_words(then):
    assert ", then " in until_words(attrs.evolve(TIMED, on_timeout=then), NOW)


@pytest.mark.parametrize(
    ("one", "lines"),
    [
        (APPROVAL, ["dwf approve r review", "dwf reject r review"]),
        (SIGNAL, ["dwf signal r payment JSON"]),
        (SLEEP, ["dwf resolve r rest --value null"]),
        (BACK_OFF, ["dwf resolve r load --retry --attempt 1"]),
        (
            OPERATOR,
            [
                "dwf resolve r load --retry --attempt 2",
                "dwf resolve r load --value JSON --attempt 2",
                "dwf resolve r load --skip --attempt 2",
                "dwf resolve r load --fail --attempt 2",
            ],
        ),
    ],
)
def test_the_lines_to_type_answer_it(one, lines):
    """A decision is meant for the attempt that it was asked about."""
    assert command_lines("r", one) == lines


def test_a_shell_reads_back_what_was_meant():
    """Names may have spaces, brackets and tildes; a store from elsewhere has anything."""
    for name in ("a b", "load[7]", "x~undo", "$(reboot)", "a;b", "it's", "--help"):
        for line in command_lines("r", attrs.evolve(APPROVAL, task=name), "/my store"):
            words = shlex.split(line)
            assert words[2:] == ["r", name, "--store", "/my store"]


def test_questions_come_with_their_lines_and_timers_after_them():
    lines = [*asked_lines("r", [BACK_OFF, APPROVAL, SLEEP], PLAIN, NOW, None)]
    assert [line.split()[0] for line in lines] == [
        "review",
        "publish?",
        "dwf",
        "dwf",
        "load",
        "rest",
    ]


def test_of_many_the_first_are_told():
    lines = [*asked_lines("r", [APPROVAL] * 7 + [SLEEP] * 7, PLAIN, NOW, None, most=2)]
    assert "  and 5 more: dwf inbox" in lines
    assert lines[-1] == "  and 5 more wait for time to pass"


def test_what_others_wrote_is_harmless():
    evil = attrs.evolve(TIMED, question="a\x1b[2J\nb\u202e", whom="\x1b]0;x\x07ann", task="t\x07")
    text = "".join(asked_lines("r\x1b[1m", [evil], PLAIN, NOW, None))
    assert not set(text) & set("\x1b\x07\u202e\n")
    assert "a b" in text


def test_as_json_it_has_all_fields():
    assert awaited_document("r", TIMED) == {
        "task": "review", "what": "approval", "question": "publish?", "whom": "ann", "signal": "",
        "since": "2026-09-21T14:12:20.000000Z", "until": "2026-09-21T15:13:20.000000Z",
        "on_timeout": "skip", "attempt": 0,
        "commands": ["dwf approve r review", "dwf reject r review"],
    }  # fmt: skip
    assert awaited_document("r", SLEEP)["commands"] == []
