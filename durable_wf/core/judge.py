"""judge: what becomes of a task whose attempt failed, where no rule has an answer.

Owns: that answer: what failed has failed, and what may not have run at all is run again, within a
budget.
Must never: look at anything but the state.
Read next: `decide.py`, to which the answer is the next input; `recovery/`, for the rules that are
asked first.
"""

from __future__ import annotations

from durable_wf.core.fault import Fault
from durable_wf.core.inputs import Decision, Fail, Retry
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind

IN_DOUBT_BUDGET = 100
"""How often one task may be in doubt (its engine died under it) before it is given up."""


def judge(state: RunState, index: int, budget: int | None = None) -> Decision:
    """Decide about a FAULTED task. `budget` is for in-doubt attempts, where rules name one."""
    return default(index, state.faults[index], state.in_doubt.get(index, 0), budget)


def default(index: int, fault: Fault, times: int, budget: int | None = None) -> Decision:
    """The same from the fault alone, and how often the task was in doubt."""
    if fault.kind is not FaultKind.IN_DOUBT:
        return Fail(index, "default", fault.message)
    allowed = IN_DOUBT_BUDGET if budget is None else min(budget, IN_DOUBT_BUDGET)
    if times > allowed:
        reason = f"in doubt {times} times, more than the {allowed} allowed"
        return Fail(index, "in-doubt budget", reason)
    return Retry(index, "in doubt: run again", f"{fault.message} (time {times})")
