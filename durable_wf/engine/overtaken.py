"""Overtaken: somebody else has written to a run that was only being entered.

Owns: the error that says so, and looking again. Who enters a run reads it, decides, and commits;
what others commit in between makes that worthless, and nothing of it was written or done. So it
begins anew with what the log says now, a few times.
Must never: begin anew with a run that was in this engine's hands: it has started attempts there.
Read next: `claiming.py`, `control.py`; `loop.py` (`_drop`), where it is noticed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from durable_wf.engine.result import RunHandle
from durable_wf.errors import DurableWorkflowError, OwnedElsewhere

LOOKS = 5
"""How often who enters a run, or commands one that nobody runs, reads it anew."""

Call = Callable[[Callable[[], RunHandle]], RunHandle]
"""Has something done by the driving thread; returns once what it decided is committed."""

CallAll = Callable[[Callable[[], list[RunHandle]]], list[RunHandle]]

Refused = Callable[[str, DurableWorkflowError], None]


class Overtaken(OwnedElsewhere):
    """The run was written to between the reading and the commit of who was to enter it."""


def overtaken(run_id: str) -> Overtaken:
    """The error for those who were overtaken each time."""
    return Overtaken(
        f"run {run_id}: others have written to it time after time while it was being entered; "
        "nothing was done here",
        hint="try again",
    )


def entered(call: Call, enter: Callable[[], RunHandle]) -> RunHandle:
    """What `enter` gives, called anew while it is overtaken, `LOOKS` times at most. Raises what it
    raises, and Overtaken in the end.
    """
    lost: Overtaken | None = None
    for _ in range(LOOKS):
        try:
            handle = call(enter)
        except Overtaken as error:
            lost = error
            continue
        lost = _lost(handle)
        if lost is None:
            return handle
    assert lost is not None
    raise lost


def all_entered(
    call: CallAll,
    enter: Callable[[Sequence[str]], list[RunHandle]],
    run_ids: Sequence[str],
    refused: Refused,
) -> list[RunHandle]:
    """The same for many runs: of these only those that were overtaken are entered anew. Who is
    overtaken each time is `refused`.
    """
    found: list[RunHandle] = []
    lost: dict[str, Overtaken] = {}
    left = run_ids
    for _ in range(LOOKS):
        handles = call(partial(enter, left))
        lost = {handle.run_id: error for handle in handles if (error := _lost(handle))}
        found += [handle for handle in handles if handle.run_id not in lost]
        if not lost:
            break
        left = [*lost]
    for run_id, error in lost.items():
        refused(run_id, error)
    return found


def _lost(handle: RunHandle) -> Overtaken | None:
    """How a handle says that the run was not entered."""
    error = handle.future.exception(0) if handle.done() else None
    return error if isinstance(error, Overtaken) else None
