"""judge: the answer where nobody has given rules."""

from __future__ import annotations

import pytest
import strategies
from histories_of import CREATED, STARTED, begun, broke, state_after

from durable_wf.core import events as e
from durable_wf.core.fault import Fault
from durable_wf.core.inputs import Escalate, Fail, ProbeFirst, Retry
from durable_wf.core.judge import FAIL, IN_DOUBT_BUDGET, PROBE, PROBES, declared, default, judge
from durable_wf.core.status import FaultKind, InDoubt


@pytest.mark.parametrize("kind", [kind for kind in FaultKind if kind is not FaultKind.IN_DOUBT])
def test_what_failed_has_failed(kind):
    """Without rules nothing is tried again."""
    state = state_after(CREATED, STARTED, begun(), broke("a", 1, kind))
    assert judge(state, 0) == Fail(0, "default", "boom")


def _doubted(times):
    history = [CREATED, STARTED]
    for attempt in range(1, times + 1):
        history += [begun("a", attempt), broke("a", attempt, FaultKind.IN_DOUBT)]
        history += [e.TaskRetryScheduled("a", 0, "r", ""), e.TaskWoken("a")]
    return state_after(*history[:-2])


def test_what_may_not_have_run_is_run_again_within_its_budget():
    """The budget is spent by doubts alone; the answer counts them."""
    last = _doubted(IN_DOUBT_BUDGET)
    assert judge(_doubted(1), 0) == Retry(0, "in doubt: run again", "boom (time 1)")
    assert judge(last, 0) == Retry(0, "in doubt: run again", f"boom (time {IN_DOUBT_BUDGET})")

    beyond = judge(_doubted(IN_DOUBT_BUDGET + 1), 0)
    assert isinstance(beyond, Fail)
    assert beyond.rule == "in-doubt budget"


# --- what a task declares about doubt comes first -----------------------------------------------


def _in_doubt(policy, kind, times=1):
    workflow = strategies.workflow(
        strategies.task("a", in_doubt=policy, probe="jobs:probe"), strategies.task("b", "a")
    )
    history = [CREATED, STARTED]
    for attempt in range(1, times + 1):
        history += [begun("a", attempt), broke("a", attempt, kind)]
        history += [e.TaskProbeScheduled("a", "jobs:probe", PROBE, "")]
    return state_after(*history[:-1], workflow=workflow)


@pytest.mark.parametrize("kind", [FaultKind.IN_DOUBT, FaultKind.LOST])
def test_a_task_says_itself_what_becomes_of_doubt(kind):
    """Be it that its engine died, or its worker: nobody knows how far it came."""
    failed = declared(_in_doubt(InDoubt.FAIL, kind), 0)
    assert failed == Fail(0, FAIL, "boom; the task must not run twice")

    asked = declared(_in_doubt(InDoubt.ASK, kind), 0)
    assert isinstance(asked, Escalate)
    assert asked.question == "did attempt 1 of task 'a' have its effect?"

    probed = declared(_in_doubt(InDoubt.PROBE, kind), 0)
    assert probed == ProbeFirst(0, PROBE, "boom", "jobs:probe")
    assert declared(_in_doubt(InDoubt.RERUN, kind), 0) is None


@pytest.mark.parametrize("policy", InDoubt)
@pytest.mark.parametrize("kind", [FaultKind.ERROR, FaultKind.TIMEOUT, FaultKind.EXIT])
def test_a_failure_that_is_known_is_no_doubt(policy, kind):
    """Rules are asked about it."""
    assert declared(_in_doubt(policy, kind), 0) is None


def test_a_probe_that_is_lost_again_and_again_is_a_matter_for_people():
    """Else it would be sent for ever."""
    assert isinstance(declared(_in_doubt(InDoubt.PROBE, FaultKind.LOST, PROBES), 0), ProbeFirst)
    asked = declared(_in_doubt(InDoubt.PROBE, FaultKind.LOST, PROBES + 1), 0)
    assert isinstance(asked, Escalate)
    assert f"lost {PROBES} times" in asked.question


def test_a_fault_without_a_message_is_a_reason_too():
    assert default(0, Fault(FaultKind.ERROR, exception="ValueError"), 0).reason == "ValueError"
    assert default(0, Fault(FaultKind.TIMEOUT), 0).reason == "timeout"
    assert default(0, Fault(FaultKind.ERROR, "boom", "ValueError"), 0).reason == "ValueError: boom"
