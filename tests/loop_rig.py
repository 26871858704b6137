"""A loop without processes: a clock that stands still, a log that remembers, an executor in hand.

Owns: `FakeClock`, `TellingLog`, `FakeExecutor`, `Rig`, which puts them together, and `put`, which
writes a history by hand into any log.
Must never: start a process or wait for real.
Read next: `unit/engine/test_loop.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from histories_of import A_THEN_B, recorded

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.definition import Value, Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.judge import judge
from durable_wf.core.resources import Capacity, Ledger
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind
from durable_wf.core.summary import RunRow
from durable_wf.engine.claiming import Claimed
from durable_wf.engine.companions import places
from durable_wf.engine.live import LiveRun, run_code
from durable_wf.engine.loop import Loop
from durable_wf.engine.result import RunHandle
from durable_wf.errors import DurableWorkflowError
from durable_wf.execute.port import Assignment, Heartbeat, RunCode, Seat
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Appended, Batch, Log, RunAppend

ENGINE = "e-1"
LONG_US = 50_000
"""A duration that makes no task tiny, so that each has a seat of its own."""


def put(
    log: Log,
    *events: e.Event,
    workflow: Workflow = A_THEN_B,
    run_id: str = "r",
    said: Sequence[e.StoreEvent] = (),
) -> tuple[RunRow, RunState]:
    """Write a run with this history, which begins with CREATED; its row and its state. `said` are
    facts of the store in the same commit.
    """
    text = workflow.to_json().encode()
    assert isinstance(events[0], e.RunCreated)
    created = attrs.evolve(
        events[0], workflow=workflow.name, definition=digest_of(text), total=len(workflow.tasks)
    )
    history = recorded(created, *events[1:])
    state = replay(RunState.of(run_id, workflow), history)
    append = RunAppend(0, run_id, 0, history, row_of(state))
    facts = [(5, event) for event in said]
    payloads = [(digest_of(text), text)]
    assert not log.append(Batch([append], store_events=facts, payloads=payloads)).conflicts
    row = log.row(run_id)
    assert row is not None
    return row, state


@attrs.define
class FakeClock:
    """Time that passes when a test says so."""

    us: int = 1_000_000
    s: float = 0.0

    def pass_(self, seconds: float) -> None:
        """Time goes by, on both clocks."""
        self.s += seconds
        self.us += round(seconds * 1e6)

    def now_us(self) -> int:
        return self.us

    def monotonic_s(self) -> float:
        return self.s


class TellingLog(MemoryLog):
    """Remembers what it was asked to append. `troubles` are raised first, one for each try."""

    def __init__(self, shelf: Shelf | None = None, **options: object) -> None:
        super().__init__(shelf, **options)
        self.batches: list[Batch] = []
        self.refused: list[Batch] = []
        self.troubles: list[DurableWorkflowError] = []
        self.on_trouble: Callable[[], None] = lambda: None

    def append(self, batch: Batch) -> Appended:
        if self.troubles:
            self.refused.append(batch)
            self.on_trouble()
            raise self.troubles.pop(0)
        appended = super().append(batch)
        self.batches.append(batch)
        return appended

    def kinds(self, run_id: str = "r") -> list[str]:
        """The kinds of a run's events."""
        return [one.kind for one in self.stored(self.shelf.runs[run_id])]


