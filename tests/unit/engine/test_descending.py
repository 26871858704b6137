"""descending: how a retry or a fork reads the old run, what it plans, what speaks against it."""

from __future__ import annotations

import attrs
import pytest
from histories_of import (
    BOTH_DONE,
    CANCELLED,
    CANCELLING,
    CLAIMED,
    CREATED,
    FAILED,
    FAILING,
    GIVEN_UP,
    PAUSED,
    STARTED,
    SUCCEEDED,
    begun,
    broke,
    closed,
    done,
)
from loop_rig import put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, Literal, PayloadRef
from durable_wf.core.descent import Again
from durable_wf.core.status import TaskStatus
from durable_wf.engine.anew import Renewed
from durable_wf.engine.descending import Kind, Wish, plan, read, refuse
from durable_wf.errors import CallerError, CodeChanged, NotFound, RunConflict, WrongState
from durable_wf.store.memory import MemoryLog
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch

FLOW = workflow(task("a"), task("b", "a"))
DEAD = (begun(), broke(), GIVEN_UP, FAILING, closed(1, TaskStatus.SKIPPED), FAILED)
HALF = (begun(), done(), begun("b"), broke("b"), attrs.evolve(GIVEN_UP, task="b"))
HALF_DEAD = (*HALF, attrs.evolve(FAILING, cause_task="b"), FAILED)


def log_of(*events, flow=FLOW, run_id="r", log=None):
    log = log or MemoryLog()
    put(log, CREATED, CLAIMED, STARTED, *events, workflow=flow, run_id=run_id)
    return log


def wish(kind=Kind.RETRY, run_id="r", **more):
    return Wish(kind, run_id, **more)


def carrying(flow):
    """The workflow with a function for each task."""
    return attrs.evolve(flow, functions={one.name: len for one in flow.tasks})


def planned(log, given=None, flow=FLOW, alive=False):
    given = given or wish()
    old = read(log, given, lambda _: alive)
    return plan(log, given, old, Renewed(carrying(flow)))


# --- which run ------------------------------------------------------------------------------------


def test_a_run_that_is_not_there_is_not_found():
    with pytest.raises(NotFound, match="no run 'x'"):
        read(log_of(*DEAD), wish(run_id="x"), lambda _: False)


@pytest.mark.parametrize(
    ("events", "alive", "words", "hint"),
    [
        ((begun(),), True, "r is running", "dwf watch r, or first: dwf cancel r"),
        ((begun(),), False, "r was interrupted", "dwf resume r"),
        ((PAUSED,), True, "r is paused", "dwf resume r, or first: dwf cancel r"),
        ((PAUSED,), False, "r is paused", "dwf resume r, or first: dwf cancel r"),
    ],
)
def test_a_run_that_has_not_ended_is_not_retried_and_the_error_says_what_to_do(
    events, alive, words, hint
):
    with pytest.raises(WrongState, match=words) as told:
        read(log_of(*events), wish(), lambda _: alive)
    assert told.value.hint == hint
    assert read(log_of(*events), wish(Kind.FORK), lambda _: alive).row.run_id == "r"


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Kind.RETRY, "cannot be retried here, only forked"), (Kind.FORK, "is not loaded")],
)
def test_what_the_log_says_was_imported_is_that_whatever_its_row_says(kind, words):
    """No code that it names is loaded."""
    log = MemoryLog()
    put(log, CREATED, CLAIMED, STARTED, *DEAD, workflow=FLOW, said=[e.RunImported("ann", "r", 9)])
    assert not log.row("r").imported
    with pytest.raises(WrongState, match=words):
        read(log, wish(kind), lambda _: False)


@pytest.mark.parametrize("at", [0, -1, 10])
def test_only_events_that_are_there_can_be_forked(at):
    with pytest.raises(CallerError, match=f"no event {at}: it has events 1 to 9"):
        read(log_of(*DEAD), wish(Kind.FORK, at=at), lambda _: False)


def test_the_code_that_was_accepted_later_was_not_that_of_the_time_before():
    log = MemoryLog()
    later = attrs.evolve(FLOW, description="later")
    text = later.to_json().encode()
    log.append(Batch(payloads=[(digest_of(text), text)]))
    accepted = e.CodeAccepted("ann", digest_of(text), "c-2", ("b",))
    log_of(begun(), done(), accepted, begun("b"), log=log)
    assert read(log, wish(Kind.FORK, at=5), lambda _: False).ancestor.workflow == FLOW
    assert read(log, wish(Kind.FORK, at=6), lambda _: False).ancestor.workflow == later


