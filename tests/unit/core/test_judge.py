"""judge: the answer where nobody has given rules."""

from __future__ import annotations

import pytest
from histories_of import CREATED, STARTED, begun, broke, state_after

from durable_wf.core import events as e
from durable_wf.core.inputs import Fail, Retry
from durable_wf.core.judge import IN_DOUBT_BUDGET, judge
from durable_wf.core.status import FaultKind


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
