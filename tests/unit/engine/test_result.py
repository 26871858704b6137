"""result: what callers hold of a run: its outcome, and the promise of one."""

from __future__ import annotations

import asyncio

import pytest
from histories_of import (
    ANSWERED,
    CLAIMED,
    COMPLETED,
    CREATED,
    ESCALATED,
    GIVEN_UP,
    IMPORTED,
    REFUSED,
    RETRY,
    STARTED,
    SUCCEEDED,
    begun,
    broke,
    done,
)
from loop_rig import put
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import PayloadRef, WaitFor
from durable_wf.core.status import FaultKind, RunStatus, Verdict, WaitKind
from durable_wf.core.values import Missing
from durable_wf.engine.result import RunHandle, RunResult, outcomes
from durable_wf.errors import NotFound, OwnedElsewhere, WrongState
from durable_wf.store.memory import MemoryLog
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch

BEGUN = (CREATED, CLAIMED, STARTED)
A_THEN_B = workflow(task("a"), task("b", "a"))
A_MAY_FAIL = workflow(task("a", optional=True), task("b", "a"))
FAULT = e.Fault(FaultKind.ERROR, "boom")


def gave(name, value):
    return e.AttemptSucceeded(name, 1, value, 10, 20)


class Shop:
    """A log, and how often it was opened for reading and closed again."""

    def __init__(self):
        self.log = MemoryLog()
        self.opened = self.closed = 0

    def reader(self):
        shop = self
        shop.opened += 1

        class Reading(MemoryLog):
            def close(self):
                shop.closed += 1
                super().close()

        return Reading(self.log.shelf)

    def result(self, *events, workflow=A_THEN_B):
        row, _ = put(self.log, *events, workflow=workflow)
        return RunResult(row, workflow, self.reader)


@pytest.fixture
def shop():
    shop = Shop()
    yield shop
    assert shop.opened == shop.closed


# --- outcomes -----------------------------------------------------------------------------------


def test_the_outcomes_are_those_by_event_n(shop):
    """A run may have gone on since the result was made."""
    put(shop.log, *BEGUN, begun(), gave("a", "1"), begun("b"), gave("b", "2"), SUCCEEDED)
    assert outcomes(shop.log, 1, 4) == {}
    assert outcomes(shop.log, 1, 5) == {"a": "1"}
    assert outcomes(shop.log, 1, 6) == {"a": "1"}
    assert outcomes(shop.log, 1, 7) == {"a": "1", "b": "2"}


def test_results_that_were_taken_over_are_outcomes(shop):
    data = b"[1,2,3]"
    shop.log.append(Batch(payloads=[(digest_of(data), data)]))
    ref = PayloadRef(digest_of(data), len(data))
    taken = (e.TaskImported("a", "r-0", "7"), e.TaskImported("b", "r-0", ref=ref))
    result = shop.result(*BEGUN, *taken, SUCCEEDED)
    assert outcomes(shop.log, 1, 9) == {"a": "7", "b": ref}
    assert result.values() == {"a": 7, "b": [1, 2, 3]}
    assert result.origin == ""


def test_an_attempt_that_is_tried_again_is_no_outcome(shop):
    put(shop.log, *BEGUN, begun(), broke(), RETRY)
    assert outcomes(shop.log, 1, 5) == {"a": FAULT}
    assert outcomes(shop.log, 1, 6) == {}


# --- RunResult ----------------------------------------------------------------------------------


def test_what_people_and_signals_conclude_is_an_outcome(shop):
    """A task that waits again is none; what a person gives up keeps the fault that was its last."""
    row, _ = put(
        shop.log, *BEGUN, begun(), broke(), ESCALATED, ANSWERED, COMPLETED,
        begun("b"), broke("b"), e.TaskEscalated("b", "what now?", "rule", "because"),
        e.OperatorDecided("b", Verdict.FAIL, "ann"), e.TaskFailed("b", "answer", "given up"),
        workflow=A_THEN_B,
    )  # fmt: skip
    assert outcomes(shop.log, row.run, 5) == {"a": FAULT}
    assert outcomes(shop.log, row.run, 7) == {}
    assert outcomes(shop.log, row.run, 8) == {"a": "7"}
    assert outcomes(shop.log, row.run, 11) == {"a": "7"}
    assert outcomes(shop.log, row.run, 13) == {"a": "7", "b": FAULT}


def test_a_task_that_never_ran_fails_with_the_reason(shop):
    waits = workflow(task("a", wait=WaitFor(WaitKind.APPROVAL, question="now?")), task("b"))
    waiting = e.TaskWaiting("a", WaitKind.APPROVAL)
    said = e.OperatorDecided("a", Verdict.REJECT, "ann")
    no = e.TaskFailed("a", "answer", "rejected by ann", kind=FaultKind.REJECTED)
    row, _ = put(shop.log, *BEGUN, waiting, said, no, workflow=waits)
    assert outcomes(shop.log, row.run, 6) == {"a": e.Fault(FaultKind.REJECTED, "rejected by ann")}


