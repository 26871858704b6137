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
from durable_wf.core.status import FaultKind, InDoubt, RunStatus, Verdict
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
    asked: dict[str, str] = attrs.field(factory=dict)
    answered: set[str] = attrs.field(factory=set)
    probing: set[str] = attrs.field(factory=set)
    signals: list[str] = attrs.field(factory=list)
    undone: dict[str, str] = attrs.field(factory=dict)
    completed: list[str] = attrs.field(factory=list)
    sent_back: set[str] = attrs.field(factory=set)
    started_at: dict[str, int] = attrs.field(factory=dict)
    first_at: dict[str, int] = attrs.field(factory=dict)
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
                self.started_at[name] = recorded.at
            case e.AttemptReturned():
                self._close(event)
                self.counted[name] -= 1
                self.tasks[name] = "pending"
            case e.AttemptSucceeded():
                self._close(event)
                self.tasks[name] = "succeeded"
                self._completed(name)
            case e.AttemptDisproved():
                assert name in self.probing, f"{name} was no probe"
                self._close(event)
                self.tasks[name] = "pending"
                self.probing.discard(name)
            case e.AttemptRefused():
                assert self._may_start(name), f"{name} refused while {self.run}"
                self._change(name, "pending", "faulted")
                self.first_at.setdefault(name, recorded.at)
            case e.AttemptFailed():
                self._close(event)
                self.tasks[name] = "faulted"
                self.first_at.setdefault(name, self.started_at[name])
                if event.fault.kind is FaultKind.IN_DOUBT:
                    self.in_doubt[name] = self.in_doubt.get(name, 0) + 1
            case e.TaskRetryScheduled():
                self._undecided(name)
                self._change(name, "faulted", "waiting")
                self.until[name] = event.until
                self._in_time(name, event.until)
            case e.TaskWoken():
                self._woken(name)
            case e.TaskFailed():
                self._failed(event)
            case e.TaskSkipped():
                self._skipped(event)
            case e.TaskFellBack():
                self._undecided(name)
                self._change(name, "faulted", "succeeded")
            case e.TaskFallbackScheduled():
                self._undecided(name)
                self._change(name, "faulted", "pending")
                self.notes[f"fell back {name}"] = True
                self.probing.discard(name)
            case e.TaskProbeScheduled():
                self._undecided(name)
                self._change(name, "faulted", "pending")
                self.probing.add(name)
            case e.TaskCancelled():
                assert self.run == "draining", "only a draining run cancels"
                self._change(name, "faulted", "cancelled")
            case _:
                self._waits(event)

    def _waits(self, event: e.TaskEvent) -> None:
        """Events of tasks that wait for somebody or something."""
        name = event.task
        match event:
            case e.TaskEscalated():
                self._undecided(name)
                self._change(name, "faulted", "waiting")
                self._ask(name, "operator", event.until)
            case e.TaskWaiting():
                assert self._may_start(name), f"{name} waits while {self.run}"
                wait = self._by_name()[name].wait
                assert wait.kind is event.what, f"{name} waits for {event.what}"
                self._change(name, "pending", "waiting")
                self._ask(name, event.what.value, event.until)
            case e.OperatorDecided():
                self._undecided(name)
                assert self.tasks[name] == "waiting", f"{name} is {self.tasks[name]}"
                self.answered.add(name)
                if event.verdict is Verdict.RETRY:
                    self.sent_back.add(name)
            case e.TaskCompleted():
                self._undecided(name)
                assert name in self.asked or name in self.answered, f"{name} asked nobody"
                if event.signal:
                    self.signals.remove(event.signal)
                    assert self._by_name()[name].wait.name == event.signal, event
                elif name not in self.answered:
                    assert self.until[name] <= self.latest, f"{name} completed too early"
                self._change(name, "waiting", "succeeded")
                self._settle(name)
                self._completed(name)
            case e.TaskImported():
                assert self.run == "running", self.run
                self._change(name, "pending", "succeeded")
                if not event.fallback:
                    self._completed(name)
            case _:
                raise AssertionError(f"no oracle knows {event}")

    def _ask(self, name: str, what: str, until: int | None) -> None:
        self.asked[name] = what
        if until is not None:
            self.until[name] = until

    def _settle(self, name: str) -> None:
        self.asked.pop(name, None)
        self.until.pop(name, None)
        self.answered.discard(name)

    def _in_time(self, name: str, until: int) -> None:
        """A task's attempts together have until its deadline."""
        task = self._by_name().get(name)
        if task is not None and task.deadline_s is not None:
            assert until < self.first_at[name] + round(task.deadline_s * 1e6), f"{name} is late"

    def _undecided(self, name: str) -> None:
        """A draining run decides nothing any more, but about what takes back what it did."""
        assert self.run != "draining" or name in self.undone, f"{name}: the run is draining"

    def _may_start(self, name: str) -> bool:
        return self.run == "running" or (self.run == "draining" and name in self.undone)

    def _completed(self, name: str) -> None:
        """Something to be taken back, unless it was another function that did it."""
        task = self._by_name().get(name)
        if task is not None and task.undo and f"fell back {name}" not in self.notes:
            self.completed.append(name)

    def _woken(self, name: str) -> None:
        if name not in self.answered:
            assert self._may_start(name), f"{name} woken while {self.run}"
            assert self.until[name] <= self.latest, f"{name} woken too early"
        self._change(name, "waiting", "pending")
        self._settle(name)

    def _failed(self, event: e.TaskFailed) -> None:
        name = event.task
        if self.tasks[name] == "waiting":
            self._undecided(name)
            late = self.until.get(name, self.latest + 1) <= self.latest
            assert name in self.answered or late, f"{name} waits, and nobody has said no"
            self._settle(name)
            self.tasks[name] = "failed"
        else:
            assert name not in self.undone, f"{name} was given up, and nobody was asked"
            self._change(name, "faulted", "failed")
        if event.keep_going:
            assert self.run != "draining", "a draining run asks no rule"
            self.kept_going.add(name)
        if event.compensate:
            self.completed.append(name)

    def _skipped(self, event: e.TaskSkipped) -> None:
        """By a decision about its fault, or because it depends on a task that has failed."""
        self._undecided(event.task)
        if not event.upstream:
            if self.tasks[event.task] == "waiting":
                late = self.until.get(event.task, self.latest + 1) <= self.latest
                assert event.task in self.answered or late, f"{event.task} waits"
                self._settle(event.task)
                self.tasks[event.task] = "skipped"
                return
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
        assert self._may_start(name), f"{name} started while {self.run}"
        assert name not in self.open, f"I3: {name} has an open attempt"
        self._change(name, "pending", "running")
        self.counted[name] += 1
        assert event.attempt == self.counted[name], f"{name}: attempt {event.attempt} out of order"
        self.open[name] = event.attempt
        assert self._is_let_through(name), f"{name} before others"
        if name in self.undone:
            return
        assert self._by_name()[name].wait is None, f"{name} waits and calls nothing"
        above = set(self._by_name()[name].upstream)
        assert not above & self.cut_off, f"{name} after {above & self.cut_off}"

    def _is_let_through(self, name: str) -> bool:
        """Whether all that the task comes after has ended so that it may begin."""
        if name in self.undone:
            before = list(self.undone)[: list(self.undone).index(name)]
            return {self.tasks[one] for one in before} <= ENDED
        return all(
            self.tasks[one] in {"succeeded", "skipped"}
            or (self._by_name()[one].optional and self.tasks[one] == "failed")
            for one in self._by_name()[name].upstream
        )

    def _close(
        self,
        event: e.AttemptReturned | e.AttemptSucceeded | e.AttemptFailed | e.AttemptDisproved,
    ) -> None:
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
                if event.cause == "the run's deadline has passed":
                    assert self.latest >= notes["created"].deadline_at, "it has not"
                self.run = "draining"
                notes.update(verdict=event.verdict.value, cause=event.cause)
                notes.update(compensate=event.compensate)
            case e.SignalReceived():
                assert self.run in {"pending", "running", "paused"}, self.run
                self.signals.append(event.name)
            case e.TasksAdded():
                self._taken_back(event)
            case e.TasksClosed():
                assert self.run == "draining", self.run
                self._tasks_closed(event)
            case e.RunSucceeded() | e.RunFailed() | e.RunCancelled():
                self._ended(event, recorded)

    def _tasks_closed(self, event: e.TasksClosed) -> None:
        assert not self.undone, "compensations are not closed"
        closed = [name for name, status in self.tasks.items() if status in {"pending", "waiting"}]
        assert len(closed) == event.count, f"{event.count} closed of {closed}"
        self.tasks.update(dict.fromkeys(closed, event.status.value))
        self.until.clear()
        self.asked.clear()
        self.answered.clear()

    def _taken_back(self, event: e.TasksAdded) -> None:
        """Each that was completed, the last one first, once nothing of the run is left."""
        assert self.run == "draining", self.run
        assert self.notes["compensate"], "nobody wants it taken back"
        assert not self.undone, "taken back twice"
        assert set(self.tasks.values()) <= ENDED, self.tasks
        assert event.tasks == tuple((f"{name}~undo", name) for name in reversed(self.completed))
        self.undone = dict(event.tasks)
        self.tasks |= dict.fromkeys(self.undone, "pending")
        self.counted |= dict.fromkeys(self.undone, 0)

    def _ended(self, event: e.Event, recorded: e.Recorded) -> None:
        assert set(self.tasks.values()) <= ENDED, f"I6: {self.tasks}"
        assert not self.open, f"I6: {self.open}"
        if self.notes.get("compensate"):
            assert len(self.undone) == len(self.completed), "something was not taken back"
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
            wake_at=self._wake_at(created),
            engine=notes.get("engine", ""),
            cause=notes.get("cause", ""),
            definition=notes["definition"],
            structure=created.structure,
            inputs=created.inputs,
            code=notes["code"],
            tags=created.tags,
        )

    def _wake_at(self, created: e.RunCreated) -> int | None:
        could_start = (
            status == "pending" and self._may_start(name) and self._is_let_through(name)
            for name, status in self.tasks.items()
        )  # fmt: skip
        if not self.notes.get("engine") and any(could_start):
            return self.latest
        late = created.deadline_at if self.run in {"pending", "running", "paused"} else None
        times = [*self.until.values(), *([] if late is None else [late])]
        return min(times, default=None)


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
            assert not reading.answered, "an answer without its conclusion"
            if reading.run == "draining" and not reading.undone:
                assert not {"pending", "waiting"} & set(reading.tasks.values()), reading.tasks


def check_in_doubt(reading: Reading, budget: int) -> None:
    """I8: the attempt after the last one allowed was never made."""
    by_name = {task.name: task for task in reading.workflow.tasks}
    for name, times in reading.in_doubt.items():
        if name in reading.sent_back or name in reading.undone:
            continue  # a person has decided
        policy = by_name[name].in_doubt
        if policy in {InDoubt.FAIL, InDoubt.ASK}:
            assert times == 1, f"{name} was in doubt {times} times"
            continue
        if policy is InDoubt.PROBE:
            continue  # its probes may be in doubt too
        assert times <= budget + 1, f"{name} was in doubt {times} times"
