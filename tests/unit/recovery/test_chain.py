"""The chain: order, what is written down, and that no rule can hurt the engine."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.core import inputs as i
from durable_wf.core.status import Otherwise
from durable_wf.recovery import (
    Compensate,
    Escalate,
    Fail,
    Fallback,
    Retry,
    Skip,
    example,
    first_of,
    retry,
    rule,
    skip,
)
from durable_wf.recovery.chain import MOST_ATTEMPTS, Rules, decide
from durable_wf.recovery.rule import named, named_all

DEFAULT = i.Fail(0, "default", "nobody answered")


def decided(*rules, seen=None, budgets=None):
    history, fault = seen or example()

    def default(budget):
        if budgets is not None:
            budgets.append(budget)
        return DEFAULT

    return decide(0, named_all(rules), history, fault, default)


def answer(value, **more):
    return rule("mine", version="3", **more)(lambda history, fault: value)


def test_the_tasks_rules_come_first_then_the_workflows_then_the_engines():
    a, b, c, d = (named_all([skip()])[0] for _ in range(4))
    rules = Rules.of({"t": (a,), "": (c,)}, (d,))
    assert rules.of_task("t") == (a, c, d)
    assert rules.of_task("u") == (c, d)
    assert Rules.of({"t": (named(first_of(a, b)),)}).of_task("t") == (a, b)


def test_the_first_answer_wins_and_none_is_no_answer():
    assert decided(answer(None), answer(Skip("x")), answer(Fail("y"))) == (
        i.Skip(0, "mine", "x", "3")
    )
    assert decided(answer(None)) is DEFAULT
    assert decided() is DEFAULT


def test_the_default_is_told_the_tightest_budget_for_losses():
    budgets = []
    decided(answer(None), retry(1, losses=5), retry(1, losses=2), budgets=budgets)
    decided(answer(None), budgets=budgets)
    assert budgets == [2, None]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Retry("2s", "why", facts={"n": 1}),
         i.Retry(0, "mine", "why", 2_000_000, "3", (("n", 1),))),
        (Skip("why"), i.Skip(0, "mine", "why", "3")),
        (Fail("why", keep_going=True), i.Fail(0, "mine", "why", "3", keep_going=True)),
        (Fallback([1, "a"], "why"), i.FallBack(0, "mine", "why", '[1,"a"]', "3")),
    ],
)  # fmt: skip
def test_an_answer_becomes_an_input_of_the_core(given, expected):
    assert decided(answer(given)) == expected


def test_an_announced_function_may_be_fallen_back_to():
    found = decided(answer(Fallback(decided), functions=[decided]))
    assert isinstance(found, i.FallBackTo)
    assert found.function.endswith(":decided")


def raises(history, fault):
    raise KeyError("who knows")


class Stop(BaseException):
    """What `except Exception` does not see."""


def exits(history, fault):
    raise SystemExit(3)


def stops(history, fault):
    raise Stop("enough")


def never_ends(history, fault):
    return never_ends(history, fault)


class Exits:
    """A reason, or facts, that end the process when somebody looks at them."""

    def __getattribute__(self, name):
        raise SystemExit(4)


class Evil(Exception):
    def __str__(self):
        raise RuntimeError


def raises_evil(history, fault):
    raise Evil


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (raises, "rule 'raises' raised KeyError: 'who knows'"),
        (raises_evil, "rule 'raises_evil' raised Evil"),
        (exits, "rule 'exits' raised SystemExit: 3"),
        (stops, "rule 'stops' raised Stop: enough"),
        (never_ends, "rule 'never_ends' raised RecursionError"),
        (answer(Skip(facts=Exits())), "answered what raised SystemExit"),
        (lambda history: Retry(1), "raised TypeError"),
        (answer(7), "rule 'mine' answered nonsense: 7 (a rule answers one of Compensate"),
        (answer(Retry), "answered nonsense: <class"),
        (answer(Retry(-1)), "the delay of a retry must be from 0"),
        (answer(Retry(float("inf"))), "the delay of a retry must be from 0"),
        (answer(Retry("later")), "is not a duration"),
        (answer(Retry(object())), "answered"),
        (answer(Skip(reason=3)), "the reason 3 is no text"),
        (answer(Skip(facts={"a": 1.5})), "the fact 'a' = 1.5 is no whole number"),
        (answer(Skip(facts={3: 1})), "the fact 3 is not named by a text"),
        (answer(Skip(facts={"a" * 201: 1})), "is not named by a text of up to 200"),
        (answer(Skip(facts={"a": 10**5000})), "the fact 'a' takes more than 64 bits"),
        (answer(Skip(facts={"a": -(2**63) - 1})), "the fact 'a' takes more than 64 bits"),
        (answer(Skip(facts=3)), "its facts are no mapping"),
        (answer(Fallback(object())), "the fallback value"),
        (answer(Fallback("x" * 70_000)), "characters"),
        (answer(Fallback(print)), "which it has not announced"),
        (answer(Escalate("")), "the question is empty"),
        (answer(Escalate(7)), "the question 7 is no text"),
        (answer(Escalate("what?", whom=None)), "the whom None is no text"),
        (answer(Escalate("what?", timeout=-1)), "the timeout of an escalation must be from 0"),
        (answer(Escalate("what?", on_timeout="panic")), "on_timeout is one of fail, skip, retry"),
    ],
)
def test_a_rule_that_raises_or_answers_nonsense_fails_the_task_and_says_so(bad, said):
    found = decided(bad, skip())
    assert isinstance(found, i.Fail)
    assert said in found.reason
    assert not found.keep_going


def test_what_a_breaker_refused_is_not_tried_again_at_once_whatever_a_rule_says():
    soon, later = answer(Retry(0)), answer(Retry(5))
    refused = example("error", "breaker")
    assert decided(soon, seen=refused).delay_us == 1_000_000
    assert decided(later, seen=refused).delay_us == 5_000_000
    assert decided(soon).delay_us == 0


def test_a_question_to_a_person_keeps_all_that_was_said():
    asked = Escalate("what now?", "too odd", "ops", "5m", "retry", facts={"faults": 1})
    found = decided(answer(asked))
    assert isinstance(found, i.Escalate)
    assert (found.question, found.reason, found.whom) == ("what now?", "too odd", "ops")
    assert (found.timeout_us, found.on_timeout) == (300_000_000, Otherwise.RETRY)
    assert found.facts == (("faults", 1),)
    assert decided(answer(Escalate("what now?"))).timeout_us is None


def test_compensate_fails_the_task_and_takes_back_what_it_may_have_done():
    found = decided(answer(Compensate("half a booking")))
    assert isinstance(found, i.Fail)
    assert found.compensate
    assert found.reason == "half a booking"


def test_a_compensation_is_asked_about_by_its_own_rules_only():
    mine, common = rule(answer(Skip())), rule(answer(Retry(1)))
    rules = Rules({"a~undo": (mine,)}, (common,), (common,))
    assert rules.of_task("a~undo") == (mine,)
    assert rules.of_task("b~undo") == ()
    assert rules.of_task("a") == (common, common)


def interrupted(history, fault):
    raise KeyboardInterrupt


def test_ctrl_c_while_a_rule_is_asked_is_not_taken_for_its_error():
    with pytest.raises(KeyboardInterrupt):
        decided(interrupted)


def test_no_rule_tries_for_ever():
    history, fault = example()
    import attrs

    worn = attrs.evolve(fault, attempt=MOST_ATTEMPTS)
    assert isinstance(decided(answer(Retry(0)), seen=(history, fault)), i.Retry)
    assert "no rule may go on for ever" in decided(answer(Retry(0)), seen=(history, worn)).reason


# --- deadlines ----------------------------------------------------------------------------------


def with_time_left(left_s):
    history, fault = example()
    return attrs.evolve(history, deadline_s=history.elapsed_s + left_s), fault


def test_a_retry_that_would_begin_after_the_deadline_gives_way_to_the_next_rule():
    seen = with_time_left(5.0)
    answers = (answer(Retry(5.0, "late")), answer(Skip("instead")))
    assert decided(*answers, seen=seen) == i.Skip(0, "mine", "instead", "3")
    assert isinstance(decided(*answers, seen=with_time_left(5.1)), i.Retry)
    assert isinstance(decided(*answers), i.Retry), "a task without a deadline has time"


def test_a_shorter_wait_of_a_later_rule_is_taken():
    decision = decided(answer(Retry(9.0)), answer(Retry(1.0)), seen=with_time_left(5.0))
    assert decision.delay_us == 1_000_000


def test_where_no_other_rule_answers_the_first_late_retry_is_the_decision():
    """The core turns it into the failure of the task, and names the deadline."""
    decision = decided(answer(Retry(8.0, "first")), answer(Retry(9.0)), seen=with_time_left(-1.0))
    assert (decision.reason, decision.delay_us) == ("first", 8_000_000)


def test_rules_may_ask_how_much_time_is_left():
    history, _ = example()
    assert history.time_left_s is None
    history, _ = with_time_left(5.0)
    assert history.time_left_s == pytest.approx(5.0)
