"""judge: what becomes of a task whose attempt failed, where no rule has a say.

Owns: what a task itself declares about attempts in doubt, which comes before all rules; and the
answer where no rule has one: what failed has failed, what may not have run at all is run again,
within a budget, and a compensation that failed is a matter for people.
Must never: look at anything but the state.
Read next: `decide_faults.py`, to which the answer is the next input; `recovery/`, for the rules
that are asked in between.
"""

from __future__ import annotations

from typing import assert_never

from durable_wf.core.events import Fault
from durable_wf.core.inputs import Decision, Escalate, Fail, ProbeFirst, Retry
from durable_wf.core.past import MACHINE
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind, InDoubt
from durable_wf.core.wording import count_of, has

IN_DOUBT_BUDGET = 100
"""How often one task may be in doubt (its engine died under it) before it is given up."""

PROBES = 5
"""How often the machine may fail a task and its probe before a person is asked."""

FAIL, ASK, PROBE = "in doubt: fail", "in doubt: ask", "in doubt: probe"
CRASH_LOOP = "crash loop"


DECLARED = frozenset({FAIL, ASK, PROBE, CRASH_LOOP})
"""The names under which what a task declares is recorded, in place of a rule's; and that a
compensation is given to people since engines die over it.
"""


def in_a_row(crashes: int) -> str:
    """How it is told that engines have died over a run."""
    more = " in a row" * (crashes > 1)
    return f"{count_of(crashes, 'engine')}{more} {has(crashes)} died while it ran"


def declared(state: RunState, index: int) -> Decision | None:
    """What the task's own definition says about an attempt whose effect is unknown, be it that its
    engine or its worker died; None: nothing, ask the rules.
    """
    fault = state.faults[index]
    task = state.task(index)
    if fault.kind not in MACHINE or task.in_doubt is InDoubt.RERUN:
        return None
    attempt = state.attempts[index]
    match task.in_doubt:
        case InDoubt.FAIL:
            reason = f"{fault.words}; the task must not run twice"
            return Fail(index, FAIL, reason)
        case InDoubt.ASK:
            question = f"did attempt {attempt} of task {task.name!r} have its effect?"
            return Escalate(index, ASK, fault.words, question)
        case InDoubt.PROBE if state.past[index].losses > PROBES:
            question = f"what became of task {task.name!r}? Its probe was lost {PROBES} times"
            return Escalate(index, ASK, fault.words, question)
        case InDoubt.PROBE:
            return ProbeFirst(index, PROBE, fault.words, task.probe)
        case _:
            assert_never(task.in_doubt)


def judge(state: RunState, index: int, budget: int | None = None) -> Decision:
    """Decide about a FAULTED task without rules. `budget` is for in-doubt attempts, where rules
    name one.
    """
    if (decision := declared(state, index)) is not None:
        return decision
    fault, times = state.faults[index], state.in_doubt.get(index, 0)
    return default(index, fault, times, budget)


def default(index: int, fault: Fault, times: int, budget: int | None = None) -> Decision:
    """The same from the fault alone, and how often the task was in doubt."""
    if fault.kind is not FaultKind.IN_DOUBT:
        return Fail(index, "default", fault.words)
    allowed = IN_DOUBT_BUDGET if budget is None else min(budget, IN_DOUBT_BUDGET)
    if times > allowed:
        reason = f"in doubt {count_of(times, 'time')}, more than the {allowed} allowed"
        return Fail(index, "in-doubt budget", reason)
    return Retry(index, "in doubt: run again", f"{fault.words} (time {times})")
