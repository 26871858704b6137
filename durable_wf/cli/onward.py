"""Onward: what to type next about a run, and why it has to be typed.

Owns: the one line `next:` of `show`, `watch`, `run` and whatever else ends with it.
Must never: read a store; `now` is an argument.
Read next: `asked.py`, for the lines that answer a question.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_wf.cli.context import typed
from durable_wf.cli.states import INTERRUPTED, WAITING, RunShown
from durable_wf.cli.terminal import one_line
from durable_wf.cli.times import local, span
from durable_wf.core.awaited import FOR_PEOPLE, RETRY, Awaited
from durable_wf.core.status import RunStatus, WaitKind
from durable_wf.core.summary import RunRow


def next_step(
    row: RunRow, shown: RunShown, waiting: Sequence[Awaited], now: int, *, alive: bool
) -> str:
    """What to type next, or "" when there is nothing to do. `waiting` is what its tasks wait for,
    `alive` whether an engine runs it.
    """
    run_id = row.run_id
    match shown:
        case RunStatus.FAILED if not row.imported:
            return typed("retry", run_id) + "   (what has succeeded is taken over)"
        case RunStatus.PAUSED:
            return typed("resume", run_id)
        case RunStatus.RUNNING | RunStatus.PENDING | RunStatus.DRAINING:
            return typed("watch", run_id)
        case x if x is WAITING and alive:
            return typed("watch", run_id)
        case x if x is WAITING and not row.imported:
            return f"{typed('resume', run_id)}   (once {_asked_for(waiting)})"
        case x if x is INTERRUPTED and not row.imported:
            due = _due(row, waiting, now)
            return typed("resume", run_id) + (f"   ({due}; that needs an engine)" if due else "")
        case _:
            return ""


def _asked_for(waiting: Sequence[Awaited]) -> str:
    """What somebody has to do before the run can go on."""
    signals = [one.signal for one in waiting if one.what == WaitKind.SIGNAL.value]
    parts = ["somebody has answered"] if any(one.what in FOR_PEOPLE for one in waiting) else []
    if signals:
        parts.append(f"signal {signals[0]} has come")
    return one_line(", or ".join(parts))


def _due(row: RunRow, waiting: Sequence[Awaited], now: int) -> str:
    """Which timer brings it on, and when; "" where something of it could go on already."""
    at = row.wake_at
    if at is None or at <= now:
        return ""
    one = next((one for one in waiting if one.until == at), None)
    when = f"at {local(at)}, in {span(at - now)}"
    if one is None:
        return f"its deadline is {when}"
    match one.what:
        case x if x == RETRY:
            return one_line(f"{one.task} is tried again {when}")
        case WaitKind.SLEEP.value:
            return one_line(f"{one.task} has slept {when}")
        case _:
            return one_line(f"the time limit of {one.task} is {when}")
