"""taken_back: effects that other runs have undone are no ground to go on from."""

from __future__ import annotations

import attrs
import pytest
from histories_of import (
    CANCELLED,
    CANCELLING,
    CLAIMED,
    CREATED,
    FAILED,
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
from durable_wf.core.definition import Undo, Upstream
from durable_wf.core.descent import Again, descend
from durable_wf.core.status import RunStatus
from durable_wf.engine.descending import Kind, Wish, read
from durable_wf.store.memory import MemoryLog

SAGA = workflow(task("a", undo=Undo("jobs:undo", (Upstream("a"),))), task("b", "a"))
LEFT_AS_IT_IS = (begun(), done(), CANCELLING, closed(1), CANCELLED)
B_FAILS = (
    begun("b"), broke("b"), e.TaskFailed("b", "rule", "because"),
    e.RunDraining(RunStatus.FAILED, "b", cause_task="b", compensate=True),
    e.TasksAdded((("a~undo", "a"),), "compensate"),
)  # fmt: skip
TAKEN_BACK = (*B_FAILS, begun("a~undo"), done("a~undo"), FAILED)
A_IS_TAKEN_OVER = e.TaskImported("a", "r", "1")


def log_of(*events, flow=SAGA):
    log = MemoryLog()
    put(log, CREATED, CLAIMED, STARTED, *events, workflow=flow, run_id="r")
    return log


def made_from(log, origin, run_id, *events, retry=False, flow=SAGA):
    created = attrs.evolve(
        CREATED, origin=origin, origin_n=0 if retry else 5, root="r" if retry else ""
    )
    put(log, created, CLAIMED, STARTED, *events, workflow=flow, run_id=run_id)


def again(log, run_id="r", kind=Kind.FORK):
    old = read(log, Wish(kind, run_id), lambda _: False)
    return descend(old.ancestor, old.ancestor.workflow).again


def test_what_no_run_has_taken_back_stands():
    log = log_of(*LEFT_AS_IT_IS)
    assert again(log) == {"b": Again.CANCELLED}
    made_from(log, "r", "r.f1", A_IS_TAKEN_OVER, begun("b"), done("b"), SUCCEEDED)
    assert again(log) == {"b": Again.CANCELLED}


@pytest.mark.parametrize("retry", [True, False])
def test_what_a_run_made_from_it_has_taken_back_runs_again(retry):
    log = log_of(*LEFT_AS_IT_IS)
    made_from(log, "r", "other", A_IS_TAKEN_OVER, *TAKEN_BACK, retry=retry)
    assert again(log)["a"] is Again.UNDONE


def test_what_a_run_made_from_one_made_from_it_has_taken_back_runs_again():
    log = log_of(*LEFT_AS_IT_IS)
    made_from(log, "r", "r.f1", A_IS_TAKEN_OVER, CANCELLING, closed(1), CANCELLED)
    made_from(log, "r.f1", "r.f1.f1", A_IS_TAKEN_OVER, *TAKEN_BACK)
    assert again(log)["a"] is Again.UNDONE
    assert again(log, "r.f1")["a"] is Again.UNDONE


def test_what_the_run_that_did_it_has_taken_back_since_runs_again():
    """The fork was made while its origin was still at work."""
    log = log_of(begun(), done(), *TAKEN_BACK)
    made_from(log, "r", "r.f1", A_IS_TAKEN_OVER, CANCELLING, closed(1), CANCELLED)
    assert again(log, "r.f1")["a"] is Again.UNDONE


def test_what_another_run_did_anew_and_took_back_is_another_effect():
    log = log_of(*LEFT_AS_IT_IS)
    made_from(log, "r", "r.f1", begun(), done(), *TAKEN_BACK)
    assert again(log) == {"b": Again.CANCELLED}
    made_from(log, "r", "r.f2", A_IS_TAKEN_OVER, *B_FAILS)  # it is about to
    assert again(log) == {"b": Again.CANCELLED}
