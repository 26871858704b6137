"""Ready-made rules, their waits and their combinators: what they answer, and what they refuse."""

from __future__ import annotations

import pytest

from durable_wf.core.status import FaultKind
from durable_wf.errors import DefinitionError
from durable_wf.recovery import (
    Compensate,
    Escalate,
    Fail,
    Fallback,
    Retry,
    Skip,
    compensate,
    escalate,
    example,
    exponential,
    fail_fast,
    fallback,
    fallback_to,
    fibonacci,
    first_of,
    fixed,
    jittered,
    keep_going,
    limit,
    linear,
    retry,
    rule,
    skip,
    when,
)


def errors(count, **more):
    return example(*["error"] * count, **more)


def delays(wait, faults=8):
    return [wait(*errors(count)) for count in range(1, faults + 1)]


# --- waits ---


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (fixed("2s"), [2, 2, 2, 2, 2, 2, 2, 2]),
        (linear(2, most=9), [2, 4, 6, 8, 9, 9, 9, 9]),
        (exponential(1), [1, 2, 4, 8, 16, 32, 64, 128]),
        (exponential(1, factor=3, most=30), [1, 3, 9, 27, 30, 30, 30, 30]),
        (fibonacci(2), [2, 2, 4, 6, 10, 16, 26, 42]),
        (fibonacci(1, most="5s"), [1, 1, 2, 3, 5, 5, 5, 5]),
    ],
)
def test_waits_grow_as_they_say(wait, expected):
    assert delays(wait) == expected


def test_a_wait_after_thousands_of_faults_is_its_cap():
    history, fault = errors(5_000)
    for wait in (exponential(1, factor=1e6), fibonacci(1), linear(1)):
        assert wait(history, fault) == 3600


def test_jitter_is_within_three_times_the_last_wait_and_the_cap():
    waits = []
    for _ in range(12):
        waits.append(jittered(2, most=60)(*errors(len(waits) + 1, waits_s=waits)))
    for before, after in zip([2.0, *waits], waits, strict=False):
        assert 2 <= after <= min(60, 3 * before)
    assert len(set(waits)) > 6


def test_jitter_differs_between_tasks_and_agrees_with_itself():
    waits = {task: jittered(1)(*errors(2, waits_s=[5], task=task)) for task in "abcdefgh"}
    again = {task: jittered(1)(*errors(2, waits_s=[5], task=task)) for task in "abcdefgh"}
    assert waits == again
    assert len(set(waits.values())) == len(waits)


# --- retry ---


def test_a_retry_ends_with_its_attempts():
    answers = [retry(3, wait=5)(*errors(count)) for count in (1, 2, 3)]
    assert [type(answer) for answer in answers] == [Retry, Retry, type(None)]
    assert answers[0].delay == 5
    assert answers[1].reason == "attempt 2 of 3 failed (error); again in 5 s"
    assert answers[1].facts == {"faults": 2, "run_retries": 1, "attempts": 3}


def test_a_retry_honours_what_the_exception_asks_for_where_it_is_longer():
    assert retry(3, wait=5)(*errors(1, retry_after_s=60.0)).delay == 60
    assert retry(3, wait=5)(*errors(1, retry_after_s=1.0)).delay == 5
    assert "as the exception asked" in retry(3, wait=5)(*errors(1, retry_after_s=60.0)).reason


def test_losses_have_a_budget_of_their_own_and_are_no_attempts():
    rule = retry(2, wait=5, losses=3)
    assert rule(*example("lost", "in_doubt", "lost")).delay == 0
    assert rule(*example("lost", "in_doubt", "lost", "lost")) is None
    assert rule(*example("lost", "in_doubt", "lost", "error")).delay == 5
    assert rule(*example("lost", "error", "error")) is None
    assert rule.losses == 3


def test_a_run_has_a_budget_that_its_tasks_share():
    assert isinstance(retry(9, budget=4)(*errors(1, run_retries=3)), Retry)
    assert retry(9, budget=4)(*errors(1, run_retries=4)) is None


def test_no_retry_comes_later_than_within():
    rule = retry(None, wait=10, within=30)
    assert rule(*errors(2, waits_s=[17])).delay == 10  # 1 + 17 + 1 + 10 < 30
    assert rule(*errors(2, waits_s=[19])) is None


def test_what_cannot_be_stored_is_not_tried_again():
    assert retry(5)(*example("not_storable")) is None


def test_only_the_named_exceptions_are_retried():
    rule = retry(5, on=(OSError, "BusyError"))
    assert isinstance(rule(*example(exceptions=[ConnectionError])), Retry)  # an OSError
    assert rule(*example(exceptions=[ValueError])) is None
    assert rule.name == "retry up to 5 attempts on OSError, BusyError"


# --- instead of a result ---


def test_the_other_ready_made_rules():
    assert fallback({"a": 1})(*errors(1)).instead == {"a": 1}
    assert fallback_to(print)(*errors(1)).function is print
    assert skip("not today")(*errors(1)) == Skip("not today")
    assert skip()(*errors(1)) == Skip("it went wrong")
    assert fail_fast()(*errors(1)) == Fail("it went wrong")
    assert keep_going()(*errors(1)) == Fail("it went wrong", keep_going=True)


def test_an_attempt_in_doubt_is_left_to_retries_and_the_default():
    for one in (fallback(1), fallback_to(print), skip(), fail_fast(), keep_going()):
        assert one(*example("in_doubt")) is None
        assert one(*example("lost")) is not None
    assert isinstance(retry(1)(*example("in_doubt")), Retry)


