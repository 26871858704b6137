"""RunRow: the one row that lists show of a run.

Owns: the shape of the read model `runs`, which the store writes in the transaction of the events,
and of the part of it that changes while nothing but tasks moves.
Must never: hold anything that a replay of the run's events could not give back
(but for the store's own number, `run`, and `imported`, which a RunImported in the store's own
stream gives back).
Read next: `state.py`, whose `row_of` makes these.
"""

from __future__ import annotations

from typing import NamedTuple

import attrs

from durable_wf.core.status import RunStatus


@attrs.frozen
class Counts:
    """Number of tasks by state."""

    pending: int = 0
    running: int = 0
    waiting: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: int = 0


@attrs.frozen
class RunRow:
    """One run at a glance. Times are UTC microseconds; `engine` is the owner's lock name or "".

    A run made from another one names it as `origin`, forked off after its event `origin_n` (0: a
    retry). `root` is the first run of its chain of retries, "" for the first one itself.
    `run` is the integer surrogate that stands in `events` (0: not assigned yet), `n` the number of
    the last event, `wake_at` when a timer is due; for a run that nobody owns though tasks of it
    could start, that is the time of its last event. `imported` runs came from elsewhere and are
    never claimed.
    """

    run_id: str
    workflow: str
    status: RunStatus
    n: int
    total: int
    counts: Counts
    created_at: int
    started_at: int | None = None
    ended_at: int | None = None
    wake_at: int | None = None
    engine: str = ""
    cause: str = ""
    definition: str = ""
    structure: str = ""
    inputs: str = ""
    code: str = ""
    tags: tuple[str, ...] = ()
    origin: str = ""
    origin_n: int = 0
    root: str = ""
    run: int = 0
    imported: bool = False

    @property
    def chain(self) -> str:
        """The id of the first run of its chain of retries: its own where it is no retry."""
        return self.root or self.run_id

    def after(self, moved: Moved) -> RunRow:
        """The row when tasks have moved on."""
        n, *counts, wake_at = moved
        return attrs.evolve(self, n=n, counts=Counts(*counts), wake_at=wake_at)


class Moved(NamedTuple):
    """What events of tasks change of their run's row: the number of the last one, the tasks by
    state, when a timer is due. A writer that knows the row has to write no more than this.
    """

    n: int
    pending: int
    running: int
    waiting: int
    succeeded: int
    failed: int
    skipped: int
    cancelled: int
    wake_at: int | None
