"""Witness: a run read up to some event, with the events that brought about what stands there.

Owns: which event says why the run, its owner and each task are what they are. A state keeps what
decisions need; who paused a run, or which rule gave a task up, is only told by the events.
Must never: decide, or be kept by an engine: it is for those who ask afterwards.
Read next: `why.py`, which answers from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import attrs

from durable_wf.core import events as e
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded
from durable_wf.core.evolve import evolve
from durable_wf.core.state import RunState
from durable_wf.core.status import TASK_FINAL


@attrs.define(eq=False)
class Witness:
    """`status` is the event that brought the run into its state, `owner` that by which its engine
    took it or let go, `tasks` the newest event of each task that has one, `closed` that which
    ended all tasks that never started.
    """

    state: RunState
    status: Recorded | None = None
    owner: Recorded | None = None
    closed: Recorded | None = None
    last: Recorded | None = None
    tasks: dict[str, Recorded] = attrs.field(factory=dict)

    @classmethod
    def of(
        cls, run_id: str, workflow: Workflow, history: Iterable[Recorded], upto: int | None = None
    ) -> Self:
        """Read a history, to its end or up to event number `upto`. Raises HistoryError."""
        witness = cls(RunState.of(run_id, workflow))
        for recorded in history:
            if upto is not None and recorded.n > upto:
                break
            witness.take(recorded)
        return witness

    def take(self, recorded: Recorded) -> None:
        """The next event. Raises HistoryError."""
        state, event = self.state, recorded.event
        before = state.status
        evolve(state, recorded)
        state.ready.clear()  # nobody starts anything here
        self.last = recorded
        if isinstance(event, e.TaskEvent):
            self.tasks[event.task] = recorded
        elif isinstance(event, e.RunClaimed | e.RunReleased):
            self.owner = recorded
        elif isinstance(event, e.TasksClosed):
            self.closed = recorded
        if state.status is not before:
            self.status = recorded

    def of_task(self, index: int) -> Recorded | None:
        """The event that brought a task into its state; None while it has none."""
        found = self.tasks.get(self.state.graph.names[index])
        status = self.state.tasks[index]
        if status in TASK_FINAL and (found is None or not isinstance(found.event, _ENDS)):
            return self.closed
        return found


_ENDS = (
    e.AttemptSucceeded
    | e.TaskFailed
    | e.TaskSkipped
    | e.TaskFellBack
    | e.TaskCompleted
    | e.TaskImported
    | e.TaskCancelled
)
"""What ends a task by itself; the others are closed together, by an event of the run."""
