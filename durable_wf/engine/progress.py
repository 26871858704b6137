"""Progress: what a run's onlookers are told while it runs.

Owns: the value, and how it is made of a state.
Must never: cost more than some names of the run; it is made while the run runs.
Read next: `onlookers.py`, which says when.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import attrs

from durable_wf.core.awaited import Awaited, asked
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts

INTERVAL_S = 0.1
"""A run's onlooker hears at most this often, and always at the end."""

_NAMES = 8


@attrs.frozen
class Progress:
    """A run at one moment. `running` names up to eight running tasks, longest first; `eta_s` is
    what is left by the durations of an earlier run, None where there was none. `waiting` has up to
    eight tasks that wait for an answer or a signal, `wake_at` is when the next timer is due (UTC
    microseconds), a deadline of the run among them. `at_rest`: nothing happens to it for longer
    than its caller waits, who is told its outcome next.
    """

    run_id: str
    workflow: str
    status: RunStatus
    counts: Counts
    total: int
    running: tuple[str, ...]
    eta_s: float | None = None
    waiting: tuple[Awaited, ...] = ()
    wake_at: int | None = None
    at_rest: bool = False


OnProgress = Callable[[Progress], None]


def progress_of(state: RunState, eta_s: float | None, *, at_rest: bool = False) -> Progress:
    """The progress of a run, from its state."""
    row = row_of(state)
    oldest = sorted(state.running.values(), key=lambda attempt: attempt.at)[:_NAMES]
    return Progress(
        run_id=row.run_id,
        workflow=row.workflow,
        status=row.status,
        counts=row.counts,
        total=row.total,
        running=tuple(attempt.started.task for attempt in oldest),
        eta_s=eta_s,
        waiting=tuple(islice(asked(state), _NAMES)),
        wake_at=row.wake_at,
        at_rest=at_rest,
    )
