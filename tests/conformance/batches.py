"""Short words for the batches that the conformance suite appends."""

from __future__ import annotations

from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts, RunRow
from durable_wf.store.port import Batch, RunAppend


def row(run_id, n, run=0, **fields):
    fields = {"workflow": "w", "status": RunStatus.RUNNING, "total": 3, "created_at": 7} | fields
    return RunRow(run_id=run_id, n=n, run=run, counts=Counts(pending=3), **fields)


def create(run_id, *, count=2, **fields):
    """A new run with `count` events."""
    events = [e.Recorded(1, 10, e.RunCreated("w", "digest", 3))]
    events += [e.Recorded(n, 10 + n, e.RunPaused("me", f"{n}")) for n in range(2, count + 1)]
    return RunAppend(0, run_id, 0, events, row(run_id, count, **fields))


def extend(run, run_id, expected_n, *, count=1, text="x", **fields):
    """`count` more events of a run, as one who has seen `expected_n` of them."""
    numbers = range(expected_n + 1, expected_n + count + 1)
    events = [e.Recorded(n, 20 + n, e.RunPaused("me", f"{text}{n}")) for n in numbers]
    return RunAppend(
        run, run_id, expected_n, events, row(run_id, expected_n + count, run, **fields)
    )


def batch(*appends, **rest):
    return Batch(appends=appends, **rest)
