"""Onward: what to type next about a run, and why it has to be typed.

Owns: the one line `next:` of `show`, `watch`, `run` and whatever else ends with it, and the caution
that stands before it where a task may have had its effect.
Must never: read a store; `now` is an argument.
Read next: `asked.py`, for the lines that answer a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from durable_wf.cli.context import typed
from durable_wf.cli.states import INTERRUPTED, WAITING, RunShown
from durable_wf.cli.terminal import one_line
from durable_wf.cli.times import local, span
from durable_wf.core.awaited import FOR_PEOPLE, RETRY, Awaited
from durable_wf.core.definition import Task
from durable_wf.core.fault import Fault
from durable_wf.core.past import MACHINE
from durable_wf.core.status import InDoubt, RunStatus, WaitKind
from durable_wf.core.summary import RunRow

_NAMED = 3


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


def in_doubt(tasks: Iterable[Task], faults: Mapping[str, Fault]) -> list[str]:
    """Those that failed and must not run twice, and of which nobody knows whether they had their
    effect: their worker or engine died. `faults` are by the name of the task.
    """
    return [
        task.name
        for task in tasks
        if task.in_doubt is not InDoubt.RERUN
        and (fault := faults.get(task.name)) is not None
        and fault.kind in MACHINE
    ]


def caution(doubtful: Sequence[str]) -> str:
    """What to think of before a retry; "" where no task is in doubt."""
    if not doubtful:
        return ""
    more = f" and {len(doubtful) - _NAMED} more" if len(doubtful) > _NAMED else ""
    names = ", ".join(doubtful[:_NAMED]) + more
    its, it = ("its", "it") if len(doubtful) == 1 else ("their", "them")
    return one_line(
        f"caution: {names} may have had {its} effect already; find out first, "
        f"a retry runs {it} again"
    )


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
    left = span(at - now)
    when = f"at {local(at)}, in {left}"
    if one is None:
        return f"its deadline is {when}"
    match one.what:
        case x if x == RETRY:
            return one_line(f"{one.task} is tried again {when}")
        case WaitKind.SLEEP.value:
            return one_line(f"{one.task} sleeps until {local(at)}, for {left} more")
        case _:
            return one_line(f"the time limit of {one.task} is {when}")
