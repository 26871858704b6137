"""The loop: read inputs, decide, commit, act. One turn, one transaction, for all runs.

Owns: the only calls of `Log.append` for runs that this engine holds, and the order
"decide -> commit -> start": nothing is done that is not in the log.
Must never: be entered by two threads at once, block without a deadline, or decide by itself.
Read next: `live.py` (one run), `claiming.py` (how runs come in), `facade.py` (who drives it).
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter

from durable_wf.core import inputs as i
from durable_wf.core.decide import Decided, decide
from durable_wf.core.events import AttemptStarted, StoreEvent
from durable_wf.core.fault import Fault
from durable_wf.core.resources import Ledger
from durable_wf.core.scheduler import Pick
from durable_wf.core.status import FaultKind
from durable_wf.engine import unreadable
from durable_wf.engine.beats import Beats
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.choosing import Bench, Chooser, Chosen
from durable_wf.engine.clock import Clock
from durable_wf.engine.commands import accepted, command_input
from durable_wf.engine.drafting import Draft
from durable_wf.engine.fetching import PayloadCache
from durable_wf.engine.inbox import POLL_S, Inbox
from durable_wf.engine.live import LiveRun, TooLate, lost_to_another
from durable_wf.engine.pools import PoolLeases
from durable_wf.engine.progress import INTERVAL_S, progress_of
from durable_wf.engine.resting import Rest
from durable_wf.engine.suspects import CRASH_LIMIT, Suspects
from durable_wf.engine.timers import Timers
from durable_wf.errors import CallerError, DiskFull, PayloadMissing, StoreBusy
from durable_wf.execute.port import Executor, Seat
from durable_wf.store.port import Answer, Appended, Batch, Command, Log

log = logging.getLogger("durable_wf.engine")

TURNS_S = 0.005
"""The longest wait for one of several executors, which are looked at by turns."""

RETRY_S = 0.5
"""How long a commit that found the disk full, or the store busy, waits before it is tried again."""

CANCEL_GRACE_S = 5.0
"""How long a cancelled attempt may clean up before its process is ended."""


_SEQ = attrgetter("seq")


class Loop:
    """Drives runs. All methods but `request` and `wake` belong to the thread that drives."""

    def __init__(
        self,
        store: Log,
        clock: Clock,
        engine: str,
        pools: Mapping[str, int],
        settle: Callable[[LiveRun], None],
        crash_limit: int = CRASH_LIMIT,
    ) -> None:
        self._log = store
        self._pools = PoolLeases(store, engine, pools)
        self._clock = clock
        self._settle = settle
        self._runs: dict[int, LiveRun] = {}
        self.breakers = Breakers(store, clock, engine, self._runs)
        suspects = Suspects(crash_limit)
        self._chooser = Chooser(clock, self._pools, self.breakers, self._runs, suspects)
        self._benches = self._chooser.benches
        self.beats = Beats(clock, self._benches, self._runs)
        self._draft = Draft(self._pools, self.breakers, self.beats)
        self._by_id: dict[str, LiveRun] = {}
        self._changed: dict[int, LiveRun] = {}
        self._stops: list[tuple[LiveRun, int, int]] = []
        self._requests: deque[Callable[[], None]] = deque()
        self._woken = threading.Event()
        self._cache = PayloadCache(store)
        self._timers = Timers(clock)
        self.rest = Rest(self, store, clock, self._timers, engine)
        self.inbox = Inbox(store)
        self._own_reports: list[i.Report] = []
        self._promises: list[Callable[[], None]] = []
        self._untold: dict[int, LiveRun] = {}  # changed too soon after their onlookers were told
        self.starting = True
        self.leaves_lost_open = False
        self.may_commit_later: Callable[[], bool] = lambda: True

    # --- what others call -----------------------------------------------------------------------

    def request(self, action: Callable[[], None]) -> None:
        """Have `action` called by the driving thread at its next turn. Safe from any thread."""
        self._requests.append(action)
        self.wake()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Have `action` called once what is decided in this turn is durable."""
        self._promises.append(action)

    def wake(self) -> None:
        """End the current wait. Safe from any thread and from signal handlers."""
        self._woken.set()
        for bench in self._benches.values():
            bench.executor.wake()

    def add_executor(self, name: str, executor: Executor, ledger: Ledger) -> None:
        """Give the loop a place to run attempts; all places take from one ledger."""
        self._chooser.add(name, executor, ledger)

    def executors(self) -> Mapping[str, Executor]:
        """The executors by name."""
        return {name: bench.executor for name, bench in self._benches.items()}

    def runs(self) -> list[LiveRun]:
        """The runs held."""
        return list(self._runs.values())

    def holds(self, run_id: str) -> bool:
        """Whether a run is this engine's, at rest or not. Safe from any thread."""
        return run_id in self._by_id or run_id in self.rest

    def run(self, run_id: str) -> LiveRun | None:
        """The live run of that id, if it is held here; one at rest wakes up."""
        return self._by_id.get(run_id) or self.rest.awake(run_id)

    def adopt(self, live: LiveRun) -> None:
        """Take over a run whose first events (creation or claim) are decided but not committed."""
        live.grow()
        self._runs[live.key] = live
        self._by_id[live.run_id] = live
        self._changed[live.key] = live
        self.inbox.look_again()  # commands may wait for it that this engine has passed over
        live.state.ready = live.state.all_ready()
        self._chooser.take(live)
        self.offer(live)

    def offer(self, live: LiveRun) -> None:
        """Tasks of a run became ready. They are chosen from when its code is here."""
        if not self.rest.wants_code(live):
            self._chooser.offer(live)

    def announce(self, event: StoreEvent) -> None:
        """Put a fact that belongs to no run into the next commit."""
        self._draft.announce(self._clock.now_us(), event)

    def keep_payload(self, digest: str, data: bytes) -> None:
        """Put a payload into the next commit."""
        self._draft.keep_payload(digest, data)

    def give(self, live: LiveRun, given: i.Input, at: int = 0) -> Decided:
        """Decide an input of a run; what follows is in the next commit. `at`: now, if known."""
        at = at or self._clock.now_us()
        decided = decide(live.state, given, at)
        if decided.events:
            live.pending += decided.events
            self._changed[live.key] = live
            if len(live.function_of) != len(live.state.tasks):
                live.grow()
        for index in decided.judge:
            self.give(live, live.judge(live.state, index), at)
        if live.state.ready:
            self.offer(live)
        if decided.stop:
            self._stops += ((live, index, attempt) for index, attempt in decided.stop)
        return decided

    # --- the turn -------------------------------------------------------------------------------

    def turn(self) -> None:
        """One round: inputs, decisions, one commit, then what the commit allows."""
        if self.breakers.in_use:
            self.breakers.turn()
        if self.rest.owes:
            self.rest.equip()
        while self._requests:
            self._requests.popleft()()
        self._read_reports()
        self._look_around()
        if self.starting:
            self._wake()
            self._begin_chosen()
        self._commit()
        self._act()

    def flush(self) -> None:
        """Commit what is decided without reading or starting anything."""
        self._commit()
        self._act()

    def _read_reports(self) -> None:
        """Take what executors report, waiting for the first report unless there is work to do."""
        wait_s = self._wait_s()
        if self._own_reports:
            own, self._own_reports = self._own_reports, []
            self._take_reports(own)
        busy = [bench for bench in self._benches.values() if bench.is_busy]
        if not busy:
            self._woken.wait(wait_s)
        if self._woken.is_set():
            self._woken.clear()
        if len(busy) > 1:
            wait_s = min(wait_s, TURNS_S)
        for bench in busy:
            reports = bench.executor.poll(wait_s)
            bench.outstanding -= len(reports)
            self._take_reports(reports)

    def take_last_reports(self) -> None:
        """After the executors were closed: take what had ended before. An attempt that was killed
        by the closing stays open in the log, to be in doubt when the run is claimed again.
        """
        self.leaves_lost_open = True
        self.beats.collect()
        for bench in self._benches.values():
            self._take_reports(bench.executor.poll(0.0))
            bench.outstanding = 0

    def _wait_s(self) -> float:
        """How long the first report may be waited for."""
        if self._changed or self._requests or self._own_reports or self.rest.owes:
            return 0.0
        wait_s = self._timers.wait_s(POLL_S)
        if self.starting:
            if self._chooser.is_offered:
                return 0.0
            if self.breakers.in_use:
                return min(wait_s, self.breakers.wait_s())
        return wait_s

    def _take_reports(self, reports: Sequence[i.Report]) -> None:
        """Decide what follows from reports; all of them came now."""
        at = self._clock.now_us() if reports else 0
        for report in reports:
            self._end(report.run, report.index)
            live = self._runs.get(report.run)
            if live is None:
                continue  # dropped after a conflict: the run is another engine's now
            if isinstance(report, i.Succeeded):
                live.measure(report.index, report.wall_us)
                if report.payload is not None and not isinstance(report.value, str):
                    self._draft.keep_payload(report.value.digest, report.payload)
            elif isinstance(report, i.Failed):
                self.beats.collect()  # what it said last is for the next attempt
                if self.leaves_lost_open and report.fault.kind is FaultKind.LOST:
                    continue
                if cause := unreadable.cause_of(live.state, report):
                    self.give(live, i.Pause(unreadable.ACTOR, cause), at)
                    report = i.Returned(report.run, report.index, report.attempt)  # noqa: PLW2901
            if self.breakers.in_use:
                self.breakers.note(live, report, at)
            self.give(live, report, at)

    def _end(self, run: int, index: int) -> None:
        """No attempt of the task is open any more: what it held of the store is given back."""
        if self._pools.in_use:
            self._pools.end((run, index))
        if self.breakers.in_use:
            self.breakers.end((run, index))

    # --- what is looked at now and then ---------------------------------------------------------

    def _look_around(self) -> None:
        """Read heartbeats and the inbox, where it is time."""
        now = self._clock.monotonic_s()
        if now >= self.beats.look_at:
            self.beats.look(now)
        if now >= self.inbox.look_at:
            for command in self.inbox.news(now):
                live = self.run(command.run_id)
                if live is not None:
                    self._obey(live, command)

    def _obey(self, live: LiveRun, command: Command) -> None:
        try:
            refused = self.give(live, command_input(command)).refused
        except CallerError as error:
            refused = error.message
        text = refused or accepted(command)
        self._draft.answer(Answer(command.id, live.run_id, not refused, text))
        self._changed[live.key] = live

    # --- what starts ----------------------------------------------------------------------------

    def _wake(self) -> None:
        due = self._timers.due()
        awake = [(self._runs[run], wake_at) for run, wake_at in due if run in self._runs]
        for live, wake_at in (*awake, *self.rest.due(due)):
            self.give(live, i.Due(), max(self._clock.now_us(), wake_at))

    def _begin_chosen(self) -> None:
        chosen = self._chooser.choose()
        at = self._clock.now_us() if chosen else 0
        for bench, pick in chosen:
            self._begin(bench, pick, at)
        if self.breakers.in_use:
            for live, refuse in self.breakers.refused():
                self.give(live, refuse)

    def _begin(self, bench: Bench, pick: Pick[Seat], at: int) -> None:
        live = self._runs[pick.run]
        seat = pick.seat
        detail = live.details.get(pick.index, "") if live.details else ""
        given = i.AttemptBegins(pick.index, seat.worker, seat.pid, seat.born, detail)
        decided = self.give(live, given, at)
        if decided.refused:  # pragma: no cover - pick asked a moment ago
            return
        recorded = decided.events[0]
        started = recorded.event
        assert isinstance(started, AttemptStarted)
        bench.chosen.append(Chosen(live, pick, started.attempt, recorded.n))
        if self.breakers.in_use:
            self.breakers.begun(live, pick.index, started.attempt, at)

    # --- the commit -----------------------------------------------------------------------------

    def _commit(self) -> None:
        news = [live for live in self._changed.values() if live.pending]
        batch = self._draft.batch([live.append() for live in news])
        if batch is None:
            self._changed.clear()
            return
        appended = self.append(batch)
        for live in news:
            live.appended(appended)
        self._cache.keep(self._draft.written())
        if self.breakers.in_use:
            self.breakers.committed(appended)
        if appended.conflicts:
            self._drop(appended)
        for bench in self._benches.values():
            if bench.chosen:
                self._hand_over(bench, appended)

    def append(self, batch: Batch) -> Appended:
        """Append, again and again while the disk is full or another writer hangs.

        Nothing starts meanwhile; reports wait in the pipes of the workers.
        """
        said = False
        while True:
            try:
                appended = self._log.append(batch)
            except (DiskFull, StoreBusy) as error:
                if not self.may_commit_later():
                    raise
                if not said:
                    log.warning("%s; waiting, nothing is lost", error.message)
                    said = True
                self._woken.wait(RETRY_S)
                self._woken.clear()
            else:
                if said:
                    log.warning("the store can be written again")
                return appended

    def _hand_over(self, bench: Bench, appended: Appended) -> None:
        """Start what is now announced; remember each event's seq for the begun mark."""
        chosen, bench.chosen = bench.chosen, []
        assignments = []
        for one in chosen:
            live = one.live
            if live.run_id in appended.conflicts:
                self._end(live.key, one.pick.index)
                continue
            seq = appended.first_seq[live.run_id] + one.n - live.pending[0].n
            try:
                assignments.append(live.assignment(one.pick, one.attempt, seq, self._cache.fetch))
            except PayloadMissing as error:
                lost = unreadable.failure(live.key, one.pick.index, one.attempt, error)
                self._own_reports.append(lost)
            except TooLate as error:
                fault = Fault(FaultKind.TIMEOUT, str(error))
                self._own_reports.append(i.Failed(live.key, one.pick.index, one.attempt, fault))
        if len(assignments) > 1:
            assignments.sort(key=_SEQ)  # a worker's begun mark is the highest seq it began
        if assignments:
            bench.outstanding += len(assignments)
            bench.executor.start(assignments)

    def _drop(self, appended: Appended) -> None:
        """Let go of runs that another engine has written: what we knew of them is worth nothing."""
        for run_id in appended.conflicts:
            live = self._by_id.get(run_id)
            if live is None:
                continue
            for index, attempt in live.state.running.items():
                bench = self._benches.get(live.state.task(index).executor or live.executor)
                if bench is not None:
                    bench.executor.cancel(live.key, index, attempt.started.attempt, 0.0)
            self.forget(live)
            live.handle.settle(lost_to_another(live))

    def _act(self) -> None:
        """After the commit: answer, stop what must stop, tell onlookers, let go of what ended."""
        if self._promises:
            promises, self._promises = self._promises, []
            for promise in promises:
                promise()
        if self._stops:
            stops, self._stops = self._stops, []
            for live, index, attempt in stops:
                bench = self._chooser.bench(live, index)
                bench.executor.cancel(live.key, index, attempt, CANCEL_GRACE_S)
        changed, self._changed = self._changed, {}
        for live in changed.values():
            if live.key not in self._runs:
                continue
            live.pending = []
            self._timers.plan(live.key, live.wake_at)
            at_rest = live.settled or self._rests(live)
            if live.on_progress is not None:
                self._tell(live, at_rest=at_rest)
            if at_rest:
                self._settle(live)
            if live.state.final or live.let_go:
                self.forget(live)
            else:
                self.rest.note(live)
        self.rest.put_away()
        if self._untold:
            for live in [*self._untold.values()]:
                self._tell(live, at_rest=False)

    def _rests(self, live: LiveRun) -> bool:
        """Whether nothing will happen to it for longer than its caller waits."""
        if live.state.running:
            return False
        aside = () if live.wait_s is None else self.breakers.aside(live, live.wait_s)
        return live.rests(self._clock.now_us(), aside)

    def forget(self, live: LiveRun) -> None:
        """Let go of a run, ended or lost."""
        self._runs.pop(live.key, None)
        self._by_id.pop(live.run_id, None)
        self._changed.pop(live.key, None)
        self._chooser.forget(live)
        self._timers.plan(live.key, None)
        self._untold.pop(live.key, None)
        self.rest.forget(live)
        for bench in self._benches.values():
            bench.executor.forget(live.key)

    # --- odds and ends --------------------------------------------------------------------------

    def _tell(self, live: LiveRun, *, at_rest: bool) -> None:
        if live.on_progress is None:
            return
        now = self._clock.monotonic_s()
        if now < live.told_at + INTERVAL_S and not at_rest:
            self._untold[live.key] = live
            return
        self._untold.pop(live.key, None)
        live.told_at = now
        seats = sum(bench.executor.max_seats for bench in self._benches.values())
        try:
            live.on_progress(progress_of(live.state, live.eta_s(seats), at_rest=at_rest))
        except Exception:
            log.exception("the progress callback of run %s raised; it is dropped", live.run_id)
            live.on_progress = None
