"""Backtests: what other rules would have decided, and what can be known of it."""

from __future__ import annotations

import json

import pytest

from durable_wf.core import events as e
from durable_wf.core.status import FaultKind
from durable_wf.recovery import (
    Backtest,
    Retry,
    backtest,
    fail_fast,
    fallback,
    keep_going,
    retry,
    rule,
    skip,
)
from durable_wf.recovery.backtesting import Outcome
from durable_wf.recovery.chain import Rules

SECOND = 1_000_000


def history(*steps, task="a", start=1_790_000_000 * SECOND):
    """Events a second apart. A number is a retry that waits so many seconds; a kind is a fault."""
    found = [e.Recorded(1, start, e.RunCreated("w", "d", 1))]
    at, attempt = start, 0

    def add(event, seconds=1.0):
        nonlocal at
        at += round(seconds * SECOND)
        found.append(e.Recorded(len(found) + 1, at, event))

    for step in steps:
        if isinstance(step, FaultKind):
            attempt += 1
            add(e.AttemptStarted(task, attempt, "w", 1, 1))
            add(e.AttemptFailed(task, attempt, e.Fault(step, "boom", "ValueError")))
        elif isinstance(step, int | float):
            add(e.TaskRetryScheduled(task, at + round(step * SECOND), "old", "why"), 0)
            add(e.TaskWoken(task), step)
        elif step == "done":
            attempt += 1
            add(e.AttemptStarted(task, attempt, "w", 1, 1))
            add(e.AttemptSucceeded(task, attempt, "1", at, SECOND))
        elif step == "failed":
            add(e.TaskFailed(task, "old", "why"), 0)
        elif step == "skipped":
            add(e.TaskSkipped(task, "old", "why"), 0)
    return found


ERROR, LOST, DOUBT = FaultKind.ERROR, FaultKind.LOST, FaultKind.IN_DOUBT


def test_the_rules_that_decided_would_decide_the_same():
    recorded = history(ERROR, 5, ERROR, 5, "done")
    found = backtest(retry(3, wait=5), recorded)
    assert (found.runs, found.faults, found.same, found.differences) == (1, 2, 2, [])


def test_no_rules_mean_the_default():
    assert backtest([], history(ERROR, "failed")).same == 1
    assert backtest([], history(DOUBT, 0, "done")).same == 1


def test_giving_up_earlier_saves_attempts_and_time_and_may_lose_a_success():
    found = backtest(fail_fast(), history(ERROR, 5, ERROR, 5, ERROR, "failed"))
    assert (found.faults, found.not_reached, len(found.differences)) == (3, 2, 1)
    assert (found.attempts_saved, found.seconds_saved, found.lost) == (2, 14.0, 0)
    assert found.differences[0].outcome is Outcome.SAVED

    found = backtest(skip(), history(ERROR, 5, ERROR, 5, "done"))
    assert (found.attempts_saved, found.lost) == (2, 1)
    assert found.differences[0].outcome is Outcome.LOST


def test_what_never_happened_is_unknown():
    found = backtest(retry(3, wait=7), history(ERROR, "failed"))
    assert (found.unknown, found.attempts_added, found.seconds_added) == (1, 1, 7.0)
    for other in (fallback(1), skip(), keep_going()):
        assert backtest(other, history(ERROR, "failed")).unknown == 1
    assert backtest(fail_fast(), history(ERROR, "skipped")).unknown == 1


def test_other_waits_keep_the_path():
    found = backtest(retry(4, wait=2), history(ERROR, 5, ERROR, 1, "done"))
    assert [one.outcome for one in found.differences] == [Outcome.WAIT] * 2
    assert (found.seconds_saved, found.seconds_added, found.not_reached) == (3.0, 1.0, 0)


