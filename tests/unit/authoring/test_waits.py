"""waits: tasks that wait in place of calling a function, and what is wrong with what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import attrs
import pytest
from strategies import task

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.factory import TaskFactory
from durable_wf.authoring.waits import approval, sleep, wait_for_signal
from durable_wf.core.definition import FunctionRef, Literal, Task, Upstream, WaitFor, Workflow
from durable_wf.core.resources import Resources
from durable_wf.core.status import Otherwise, WaitKind
from durable_wf.core.waits import LONGEST_QUESTION
from durable_wf.errors import DefinitionError


def make(): ...
def publish(review, paid): ...


def refused(builder: WorkflowBuilder) -> tuple[str, ...]:
    with pytest.raises(DefinitionError) as caught:
        builder.build()
    return caught.value.problems


# --- what is made -------------------------------------------------------------------------------


def test_a_wait_stands_where_others_give_a_function():
    workflow = (
        WorkflowBuilder("w")
        .add_task("make", make)
        .add_task("review", approval("publish?", whom="ann", timeout="1d")).depends_on("make")
        .add_task("paid", wait_for_signal("payment")).after("make", "review")
        .add_task("rest", sleep("1h")).depends_on("paid").optional()
        .add_task("publish", publish).depends_on("review", "paid").after("rest")
        .build()
    )  # fmt: skip
    _, review, paid, rest, last = workflow.tasks
    assert review.wait == WaitFor(
        WaitKind.APPROVAL, question="publish?", whom="ann", timeout_s=86400.0
    )
    assert paid.wait == WaitFor(WaitKind.SIGNAL, name="payment")
    assert rest.wait == WaitFor(WaitKind.SLEEP, timeout_s=3600.0)
    assert (review.upstream, paid.upstream) == (("make",), ("make", "review"))
    assert (review.args, review.kwargs) == ((), ()), "what comes before gives it order, no data"
    assert rest.optional
    assert last.kwargs == (("review", Upstream("review")), ("paid", Upstream("paid")))
    assert set(workflow.functions) == {"make", "publish"}
    assert Workflow.from_json(workflow.to_json()) == workflow


def test_a_task_that_waits_occupies_nothing():
    """And a plan knows how long a sleep is, and nothing of how long people think."""
    factory = TaskFactory()
    review = factory.create("review", approval("publish?"))
    rest = factory.create("rest", sleep("1h"))
    assert review.resources == rest.resources == Resources(cpu=0.0)
    assert (review.estimate_s, rest.estimate_s) == (0.0, 3600.0)
    guessed = factory.create("review", approval("publish?"), estimate="2h", description="why")
    assert (guessed.estimate_s, guessed.description) == (7200.0, "why")
    workflow = Workflow("w", (task("a"), attrs.evolve(rest, upstream=("a",))))
    assert workflow.plan(Resources(cpu=1.0)).makespan_s == 3601.0


@pytest.mark.parametrize(
    ("made", "on_timeout"),
    [
        *((approval("q", timeout=1, on_timeout=o), o) for o in ("skip", "approve", "continue")),
        *((wait_for_signal("s", timeout=1, on_timeout=o), o) for o in ("skip", "continue")),
        (approval("q", timeout=1), "fail"),
        (wait_for_signal("s"), "fail"),
    ],
)
def test_what_happens_when_nobody_answers_is_said_in_a_word(made, on_timeout):
    assert made.on_timeout is Otherwise(on_timeout)


@pytest.mark.parametrize("on_reject", ["fail", "skip", "continue"])
def test_so_is_what_happens_upon_a_no(on_reject):
    assert approval("q", on_reject=on_reject).on_reject is Otherwise(on_reject)


def test_a_sleep_ends_at_a_moment_of_any_time_zone():
    paris = timezone(timedelta(hours=1))
    there = sleep(until=datetime(2026, 11, 23, 9, 0, 0, 1, tzinfo=paris))
    assert there == sleep(until=datetime(2026, 11, 23, 8, 0, 0, 1, tzinfo=UTC))
    assert there.until == 1_795_420_800_000_001


# --- what is wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: approval(""), "needs a question"),
        (lambda: approval(" "), "needs a question"),
        (lambda: approval(3), "question of an approval must be a text, not 3"),
        (lambda: approval("q" * (LONGEST_QUESTION + 1)), "has 10,001 characters"),
        (lambda: approval("q", whom=3), "whom of an approval must be a text"),
        (lambda: approval("q", whom="w" * 201), "has 201 characters; 200 fit"),
        (lambda: approval("q", timeout=-1), "must be from 0 to"),
        (lambda: approval("q", timeout="soon"), "approval(timeout=): 'soon' is not a duration"),
        (lambda: approval("q", timeout=1, on_timeout="retry"), "on_timeout is one of 'fail', 's"),
        (lambda: approval("q", on_timeout="skip"), "on_timeout='skip' needs a timeout"),
        (lambda: approval("q", on_reject="approve"), "on_reject is one of 'fail', 'skip', 'cont"),
        (lambda: wait_for_signal(""), "'' is no name for a signal"),
        (lambda: wait_for_signal("a\x1b[2J"), "is no name for a signal"),
        (lambda: wait_for_signal(5), "5 is no name for a signal"),
        (lambda: wait_for_signal("s", timeout=1, on_timeout="approve"), "on_timeout is one of"),
        (lambda: sleep(), "one of the two"),
        (lambda: sleep(1, until=datetime(2026, 1, 1, tzinfo=UTC)), "one of the two"),
        (lambda: sleep(-1), "sleep(duration) must be from 0"),
        (lambda: sleep(float("nan")), "sleep(duration) must be from 0"),
        (lambda: sleep(until="noon"), "takes a datetime, not 'noon'"),
        (lambda: sleep(until=datetime(2026, 1, 1)), "has no time zone"),
    ],
)
def test_nonsense_is_told_at_once(call, words):
    with pytest.raises(DefinitionError) as caught:
        call()
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"retry": 3}, "retry makes no sense for a task that waits: it calls no function"),
        ({"fallback": 3}, "fallback makes no sense"),
        ({"executor": "parallel"}, "executor makes no sense"),
        ({"cpu": 2}, "cpu makes no sense"),
        ({"priority": 2}, "priority makes no sense"),
        ({"deadline": 2}, "deadline makes no sense"),
        ({"timeout": 2}, "say approval(..., timeout=...)"),
        ({"optinal": True}, "'optinal' is no option; did you mean 'optional'?"),
        ({"optional": 1}, "optional must be True or False"),
        ({"estimate": "soon"}, "estimate: 'soon' is not"),
    ],
)
def test_options_of_calls_are_none_of_a_wait(option, words):
    (problem,) = refused(WorkflowBuilder("w").add_task("a", approval("q"), **option))
    assert words in problem


def test_all_problems_of_a_wait_are_told_together():
    builder = (
        WorkflowBuilder("w")
        .add_task("a", approval("q"), parameters={"x": 1}).bind(y="b").retry(3).timeout("1h")
        .add_task("b", approval)
        .add_task(sleep(1))
    )  # fmt: skip
    problems = refused(builder)
    for words in (
        "task 'a': it calls nothing, so it takes no parameters",
        "task 'a': it calls nothing, so nothing can be bound",
        "task 'a': retry makes no sense",
        "task 'a': timeout bounds an attempt",
        "task 'b': call it: add_task('review', approval(...))",
        "task '': the task's name '' is no usable name",
    ):
        assert any(problem.startswith(words) for problem in problems), words


def of_file(wait: WaitFor, **fields: object) -> Workflow:
    return Workflow("w", (Task("a", FunctionRef("x"), wait=wait, **fields),))


@pytest.mark.parametrize(
    ("workflow", "words"),
    [
        (of_file(WaitFor(WaitKind.OPERATOR)), "cannot wait for 'operator' from the start"),
        (of_file(WaitFor(WaitKind.APPROVAL)), "needs a question"),
        (of_file(WaitFor(WaitKind.SIGNAL)), "is no name for a signal"),
        (of_file(WaitFor(WaitKind.SLEEP)), "one of the two"),
        (of_file(WaitFor(WaitKind.SLEEP, timeout_s=1.0, until=5)), "one of the two"),
        (of_file(WaitFor(WaitKind.SLEEP, until=10**30)), "until must be before the year 10000"),
        (of_file(WaitFor(WaitKind.SLEEP, until=-(10**30))), "until must be before the year 10000"),
        (of_file(WaitFor(WaitKind.SLEEP, timeout_s=-1.0)), "timeout_s must be from 0"),
        (of_file(WaitFor(WaitKind.SLEEP, "x", timeout_s=1.0)), "only a signal has a name"),
        (of_file(WaitFor(WaitKind.SIGNAL, "s", "q")), "a signal asks nobody"),
        (of_file(WaitFor(WaitKind.SIGNAL, "s", until=5)), "only a sleep has an end"),
        (
            of_file(WaitFor(WaitKind.SIGNAL, "s", timeout_s=1.0, on_timeout=Otherwise.RETRY)),
            "on_timeout of signal cannot be 'retry'",
        ),
        (
            of_file(WaitFor(WaitKind.SIGNAL, "s", on_reject=Otherwise.SKIP)),
            "on_reject of signal cannot be 'skip'",
        ),
        (
            of_file(WaitFor(WaitKind.SIGNAL, "s"), timeout_s=1.0, args=(Literal("1"),)),
            "it waits and calls nothing, so it has no args, timeout_s",
        ),
    ],
)
def test_a_definition_from_a_file_is_checked_as_well(workflow, words):
    with pytest.raises(DefinitionError) as caught:
        Workflow.from_json(workflow.to_json())
    assert words in str(caught.value)
