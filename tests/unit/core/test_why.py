"""Each cause by an example, with what it knows: who, when, which rule, until when."""

from __future__ import annotations

import attrs
import histories_of as h
import pytest
import strategies

from durable_wf.core import events as e
from durable_wf.core.definition import Workflow
from durable_wf.core.lacking import Held, Lack, Stock, lacks
from durable_wf.core.reason import Answer, Around, Barred, Cause, Reason
from durable_wf.core.resources import Resources
from durable_wf.core.status import FaultKind, Otherwise, TaskStatus, WaitKind
from durable_wf.core.task import Undo, WaitFor
from durable_wf.core.why import at_bottom, why
from durable_wf.core.witness import Witness

BEGUN = (h.CREATED, h.CLAIMED, h.STARTED)
ALIVE = Around(alive=True)
A, B = 0, 1

CHAIN = strategies.workflow(
    strategies.task("a"), strategies.task("b", "a"), strategies.task("c", "b"), name="w"
)


def asked(*events: e.Event, task: int = A, around: Around = ALIVE, workflow=h.A_THEN_B) -> Answer:
    """Why the task may not start, after these events."""
    return why(Witness.of("r", workflow, h.recorded(*events)), task, around)


def causes(answer: Answer) -> list[Cause]:
    return [reason.cause for reason in answer.reasons]


def only(answer: Answer) -> Reason:
    (reason,) = answer.reasons
    return reason


# --- the task itself ---


def test_a_task_that_nothing_holds_back_has_no_reason_and_knows_since_when():
    answer = asked(*BEGUN)
    assert (answer.reasons, answer.roots, answer.status) == ((), (), TaskStatus.PENDING)
    assert answer.since.event == h.STARTED
    assert asked(*BEGUN, h.begun(), h.done(), task=B).since.event == h.done()
    woken = (h.begun(), h.broke(), h.RETRY, h.WOKEN)
    assert asked(*BEGUN, *woken).since.event == h.WOKEN
    assert asked(*BEGUN, h.PAUSED, h.RESUMED).since.event == h.RESUMED


def test_those_that_come_first_are_counted():
    """By priority, then by the longest path behind them."""
    workflow = strategies.workflow(
        strategies.task("a"), strategies.task("b"), strategies.task("c", "b"),
        strategies.task("d", priority=1), name="w",
    )  # fmt: skip
    created = attrs.evolve(h.CREATED, total=4)
    ahead = [
        asked(created, h.CLAIMED, h.STARTED, task=k, workflow=workflow).ahead for k in (3, 1, 0)
    ]
    assert ahead == [0, 1, 2]


DIED = (h.begun(), e.RunClaimed("e-2", "recover"), e.AttemptReturned("a", 1))
"""An engine died over the attempt, and another one has taken the run."""


def test_engines_that_died_over_the_run_are_counted_as_its_engine_does():
    """Such a run may have to wait for its turn. Something done counts back to nothing."""
    assert asked(*BEGUN).crashes == 0
    assert asked(*BEGUN, *DIED).crashes == 1
    assert asked(*BEGUN, *DIED, *DIED).crashes == 2
    assert asked(*BEGUN, *DIED, h.begun(), h.done(), task=B).crashes == 0


def test_an_open_attempt_is_named_with_its_worker():
    reason = only(asked(*BEGUN, h.begun()))
    assert reason == Reason(Cause.BEGUN, 4, 40, actor="w-1-0", attempt=1)


def test_a_fault_that_awaits_its_decision_is_told():
    reason = only(asked(*BEGUN, h.begun(), h.broke(kind=FaultKind.TIMEOUT)))
    assert (reason.cause, reason.n, reason.attempt) == (Cause.FAULTED, 5, 1)
    assert reason.text == "timeout: boom"


def test_a_retry_timer_names_its_rule_its_reason_and_its_time():
    reason = only(asked(*BEGUN, h.begun(), h.broke(), attrs.evolve(h.RETRY, version="2")))
    assert reason == Reason(Cause.TIMER, 6, 60, rule="rule", version="2", text="because", until=50)


def waits(**options) -> Workflow:
    return strategies.workflow(
        strategies.task("a", wait=WaitFor(**options)), strategies.task("b", "a"), name="w"
    )


