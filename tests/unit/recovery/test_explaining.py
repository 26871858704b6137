"""Explaining: every decision of a history is told, with who made it, on what, and why."""

from __future__ import annotations

import histories_of as h
import pytest
from golden import golden, names

from durable_wf.cli.decisions import conclusion_words
from durable_wf.core import events as e
from durable_wf.core.status import FaultKind, Verdict
from durable_wf.recovery.explaining import By, Conclusion, explained

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)


def told(*events: e.Event, task: str = "a"):
    return list(explained(h.recorded(*BEGUN, *events), task))


def only(*events: e.Event, task: str = "a"):
    (one,) = told(*events, task=task)
    return one


@pytest.mark.parametrize("name", names())
def test_every_decision_of_every_golden_history_is_told_once(name):
    """But for timers that came: nobody decided anything then."""
    _, history = golden(name)
    tasks = {r.event.task for r in history if isinstance(r.event, e.TaskEvent)}
    answered, expected = set(), []
    for recorded in history:
        event = recorded.event
        if isinstance(event, e.OperatorDecided):
            answered.add(event.task)
        elif isinstance(event, Conclusion):
            if not isinstance(event, e.TaskWoken) or event.task in answered:
                expected.append(recorded.n)
            answered.discard(event.task)
    found = [one for task in tasks for one in explained(history, task)]
    assert sorted(one.n for one in found) == expected
    for one in found:
        assert conclusion_words(one)
        assert one.event is history[one.n - 1].event
        if one.by in {By.RULE, By.DEFAULT, By.TASK, By.ENGINE}:
            assert one.rule
            # One history was recorded when a fault without a message gave no reason.
            assert one.reason or (name, one.fault.message) == ("saga_escalates", "")
        if one.by is By.PERSON:
            assert one.actor


def test_each_of_them_stands_in_some_golden_history():
    """The control of the test above."""
    found = {
        one.by
        for name in names()
        for task in golden(name)[0].tasks
        for one in explained(golden(name)[1], task.name)
    }
    assert found == set(By)


def test_a_decision_knows_the_fault_that_it_was_about():
    one = only(h.begun(), h.broke(kind=FaultKind.TIMEOUT), h.RETRY)
    assert (one.attempt, one.fault.kind, one.rule, one.by) == (
        1,
        FaultKind.TIMEOUT,
        "rule",
        By.RULE,
    )
    assert (one.n, one.reason) == (6, "because")
    assert conclusion_words(one) == "try again at once"


@pytest.mark.parametrize(
    ("rule", "by"),
    [
        ("default", By.DEFAULT),
        ("in doubt: run again", By.DEFAULT),
        ("in-doubt budget", By.DEFAULT),
        ("in doubt: fail", By.TASK),
        ("in doubt: ask", By.TASK),
        ("deadline", By.ENGINE),
        ("draining", By.ENGINE),
        ("mine", By.RULE),
    ],
)
def test_who_decided_is_told_from_the_name_under_which_it_was_recorded(rule, by):
    assert only(h.begun(), h.broke(), e.TaskFailed("a", rule, "because")).by is by


def test_what_a_person_answered_is_told_with_what_followed_from_it():
    asked = e.TaskEscalated("a", "rerun?", "mine", "because", whom="ops")
    answer = e.OperatorDecided("a", Verdict.RETRY, "ann", "the disk is back")
    first, second = told(h.begun(), h.broke(), asked, answer, h.WOKEN)
    assert (first.by, conclusion_words(first)) == (By.RULE, "ask ops: rerun?")
    assert (second.by, second.actor, second.comment) == (By.PERSON, "ann", "the disk is back")
    assert conclusion_words(second) == "try again at once"
    assert second.fault.message == "boom"


def test_a_breaker_that_refused_is_the_fault():
    one = only(e.AttemptRefused("a", "api", 99), h.GIVEN_UP)
    assert (one.attempt, one.fault.kind) == (0, FaultKind.BREAKER)


def test_a_task_that_never_failed_was_cut_off():
    one = only(h.begun(), h.broke(), h.KEPT_GOING, h.CUT_OFF, task="b")
    assert (one.by, one.fault, one.attempt) == (By.ENGINE, None, 0)


def test_a_timer_that_comes_is_no_decision():
    assert len(told(h.begun(), h.broke(), h.RETRY, h.WOKEN)) == 1
