"""decide: what follows from an input. The functional core's one door.

Owns: which handler answers which input. An answer is the events that the input causes, with all
their consequences, and what the engine must do about them: a replay never decides again.
Must never: call a rule. It stops at FAULTED and hands out the obligation to judge; the answer
(`Retry`, `Fail`, ...) is the next input, and fault and conclusion go into one commit.
Read next: `steps.py`, what the handlers are made of; `decide_attempts.py`, `decide_faults.py`,
`decide_waits.py`, `decide_runs.py`, the handlers; `judge.py`; `engine/loop.py`, which carries the
obligations out.

The state is changed while deciding (each event passes through `evolve` at once), so it runs ahead
of the log until the events are committed; after a conflict it must be dropped and replayed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from durable_wf.core import decide_attempts, decide_faults, decide_runs, decide_waits
from durable_wf.core import inputs as i
from durable_wf.core.state import RunState
from durable_wf.core.steps import Decided as Decided


def decide(state: RunState, given: i.Input, at: int) -> Decided:
    """Decide one input that came at `at` (UTC microseconds)."""
    if not state.waiters:
        return _HANDLERS[type(given)](state, given, at)
    known, told = state.ready, len(state.ready)
    decided = _HANDLERS[type(given)](state, given, at)
    # What became ready and waits in place of calling a function begins to wait in the same commit.
    while state.ready is not known or len(known) > told:
        fresh = state.ready[told:] if state.ready is known else state.ready
        known, told = state.ready, len(state.ready)
        decide_waits.reach(state, decided.events, at, list(fresh))
    return decided


_HANDLERS: dict[type, Callable[[RunState, Any, int], Decided]] = {
    i.Create: decide_runs.create,
    i.Claim: decide_runs.claim,
    i.Release: decide_runs.release,
    i.AttemptBegins: decide_attempts.begin,
    i.Refuse: decide_attempts.refuse,
    i.Succeeded: decide_attempts.succeeded,
    i.Failed: decide_attempts.failed,
    i.Returned: decide_attempts.returned,
    i.Retry: decide_faults.retry,
    i.Fail: decide_faults.fail,
    i.Skip: decide_faults.instead,
    i.FallBack: decide_faults.instead,
    i.FallBackTo: decide_faults.instead,
    i.ProbeFirst: decide_faults.instead,
    i.Escalate: decide_faults.escalate,
    i.Due: decide_waits.due,
    i.Signal: decide_waits.signal,
    i.Answer: decide_waits.answer,
    i.Pause: decide_runs.pause,
    i.Resume: decide_runs.resume,
    i.Cancel: decide_runs.cancel,
    i.AcceptCode: decide_runs.accept_code,
}