def test_an_approval_names_its_question_and_whom_it_is_for():
    workflow = waits(
        kind=WaitKind.APPROVAL, question="publish?", whom="ann", timeout_s=1,
        on_timeout=Otherwise.SKIP,
    )  # fmt: skip
    waiting = e.TaskWaiting("a", WaitKind.APPROVAL, 90)
    reason = only(asked(*BEGUN, waiting, workflow=workflow))
    assert reason == Reason(
        Cause.APPROVAL, 4, 40, until=90, question="publish?", whom="ann", otherwise=Otherwise.SKIP
    )
    (upstream,) = asked(*BEGUN, waiting, task=B, workflow=workflow).reasons
    assert upstream.because == (reason,)


def test_a_signal_is_named_and_a_sleep_has_its_end():
    signal = waits(kind=WaitKind.SIGNAL, name="go")
    reason = only(asked(*BEGUN, e.TaskWaiting("a", WaitKind.SIGNAL), workflow=signal))
    assert reason == Reason(Cause.SIGNAL, 4, 40, name="go")
    sleep = waits(kind=WaitKind.SLEEP, timeout_s=60)
    reason = only(asked(*BEGUN, e.TaskWaiting("a", WaitKind.SLEEP, 90), workflow=sleep))
    assert reason == Reason(Cause.SLEEP, 4, 40, until=90)


def test_an_escalation_names_the_rule_that_asks():
    escalated = e.TaskEscalated("a", "rerun?", "mine", "because", "3", whom="ops")
    reason = only(asked(*BEGUN, h.begun(), h.broke(), escalated))
    assert reason == Reason(
        Cause.OPERATOR, 6, 60, rule="mine", version="3", text="because", question="rerun?",
        whom="ops",
    )  # fmt: skip


def test_what_ended_without_an_attempt_says_how():
    workflow = waits(kind=WaitKind.SIGNAL, name="go")
    came = (
        e.TaskWaiting("a", WaitKind.SIGNAL), e.SignalReceived("go", "1", "ann"),
        e.TaskCompleted("a", "1", "signal 'go' came", "go"),
    )  # fmt: skip
    reason = only(asked(*BEGUN, *came, workflow=workflow))
    assert (reason.status, reason.attempt, reason.text) == (
        TaskStatus.SUCCEEDED, 0, "signal 'go' came",
    )  # fmt: skip
    imported = only(asked(*BEGUN, e.TaskImported("a", "earlier", "1")))
    assert (imported.status, imported.name) == (TaskStatus.SUCCEEDED, "earlier")


def test_a_breaker_holds_back_a_task_that_could_begin():
    around = Around(alive=True, barred={A: Barred("api", 99, "open")})
    assert only(asked(*BEGUN, around=around)) == Reason(
        Cause.BREAKER, until=99, text="open", name="api"
    )
    assert causes(asked(*BEGUN, h.PAUSED, around=around)) == [Cause.BREAKER, Cause.PAUSED]
    assert causes(asked(*BEGUN, h.begun(), around=around)) == [Cause.BEGUN]
    refused = only(asked(*BEGUN, e.AttemptRefused("a", "api", 99)))
    assert (refused.cause, refused.attempt) == (Cause.FAULTED, 0)
    assert refused.text == "breaker: breaker 'api' is open"


def test_a_compensation_may_start_while_the_run_drains():
    task = strategies.task("a", undo=Undo("jobs:undo"))
    workflow = strategies.workflow(task, strategies.task("b", "a"), name="w")
    draining = attrs.evolve(h.CANCELLING, compensate=True)
    added = e.TasksAdded((("a~undo", "a"),), "compensate")
    events = (*BEGUN, h.begun(), h.done(), draining, h.closed(1), added)
    assert asked(*events, task=2, workflow=workflow).reasons == ()
    assert causes(asked(*events, h.begun("a~undo"), task=2, workflow=workflow)) == [Cause.BEGUN]


@pytest.mark.parametrize(
    ("events", "status", "rule"),
    [
        ((h.done(),), TaskStatus.SUCCEEDED, ""),
        ((h.broke(), h.FELL_BACK), TaskStatus.SUCCEEDED, "rule"),
        ((h.broke(), h.SKIPPED), TaskStatus.SKIPPED, "rule"),
        ((h.broke(), h.GIVEN_UP), TaskStatus.FAILED, "rule"),
    ],
)
def test_what_ended_a_task_is_told_with_the_rule_that_did(events, status, rule):
    reason = only(asked(*BEGUN, h.begun(), *events))
    assert (reason.cause, reason.status, reason.rule) == (Cause.ENDED, status, rule)
    assert (reason.n, reason.attempt) == (4 + len(events), 1)


# --- upstream ---