def test_results_that_are_gone_are_lost_and_their_task_runs_again():
    kept, gone = b"[1]", PayloadRef("0" * 32, 9)
    log = MemoryLog()
    log.append(Batch(payloads=[(digest_of(kept), kept)]))
    flow = workflow(task("a"), task("b"), task("c"))
    there = PayloadRef(digest_of(kept), 3)
    events = [
        begun("a"), e.AttemptSucceeded("a", 1, there, 10, 20),
        begun("b"), e.AttemptSucceeded("b", 1, gone, 10, 20),
        begun("c"), done("c"), SUCCEEDED,
    ]  # fmt: skip
    log_of(*events, flow=flow, log=log)
    found = planned(log, flow=flow)
    assert found.old.lost == {"b": f"payload {'0' * 32} is missing"}
    assert found.descent.again == {"b": Again.LOST}
    assert [one.stored for one in found.descent.imports] == [there, "1"]


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_says_what_is_taken_over_and_what_runs_again():
    found = planned(log_of(*HALF_DEAD))
    assert [one.task for one in found.descent.imports] == ["a"]
    assert found.descent.again == {"b": Again.FAILED}
    assert found.new_id == "r.2"
    refuse(found.wish, found, accept_changes=False)


def test_a_fork_is_named_after_the_run_it_is_made_from():
    log = log_of(*HALF_DEAD)
    assert planned(log, wish(Kind.FORK, at=5)).new_id == "r.f1"
    assert planned(log, wish(Kind.FORK, new_id="mine")).new_id == "mine"
    with pytest.raises(CallerError, match="not usable"):
        planned(log, wish(Kind.FORK, new_id="a b"))


def test_unknown_tasks_are_told_with_the_nearest():
    flow = workflow(task("extract"), task("load", "extract"))
    log = MemoryLog()
    put(log, CREATED, CLAIMED, STARTED, CANCELLING, closed(2), CANCELLED, workflow=flow)
    with pytest.raises(NotFound) as told:
        planned(log, wish(asked=("extrat",)), flow=flow)
    assert told.value.hint == "did you mean 'extract'?"


def other_code(flow, *names):
    tasks = tuple(
        attrs.evolve(one, function=FunctionRef("f", "m", fingerprint="new"))
        if one.name in names
        else one
        for one in flow.tasks
    )
    return attrs.evolve(flow, tasks=tasks)


def test_other_code_matters_of_what_runs_again():
    log = log_of(*HALF_DEAD)
    found = planned(log, flow=other_code(FLOW, "a"))
    assert (found.changed.tasks, found.stale) == ((), ("a",))
    refuse(found.wish, found, accept_changes=False)
    found = planned(log, flow=other_code(FLOW, "a", "b"))
    assert (found.changed.tasks, found.stale) == (("b",), ("a",))
    with pytest.raises(CodeChanged) as told:
        refuse(found.wish, found, accept_changes=False)
    assert "dwf retry r --accept-changes" in told.value.hint
    refuse(found.wish, found, accept_changes=True)


def test_another_definition_is_shown_before_it_is_accepted():
    log = log_of(*HALF_DEAD)
    found = planned(log, flow=workflow(task("a"), task("b", "a"), task("c")))
    assert found.differences == ("task 'c' is new",)
    with pytest.raises(RunConflict, match="task 'c' is new"):
        refuse(found.wish, found, accept_changes=False)
    refuse(found.wish, found, accept_changes=True)


def test_a_value_that_was_set_is_no_difference_that_somebody_made_elsewhere():
    flow = workflow(attrs.evolve(task("a"), kwargs=(("obj", Literal("1")),)), task("b", "a"))
    log = log_of(*HALF_DEAD, flow=flow)
    found = planned(log, wish(given={"a.obj": 2}), flow=flow)
    assert found.differences == ()
    assert found.descent.again == {"a": Again.GIVEN, "b": Again.FAILED}
    assert [(str(one.place), one.before, one.after) for one in found.values] == [
        ("a.obj", "1", "2")
    ]  # fmt: skip
    refuse(found.wish, found, accept_changes=False)


def test_a_retry_that_would_do_nothing_is_refused_and_a_fork_is_not():
    log = log_of(*BOTH_DONE, SUCCEEDED)
    found = planned(log)
    with pytest.raises(WrongState, match="nothing of it would run again") as told:
        refuse(found.wish, found, accept_changes=True)
    assert "--from" in told.value.hint
    fork = planned(log, wish(Kind.FORK))
    refuse(fork.wish, fork, accept_changes=False)