def test_a_rule_sees_the_history_as_it_was_recorded():
    seen = []

    @rule
    def watching(past, fault):
        seen.append((past.run_id, past.workflow, past.task, past.faults, past.losses,
                     past.run_retries, past.elapsed_s, past.last_delay_s, fault.attempt,
                     fault.exception))  # fmt: skip
        return Retry(5)

    backtest(watching, [("r-1", history(ERROR, 5, LOST, 5, ERROR, "failed"))])
    assert seen == [
        ("r-1", "w", "a", 1, 0, 0, 1.0, 0.0, 1, "ValueError"),
        ("r-1", "w", "a", 1, 1, 1, 8.0, 5.0, 2, "ValueError"),
        ("r-1", "w", "a", 2, 1, 1, 15.0, 5.0, 3, "ValueError"),
    ]


def late(wait_s, recorded):
    """The last fault was 5 s before the task's deadline, and the rule wanted to wait longer."""
    at = recorded[-1].at
    facts = (("deadline", at + 5 * SECOND),)
    reason = f"its deadline comes before the next attempt: again in {wait_s} s"
    failed = e.TaskFailed("a", "deadline", reason, facts=facts)
    return [*recorded, e.Recorded(len(recorded) + 1, at, failed)]


def test_a_retry_for_which_the_deadline_left_no_time_would_find_none_again():
    recorded = late(9, history(ERROR, 2, ERROR))
    assert backtest(retry(3, wait=9), recorded).differences[-1].outcome is Outcome.WAIT
    same = backtest(retry(3, wait=lambda past, _: 2 if past.faults == 1 else 9), recorded)
    assert (same.faults, same.same) == (2, 2)


def test_a_shorter_wait_or_another_answer_would_have_been_in_time():
    recorded = late(9, history(ERROR))
    assert backtest(retry(3, wait=4), recorded).unknown == 1
    assert backtest([retry(3, wait=9), fallback(1)], recorded).unknown == 1
    (difference,) = backtest([retry(3, wait=9), fallback(1)], recorded).differences
    assert difference.candidate == "fall back to a value"


def test_giving_up_a_compensation_is_asking_a_person():
    """The default gives up; what is recorded then is the question."""
    asked = e.TaskEscalated("a~undo", "what now?", "default", "boom")
    recorded = history(ERROR, task="a~undo")
    recorded.append(e.Recorded(len(recorded) + 1, recorded[-1].at, asked))
    assert backtest([], recorded).same == 1
    (difference,) = backtest(Rules.of({"a~undo": (skip(),)}), recorded).differences
    assert (difference.recorded, difference.candidate) == ("ask a person", "skip")


def test_decisions_that_no_rule_took_are_left_out():
    recorded = history(ERROR)
    recorded.append(e.Recorded(9, 2 * SECOND, e.TaskFailed("a", "draining", "why")))
    skipped = e.TaskSkipped("b", "upstream", "why", upstream="a")
    recorded.append(e.Recorded(10, 2 * SECOND, skipped))
    assert backtest(skip(), recorded) == Backtest(runs=1)


def test_a_rule_that_raises_is_a_difference_that_says_so():
    found = backtest(lambda past, fault: 1 / 0, history(ERROR, 5, "done"))
    assert "raised ZeroDivisionError" in found.differences[0].reason


def test_a_backtest_is_plain_json():
    found = backtest(fail_fast(), history(ERROR, 5, "done"))
    told = json.loads(json.dumps(found.to_dict()))
    assert told["lost"] == 1
    assert told["differences"][0]["outcome"] == "a success would have been lost"


@pytest.mark.slow
def test_ten_thousand_faults_are_asked_about():
    """The budget in time is checked by the bench; here: that all are seen."""
    streams = ((f"r{k}", history(*[ERROR, 5] * 9, ERROR, "failed")) for k in range(1_000))
    found = backtest(retry(5, wait=5), streams)
    assert (found.runs, found.faults) == (1_000, 10_000)
    assert len(found.differences) == 1_000
    assert found.attempts_saved == 5_000