@attrs.define
class FakeExecutor:
    """Keeps what it is given; a test says what came of it with `ends`."""

    seats_now: list[Seat]
    on_start: Callable[[Assignment], None] = lambda _: None
    max_seats: int = 8
    supports_limits: bool = True
    batches: list[list[Assignment]] = attrs.field(factory=list)
    cancelled: list[tuple[int, int, int]] = attrs.field(factory=list)
    forgotten: list[int] = attrs.field(factory=list)
    _reports: list[tuple[str, i.Report]] = attrs.field(factory=list)
    _beats: list[Heartbeat] = attrs.field(factory=list)

    @property
    def started(self) -> list[Assignment]:
        """All that it was ever given, in order."""
        return [one for batch in self.batches for one in batch]

    def tasks(self) -> list[str]:
        """The names of what it was given."""
        return [one.task for one in self.started]

    def given(self, task: str, run: int = 1) -> Assignment:
        """The last attempt of a task."""
        return [one for one in self.started if (one.task, one.run) == (task, run)][-1]

    def ends(
        self, task: str, value: Value = "1", *, run: int = 1, payload: bytes | None = None
    ) -> None:
        """The last attempt of a task has returned; the next poll says so."""
        one = self.given(task, run)
        done = i.Succeeded(one.run, one.index, one.attempt, value, 5, LONG_US, payload=payload)
        self._reports.append((one.worker, done))

    def breaks(self, task: str, *, run: int = 1, fault: e.Fault | None = None) -> None:
        """The last attempt of a task has failed."""
        one = self.given(task, run)
        why = fault or e.Fault(FaultKind.ERROR, "boom")
        self._reports.append((one.worker, i.Failed(one.run, one.index, one.attempt, why)))

    def says(self, task: str, detail: str, *, at: int = 5, run: int = 1) -> None:
        """The last attempt of a task has sent a heartbeat."""
        one = self.given(task, run)
        self._beats.append(Heartbeat(one.run, one.index, one.attempt, at, detail))

    def prepare(self, code: RunCode) -> None: ...

    def forget(self, run: int) -> None:
        self.forgotten.append(run)

    def seats(self, wanted: int) -> list[Seat]:
        return self.seats_now

    def start(self, assignments: Sequence[Assignment]) -> None:
        for one in assignments:
            self.on_start(one)
            self._count(one.worker, 1)
        self.batches.append([*assignments])

    def poll(self, timeout_s: float) -> list[i.Report]:
        found, self._reports = self._reports, []
        for worker, _ in found:
            self._count(worker, -1)
        return [report for _, report in found]

    def beats(self) -> list[Heartbeat]:
        found, self._beats = self._beats, []
        return found

    def cancel(self, run: int, index: int, attempt: int, grace_s: float) -> None:
        self.cancelled.append((run, index, attempt))

    def wake(self) -> None: ...

    def close(self, grace_s: float) -> None: ...

    def _count(self, worker: str, step: int) -> None:
        for seat in self.seats_now:
            if seat.worker == worker:
                seat.queued += step


class Rig:
    """One engine's loop over one shelf."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        seats: int = 4,
        engine: str = ENGINE,
        clock: FakeClock | None = None,
        alive: Callable[[str], bool] = lambda _: True,
        **pools: int,
    ) -> None:
        self.engine = engine
        self.log = TellingLog(shelf, alive=alive)
        self.clock = clock or FakeClock()
        self.settled: list[str] = []
        self.loop = Loop(self.log, self.clock, engine, pools, self._settle)
        self.executor = FakeExecutor([Seat(f"w-1-{k}", 100 + k, 7) for k in range(seats)])
        ledger = Ledger(Capacity(float(seats), pools=pools))
        self.loop.add_executor("fake", self.executor, ledger)

    def _settle(self, live: LiveRun) -> None:
        self.settled.append(live.run_id)

    def enter(
        self,
        workflow: Workflow = A_THEN_B,
        run_id: str = "r",
        key: int = 1,
        deadline_at: int | None = None,
    ) -> LiveRun:
        """A new run in the hands of the loop; its creation is in the next commit."""
        text = workflow.to_json().encode()
        state = RunState.of(run_id, workflow)
        created = e.RunCreated(
            workflow.name, digest_of(text), len(workflow.tasks), deadline_at=deadline_at
        )
        claimed = Claimed(state)
        claimed.give(i.Create(created, self.engine), self.clock.now_us())
        live = live_of(state, key=key, pending=claimed.events)
        self.loop.keep_payload(digest_of(text), text)
        self.loop.adopt(live)
        return live

    def turn(self) -> None:
        """One turn, which waits for nothing."""
        self.loop.wake()
        self.loop.turn()


def live_of(state: RunState, *, key: int = 1, **fields: object) -> LiveRun:
    """A live run in this state; all its tasks have one function."""
    functions = [live_of] * len(state.workflow.tasks)
    companions = dict.fromkeys(places(state.workflow), live_of)
    code, function_of, _, companion_of = run_code(
        key, state.run_id, state.workflow, functions, {}, companions
    )
    fields.setdefault("companion_of", companion_of)
    handle = RunHandle(state.run_id, lambda *given: None)
    remaining = state.graph.remaining()
    return LiveRun(key, state, code, function_of, "fake", handle, remaining, judge=judge, **fields)