def test_upstream_is_named_with_its_state_and_why_it_has_not_ended():
    answer = asked(*BEGUN, h.begun(), h.broke(), h.RETRY, task=B)
    reason = only(answer)
    assert (reason.cause, reason.task, reason.status) == (
        Cause.UPSTREAM, "a", TaskStatus.WAITING,
    )  # fmt: skip
    assert [one.cause for one in reason.because] == [Cause.TIMER]
    assert reason.because[0].until == 50
    assert answer.roots == (reason,)


def test_a_breaker_is_named_beside_the_timer_and_for_those_who_wait_for_its_task():
    around = Around(alive=True, barred={A: Barred("api", 99, "open"), B: Barred("api", 99, "open")})
    backing_off = (*BEGUN, h.begun(), h.broke(), h.RETRY)
    assert causes(asked(*backing_off, around=around)) == [Cause.TIMER, Cause.BREAKER]
    behind = only(asked(*backing_off, around=around, task=B))
    assert [one.cause for one in behind.because] == [Cause.TIMER, Cause.BREAKER]
    asks = (*BEGUN, h.begun(), h.broke(), h.ESCALATED)
    assert causes(asked(*asks, around=around)) == [Cause.OPERATOR]


def test_of_many_some_are_told_and_the_rest_is_counted():
    """A screen has no room for a hundred thousand; what it does not show is not made either."""
    wide = strategies.workflow(
        *(strategies.task(f"r{k}") for k in range(4)),
        *(strategies.task(f"t{k}", f"r{k % 4}") for k in range(8)),
        strategies.task("last", "r0", "r1", *(f"t{k}" for k in range(8))),
        name="w",
    )
    created = attrs.evolve(h.CREATED, total=13)
    witness = Witness.of("r", wide, h.recorded(created, h.CLAIMED, h.STARTED))
    answer = why(witness, 12, ALIVE)
    assert [reason.task for reason in answer.reasons][:3] == ["r0", "r1", "t0"]
    assert [root.task for root in answer.roots] == ["r0", "r1", "r2", "r3"]
    assert (len(answer.reasons), answer.more, answer.more_roots) == (10, 0, 0)
    some = why(witness, 12, ALIVE, most=1)
    assert [reason.task for reason in some.reasons] == ["r0"]
    assert [root.task for root in some.roots] == ["r2"], "those that are reasons are not repeated"
    assert (some.more, some.more_roots) == (9, 1)
    assert set(at_bottom(witness, 12)) == {0, 1, 2, 3}


def test_the_root_is_the_task_at_the_bottom_of_it():
    created = attrs.evolve(h.CREATED, total=3)
    answer = asked(created, h.CLAIMED, h.STARTED, h.begun(), task=2, workflow=CHAIN)
    reason = only(answer)
    assert (reason.task, [one.task for one in reason.because]) == ("b", ["a"])
    (root,) = answer.roots
    assert (root.task, [one.cause for one in root.because]) == ("a", [Cause.BEGUN])


def test_a_task_that_was_cut_off_names_the_failure_it_depended_on():
    answer = asked(*BEGUN, h.begun(), h.broke(), h.KEPT_GOING, h.CUT_OFF, task=B)
    reason = only(answer)
    assert (reason.cause, reason.status, reason.task, reason.attempt) == (
        Cause.ENDED, TaskStatus.SKIPPED, "a", 0,
    )  # fmt: skip
    (root,) = answer.roots
    assert (root.task, root.status) == ("a", TaskStatus.FAILED)
    assert root.because[0].rule == "rule"


# --- the run ---


def test_before_its_run_begins_nothing_starts():
    assert causes(asked()) == [Cause.NOT_BEGUN, Cause.NO_ENGINE]
    assert causes(asked(h.CREATED, h.CLAIMED)) == [Cause.NOT_BEGUN]


def test_a_pause_names_who_and_why():
    reason = only(asked(*BEGUN, h.PAUSED))
    assert reason == Reason(Cause.PAUSED, 4, 40, actor="ann", text="lunch")
    assert causes(asked(*BEGUN, h.PAUSED, h.RELEASED)) == [Cause.PAUSED]


def test_a_draining_run_says_what_it_ends_for():
    cancelled = (h.begun(), h.CANCELLING, h.closed(1))
    assert causes(asked(*BEGUN, *cancelled)) == [Cause.BEGUN, Cause.DRAINING]
    reason = asked(*BEGUN, *cancelled).reasons[1]
    assert (reason.actor, reason.text) == ("ann", "cancelled by ann")