# --- combinators ---


def test_the_first_answer_counts():
    both = first_of(retry(2, wait=0), fallback(7))
    assert isinstance(both(*errors(1)), Retry)
    assert both(*errors(2)) == fallback(7)(*errors(2))
    assert [part.name for part in both.parts] == ["retry up to 2 attempts", "fallback to 7"]
    last = skip()
    assert first_of(both, last).parts == (*both.parts, last)


@pytest.mark.parametrize(
    ("fits", "seen", "expected"),
    [
        ({"exception": OSError}, example(exceptions=[ConnectionError]), True),
        ({"exception": "ConnectionError"}, example(exceptions=[ConnectionResetError]), True),
        ({"exception": (KeyError, "IndexError")}, example(exceptions=[ValueError]), False),
        ({"exception": LookupError}, example("timeout"), False),
        ({"kind": "timeout"}, example("timeout"), True),
        ({"kind": [FaultKind.MEMORY, "exit"]}, example("timeout"), False),
        ({"task": "load_*"}, example(task="load_prices"), True),
        ({"task": "load_*"}, example(task="mail"), False),
        ({"predicate": lambda h, f: h.faults > 1}, example("error", "error"), True),
        ({"predicate": lambda h, f: h.faults > 1}, example("error"), False),
        ({"kind": "error", "task": "mail"}, example("error", task="load"), False),
    ],
)
def test_a_rule_is_asked_only_when_all_fits(fits, seen, expected):
    assert (when(skip(), **fits)(*seen) is not None) == expected


def test_a_limit_counts_all_attempts_elapsed_time_and_the_budget():
    always = rule("always")(lambda history, fault: Retry(10))
    assert limit(always, attempts=3)(*example("lost", "error")) == Retry(10)
    assert limit(always, attempts=3)(*example("lost", "error", "lost")) is None
    assert limit(always, elapsed=60)(*errors(2, waits_s=[40])) == Retry(10)
    assert limit(always, elapsed=60)(*errors(2, waits_s=[50])) is None  # it would come too late
    assert limit(skip(), elapsed=60)(*errors(2, waits_s=[50])) is not None
    assert limit(always, budget=1)(*errors(1, run_retries=1)) is None


def test_names_say_what_a_rule_does():
    assert when(retry(3), exception=OSError, task="a*").name == (
        "retry up to 3 attempts when OSError, task a*"
    )
    assert limit(skip(), attempts=2, elapsed="1m").name == "skip within 2 attempts, 60 s"
    assert rule(version="4")(errors).label == "errors (version 4)"


# --- bad input ---


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: retry(0), "whole number of 1 or more, not 0"),
        (lambda: retry(True), "whole number"),
        (lambda: retry(None), "could go on for ever"),
        (lambda: retry(wait=-1), "from 0 to 1e"),
        (lambda: retry(wait="soon"), "is not a duration"),
        (lambda: retry(losses=-1), "losses"),
        (lambda: retry(within=float("nan")), "from 0 to"),
        (lambda: exponential(factor=0.5), "1 or more"),
        (lambda: fixed(1e12), "from 0 to"),
        (lambda: fallback(print), "takes a value"),
        (lambda: fallback(object()), "cannot be stored|object"),
        (lambda: fallback("x" * 70_000), "characters of JSON"),
        (lambda: fallback_to(7), "takes a function"),
        (lambda: when(skip()), "needs exception="),
        (lambda: when(skip(), kind="errr"), "no kind of fault; there are 'error'"),
        (lambda: when(skip(), exception=int), "neither an exception class"),
        (lambda: limit(skip()), "needs attempts="),
        (lambda: limit(skip(), attempts=0), "1 or more"),
        (lambda: first_of(), "at least one"),
        (lambda: first_of(3), "3 is no rule"),
    ],
)
def test_bad_input_is_refused_where_it_is_given(make, said):
    with pytest.raises(DefinitionError, match=said):
        make()


def test_a_fallback_is_a_value_or_an_announced_function():
    assert Fallback(7).function is None
    assert Fallback(len).function is len


# --- people, and what is taken back ---


def test_escalate_asks_what_it_was_told_to_or_tells_what_happened():
    history, fault = example("error", exceptions=[ConnectionError])
    told = escalate("call the bank?", whom="ops", timeout="1h", on_timeout="skip")
    assert told(history, fault) == Escalate(
        "call the bank?", fault.message or "ConnectionError", "ops", "1h", "skip"
    )
    asked = escalate()(history, fault)
    assert f"task {history.task!r} failed (ConnectionError)" in asked.question


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: escalate(question=7), "question of escalate"),
        (lambda: escalate(whom=None), "whom of escalate"),
        (lambda: escalate(timeout="soon"), "is not a duration"),
        (lambda: escalate(on_timeout="approve"), "on_timeout is one of fail, skip, retry"),
        (lambda: compensate(7), "the reason of 'compensate'"),
    ],
)
def test_nonsense_about_people_is_refused_when_the_rule_is_made(made, said):
    with pytest.raises(DefinitionError, match=said):
        made()


def test_compensate_gives_up_and_says_why():
    history, fault = errors(1)
    assert compensate("half done")(history, fault) == Compensate("half done")


@pytest.mark.parametrize("made", [retry(5), retry(5, wait=1)])
def test_another_attempt_does_not_close_a_breaker(made):
    history, fault = example("breaker")
    assert made(history, fault) is None
    assert history.faults == 0