def test_a_refused_and_an_imported_task_have_outcomes_too(shop):
    row, _ = put(shop.log, *BEGUN, REFUSED)
    fault = e.Fault(FaultKind.BREAKER, "breaker 'service' is open")
    assert outcomes(shop.log, row.run, 4) == {"a": fault}
    row, _ = put(shop.log, *BEGUN, IMPORTED, run_id="s")
    assert outcomes(shop.log, row.run, 4) == {"a": "7"}


def test_values_come_back_as_they_were_returned(shop):
    result = shop.result(*BEGUN, begun(), gave("a", "[1,2]"), begun("b"), gave("b", '"x"'))
    assert result["a"] == [1, 2]
    assert result.values() == {"a": [1, 2], "b": "x"}
    assert result.failures() == {}
    assert "a" in result
    assert "c" not in result
    assert result.status is RunStatus.RUNNING


def test_a_payload_is_read_when_asked_for(shop):
    data = b"[1,2,3]"
    shop.log.append(Batch(payloads=[(digest_of(data), data)]))
    ref = PayloadRef(digest_of(data), len(data))
    result = shop.result(*BEGUN, begun(), gave("a", ref))
    assert shop.opened == 0
    assert result["a"] == [1, 2, 3]


def test_outcomes_are_read_once(shop):
    result = shop.result(*BEGUN, begun(), gave("a", "1"))
    assert [result["a"], result["a"], result.values()["a"]] == [1, 1, 1]
    assert shop.opened == 1


def test_a_task_that_does_not_exist_is_not_found(shop):
    result = shop.result(*BEGUN)
    with pytest.raises(NotFound) as caught:
        result["bb"]
    assert "no task 'bb'" in str(caught.value)
    assert "did you mean 'b'?" in str(caught.value)


def test_a_task_that_has_not_ended_has_no_result(shop):
    with pytest.raises(WrongState, match="task 'a' has no result; the run is running"):
        shop.result(*BEGUN, begun())["a"]


def test_a_failed_task_raises_and_a_failed_optional_one_is_missing(shop):
    history = (*BEGUN, begun(), broke(), GIVEN_UP)
    optional = shop.result(*history, workflow=A_MAY_FAIL)
    assert optional["a"] == Missing(task="a", kind="error", message="boom")
    assert optional.failures() == {"a": FAULT}
    assert optional.values() == {}
    required = RunResult(optional.row, A_THEN_B, shop.reader)
    with pytest.raises(WrongState, match="task 'a' failed: boom"):
        required["a"]


def test_the_history_is_all_of_it(shop):
    result = shop.result(*BEGUN, begun(), done())
    assert [recorded.n for recorded in result.history()] == [1, 2, 3, 4, 5]


def test_the_times_are_those_of_the_row(shop):
    result = shop.result(*BEGUN, begun(), done(), begun("b"), done("b"), SUCCEEDED)
    assert (result.run_id, result.created_at, result.ended_at) == ("r", 10, 80)
    assert result.started_at == 30


# --- RunHandle ----------------------------------------------------------------------------------


@pytest.fixture
def handle():
    return RunHandle("r", lambda *given: None)


def test_the_first_outcome_stands(handle):
    handle.settle("first")
    handle.settle("second")
    handle.settle(OwnedElsewhere("third"))
    assert handle.done()
    assert handle.result(0) == "first"


def test_what_stopped_the_run_is_raised_each_time_it_is_asked(handle):
    handle.settle(OwnedElsewhere("taken"))
    handle.settle("too late")
    for _ in range(2):
        with pytest.raises(OwnedElsewhere, match="taken"):
            handle.result(0)


def test_who_gives_up_waiting_may_wait_again(handle):
    with pytest.raises(TimeoutError):
        handle.result(0.001)
    assert not handle.done()
    handle.settle("done")
    assert handle.result(0) == "done"


def test_an_awaiting_task_that_is_cancelled_does_not_end_the_run(handle):
    """Others go on waiting, and it may be awaited again."""

    async def scene():
        waiting = asyncio.ensure_future(_outcome(handle))
        other = asyncio.ensure_future(_outcome(handle))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_outcome(handle), 0.001)
        assert not handle.done()
        handle.settle("done")
        return await asyncio.wait_for(other, 30), await handle

    assert asyncio.run(scene()) == ("done", "done")


async def _outcome(handle):
    return await handle


def test_awaiting_raises_what_stopped_the_run(handle):
    handle.settle(OwnedElsewhere("taken"))
    with pytest.raises(OwnedElsewhere, match="taken"):
        asyncio.run(_outcome(handle))


def test_a_cancellation_is_asked_for_not_assumed():
    asked = []
    handle = RunHandle("r", lambda *given: asked.append(given))
    handle.cancel("enough")
    handle.cancel(compensate=False)
    assert asked == [("r", "enough", True), ("r", "", False)]
    assert not handle.done()