def test_a_task_that_its_run_closed_names_the_task_that_failed():
    drained = (h.begun(), h.broke(), h.GIVEN_UP, h.FAILING, h.closed(1, TaskStatus.SKIPPED))
    for end in ((), (h.FAILED,)):
        answer = asked(*BEGUN, *drained, *end, task=B)
        assert causes(answer) == [Cause.ENDED, Cause.DRAINING]
        assert answer.reasons[0].n == 8
        assert answer.reasons[1].task == "a"
        (root,) = answer.roots
        assert (root.task, root.because[0].cause) == ("a", Cause.ENDED)


# --- its engine ---


def test_a_run_that_nobody_holds_says_how_it_was_let_go():
    reason = only(asked(*BEGUN, h.RELEASED))
    assert (reason.cause, reason.n, reason.text) == (Cause.NO_ENGINE, 4, "stopping")


def test_a_dead_engine_is_a_reason_and_an_unknown_one_is_none():
    dead = asked(*BEGUN, around=Around(alive=False))
    assert (only(dead).cause, only(dead).actor) == (Cause.NO_ENGINE, "e-1")
    assert asked(*BEGUN, around=Around()).reasons == ()
    in_doubt = asked(*BEGUN, h.begun(), h.PAUSED, around=Around(alive=False))
    assert causes(in_doubt) == [Cause.IN_DOUBT, Cause.PAUSED, Cause.NO_ENGINE]
    (upstream,) = [
        reason
        for reason in asked(*BEGUN, h.begun(), task=B, around=Around(alive=False)).reasons
        if reason.cause is Cause.UPSTREAM
    ]
    assert [one.cause for one in upstream.because] == [Cause.IN_DOUBT]
    ended = asked(*BEGUN, h.begun(), h.done(), around=Around(alive=False))
    assert causes(ended) == [Cause.ENDED]


# --- resources ---

HUNGRY = strategies.workflow(
    strategies.task("a", resources=Resources(cpu=2)),
    strategies.task("b", resources=Resources(cpu=3, pools=(("db", 1),))),
    name="w",
)


def test_a_task_that_may_start_says_which_resource_is_missing_and_who_has_it():
    stock = Stock("e-1", {"cpu": 4.0, "pool db": 1})
    other = Held("s", "load", "w-2-0", "e-2", Resources(cpu=9, pools=(("db", 1),)))
    answer = asked(
        *BEGUN, h.begun(), task=B, workflow=HUNGRY,
        around=Around(alive=True, stock=stock, others=(other,)),
    )  # fmt: skip
    assert causes(answer) == [Cause.RESOURCE, Cause.RESOURCE]
    assert [reason.lack for reason in answer.reasons] == [
        Lack("cpu", 3, 4, 2, (("r", "a", 2),)),
        Lack("pool db", 1, 1, 1, (("s", "load", 1),)),
    ]


def test_resources_are_not_asked_about_while_something_else_is_missing():
    stock = Stock("e-1", {"cpu": 1.0})
    around = Around(alive=True, stock=stock)
    assert causes(asked(*BEGUN, h.PAUSED, around=around, workflow=HUNGRY)) == [Cause.PAUSED]
    assert causes(asked(*BEGUN, around=around, workflow=HUNGRY)) == [Cause.RESOURCE]


def test_what_even_an_idle_engine_could_not_give_has_no_holders():
    (lack,) = lacks(Resources(cpu=8), Stock("e", {"cpu": 4.0}), ())
    assert lack == Lack("cpu", 8, 4, 0)


def test_tiny_tasks_that_wait_in_one_worker_hold_it_once():
    batch = [Held("r", f"t{k}", "w-0", "e", Resources()) for k in range(5)]
    stock = Stock("e", {"cpu": 2.0})
    assert list(lacks(Resources(), stock, batch)) == []
    (lack,) = lacks(Resources(cpu=2), stock, batch)
    assert (lack.held, lack.holders) == (1, (("r", "t0", 1),))


def test_where_more_is_held_there_is_more_and_what_was_only_assumed_is_marked():
    held = [Held("r", f"t{k}", f"w-{k}", "e", Resources()) for k in range(8)]
    (lack,) = lacks(Resources(), Stock("e", {"cpu": 2.0}, frozenset({"cpu"})), held)
    assert (lack.has, lack.held, lack.assumed) == (8, 8, True)


def test_fractions_of_a_core_add_up_exactly():
    held = [Held("r", f"t{k}", f"w-{k}", "e", Resources(cpu=0.1)) for k in range(7)]
    assert list(lacks(Resources(cpu=0.3), Stock("e", {"cpu": 1.0}), held)) == []
