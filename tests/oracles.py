"""What every history must keep, judged from its raw events alone.

Owns: `Reading`, a reader of events that shares no code with the core's evolve, decide or tables,
and the invariants I1-I9 it checks on the way; also what the read model must show.
Must never: import evolve, decide, state or tables.
Read next: `property/test_core_walk.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from durable_wf.core import events as e
from durable_wf.core.definition import Workflow
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.core.summary import Counts, RunRow

ENDED = {"succeeded", "failed", "skipped", "cancelled"}
OVER = {"succeeded", "failed", "cancelled"}


@attrs.define
class Reading:
    """What somebody notes who reads the events of a run one after the other, with pen and paper."""

    workflow: Workflow
    run: str = ""
    n: int = 0
    latest: int = 0
    tasks: dict[str, str] = attrs.field(factory=dict)
    open: dict[str, int] = attrs.field(factory=dict)
    counted: dict[str, int] = attrs.field(factory=dict)
    until: dict[str, int] = attrs.field(factory=dict)
    in_doubt: dict[str, int] = attrs.field(factory=dict)
    kept_going: set[str] = attrs.field(factory=set)
    cut_off: set[str] = attrs.field(factory=set)
    notes: dict[str, object] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        self.tasks = {task.name: "pending" for task in self.workflow.tasks}
        self.counted = dict.fromkeys(self.tasks, 0)

    def read(self, recorded: e.Recorded) -> None:
        """Note one event, and object to what no history may hold."""
        event = recorded.event
        assert recorded.n == self.n + 1, f"I1: {recorded.n} after {self.n}"
        assert self.run not in OVER, f"I7: {event} after the end"
        self.n = recorded.n
        self.latest = max(self.latest, recorded.at)
        if isinstance(event, e.TaskEvent):
            self._task(event, recorded)
        else:
            self._run(event, recorded)

    # --- tasks ---

    def _task(self, event: e.TaskEvent, recorded: e.Recorded) -> None:
        name = event.task
        match event:
            case e.AttemptStarted():
                self._started(event)
            case e.AttemptReturned():
                self._close(event)
                self.counted[name] -= 1
                self.tasks[name] = "pending"
            case e.AttemptSucceeded():
                self._close(event)
                self.tasks[name] = "succeeded"
            case e.AttemptFailed():
                self._close(event)
                self.tasks[name] = "faulted"
                if event.fault.kind is FaultKind.IN_DOUBT:
                    self.in_doubt[name] = self.in_doubt.get(name, 0) + 1
            case e.TaskRetryScheduled():
                assert self.run != "draining", "a draining run retries nothing"
                self._change(name, "faulted", "waiting")
                self.until[name] = event.until
            case e.TaskWoken():
                assert self.run == "running", f"{name} woken while {self.run}"
                assert self.until.pop(name) <= self.latest, f"{name} woken too early"
                self._change(name, "waiting", "pending")
            case e.TaskFailed():
                self._change(name, "faulted", "failed")
                if event.keep_going:
                    assert self.run != "draining", "a draining run asks no rule"
                    self.kept_going.add(name)
            case e.TaskSkipped():
                self._skipped(event)
            case e.TaskFellBack():
                assert self.run != "draining", "a draining run asks no rule"
                self._change(name, "faulted", "succeeded")
            case e.TaskFallbackScheduled():
                assert self.run != "draining", "a draining run asks no rule"
                self._change(name, "faulted", "pending")
            case e.TaskCancelled():
                assert self.run == "draining", "only a draining run cancels"
                self._change(name, "faulted", "cancelled")

    def _skipped(self, event: e.TaskSkipped) -> None:
        """By a decision about its fault, or because it depends on a task that has failed."""
        assert self.run != "draining", "a draining run closes its tasks together"
        if not event.upstream:
            self._change(event.task, "faulted", "skipped")
            return
        assert event.upstream in self.kept_going, event
        assert event.upstream in self._above(event.task), f"{event} depends on something else"
        self._change(event.task, "pending", "skipped")
        self.cut_off.add(event.task)

    def _above(self, name: str) -> set[str]:
        """All that a task depends on."""
        found: set[str] = set()
        for upstream in self._by_name()[name].upstream:
            found |= {upstream} | self._above(upstream)
        return found

    def _started(self, event: e.AttemptStarted) -> None:
        name = event.task
        assert self.run == "running", f"{name} started while {self.run}"
        assert name not in self.open, f"I3: {name} has an open attempt"
        self._change(name, "pending", "running")
        for upstream in self._by_name()[name].upstream:
            optional = self._by_name()[upstream].optional
            ended = self.tasks[upstream]
            skipped = ended == "skipped" and upstream not in self.cut_off
            assert ended == "succeeded" or skipped or (optional and ended == "failed"), (
                f"{upstream} is {ended}"
            )
        self.counted[name] += 1
        assert event.attempt == self.counted[name], f"{name}: attempt {event.attempt} out of order"
        self.open[name] = event.attempt

    def _close(self, event: e.AttemptReturned | e.AttemptSucceeded | e.AttemptFailed) -> None:
        assert self.run in {"running", "paused", "draining"}, self.run
        assert self.open.pop(event.task, None) == event.attempt, f"I4: {event}"

    def _change(self, name: str, before: str, after: str) -> None:
        assert self.tasks[name] == before, f"{name} is {self.tasks[name]}, not {before}"
        self.tasks[name] = after

    def _by_name(self):
        return {task.name: task for task in self.workflow.tasks}

    # --- the run ---

    def _run(self, event: e.Event, recorded: e.Recorded) -> None:
        notes = self.notes
        match event:
            case e.RunCreated():
                assert self.run == "", "created twice"
                self.run = "pending"
                notes.update(created=event, created_at=recorded.at, code=event.code)
                notes.update(definition=event.definition)
            case e.RunClaimed():
                notes["engine"] = event.engine
            case e.RunReleased():
                notes["engine"] = ""
            case e.RunStarted():
                assert self.run == "pending", "started twice"
                self.run = "running"
                notes["started_at"] = recorded.at
            case e.RunPaused():
                assert self.run == "running", self.run
                self.run = "paused"
                notes["cause"] = event.cause
            case e.RunResumed():
                assert self.run == "paused", self.run
                self.run = "running"
                notes["cause"] = ""
            case e.CodeAccepted():
                notes.update(code=event.code, definition=event.definition)
            case e.RunDraining():
                assert self.run in {"pending", "running", "paused"}, "the first verdict stands"
                self.run = "draining"
                notes.update(verdict=event.verdict.value, cause=event.cause)
            case e.TasksClosed():
                assert self.run == "draining", self.run
                self._tasks_closed(event)
            case e.RunSucceeded() | e.RunFailed() | e.RunCancelled():
                self._ended(event, recorded)

    def _tasks_closed(self, event: e.TasksClosed) -> None:
        closed = [name for name, status in self.tasks.items() if status in {"pending", "waiting"}]
        assert len(closed) == event.count, f"{event.count} closed of {closed}"
        self.tasks.update(dict.fromkeys(closed, event.status.value))
        self.until.clear()

    def _ended(self, event: e.Event, recorded: e.Recorded) -> None:
        assert set(self.tasks.values()) <= ENDED, f"I6: {self.tasks}"
        assert not self.open, f"I6: {self.open}"
        if isinstance(event, e.RunSucceeded):
            assert self.run in {"running", "paused"}, self.run
            for task in self.workflow.tasks:
                good = {"succeeded", "skipped"} | ({"failed"} if task.optional else set())
                assert task.name not in self.cut_off, f"{task.name} was cut off"
                assert self.tasks[task.name] in good, f"{task.name} is {self.tasks[task.name]}"
            self.run = "succeeded"
            self.notes["cause"] = ""
        else:
            self.run = "failed" if isinstance(event, e.RunFailed) else "cancelled"
            assert self.notes["verdict"] == self.run, "the end is the verdict"
        self.notes.update(ended_at=recorded.at, engine="")

    # --- what lists show ---

    def row(self) -> RunRow:
        """The read model, from these notes."""
        shown = ["running" if status == "faulted" else status for status in self.tasks.values()]
        created, notes = self.notes["created"], self.notes
        return RunRow(
            run_id="r",
            workflow=self.workflow.name,
            status=RunStatus(self.run),
            n=self.n,
            total=len(self.tasks),
            counts=Counts(**{key: shown.count(key) for key in attrs.fields_dict(Counts)}),
            created_at=notes["created_at"],
            started_at=notes.get("started_at"),
            ended_at=notes.get("ended_at"),
            wake_at=min(self.until.values(), default=None),
            engine=notes.get("engine", ""),
            cause=notes.get("cause", ""),
            definition=notes["definition"],
            structure=created.structure,
            inputs=created.inputs,
            code=notes["code"],
            tags=created.tags,
        )


def read(workflow: Workflow, events: Iterable[e.Recorded]) -> Reading:
    """Read a whole history."""
    reading = Reading(workflow)
    for recorded in events:
        reading.read(recorded)
    return reading


def check_commits(workflow: Workflow, events: list[e.Recorded], commits: Iterable[int]) -> None:
    """I5: no commit leaves a task FAULTED, nor a run that has nothing left but has not ended."""
    ends = set(commits)
    reading = Reading(workflow)
    for recorded in events:
        reading.read(recorded)
        if recorded.n in ends:
            assert "faulted" not in reading.tasks.values(), f"I5: {reading.tasks}"
            over = set(reading.tasks.values()) <= ENDED
            assert over == (reading.run in OVER), f"{reading.run} with {reading.tasks}"
            if reading.run == "draining":
                assert not {"pending", "waiting"} & set(reading.tasks.values()), reading.tasks


def check_in_doubt(reading: Reading, budget: int) -> None:
    """I8: the attempt after the last one allowed was never made."""
    for name, times in reading.in_doubt.items():
        assert times <= budget + 1, f"{name} was in doubt {times} times"
