"""judge: what becomes of a task whose attempt failed.

Owns: the answer that holds where nobody has given rules: what failed has failed, and what may not
have run at all is run again, within a budget.
Must never: look at anything but the state.
Read next: `decide.py`, to which the answer is the next input.
"""

from __future__ import annotations

from durable_wf.core.inputs import Decision, Fail, Retry
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind

IN_DOUBT_BUDGET = 100
"""How often one task may be in doubt (its engine died under it) before it is given up."""


def judge(state: RunState, index: int) -> Decision:
    """Decide about a FAULTED task."""
    fault = state.faults[index]
    if fault.kind is not FaultKind.IN_DOUBT:
        return Fail(index, "default", fault.message)
    times = state.in_doubt[index]
    if times > IN_DOUBT_BUDGET:
        reason = f"in doubt {times} times, more than the {IN_DOUBT_BUDGET} allowed"
        return Fail(index, "in-doubt budget", reason)
    return Retry(index, "in doubt: run again", f"{fault.message} (time {times})")
