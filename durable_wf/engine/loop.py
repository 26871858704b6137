"""The loop: read inputs, decide, commit, act. One turn, one transaction, for all runs.

Owns: the only calls of `Log.append` for runs that this engine holds, and the order
"decide -> commit -> start": nothing is done that is not in the log.
Must never: be entered by two threads at once, block without a deadline, or decide by itself.
Read next: `live.py` (one run), `claiming.py` (how runs come in), `facade.py` (who drives it); and
the rooms of a turn: `choosing.py`, `starting.py`, `desk.py`, `resting.py`, `drafting.py`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from durable_wf.core import inputs as i
from durable_wf.core.decide import Decided, decide
from durable_wf.core.events import StoreEvent
from durable_wf.core.resources import Ledger
from durable_wf.core.status import FaultKind
from durable_wf.engine import unreadable
from durable_wf.engine.beats import Beats, with_last_words
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.choosing import Chooser
from durable_wf.engine.clock import Clock
from durable_wf.engine.desk import Desk
from durable_wf.engine.drafting import Draft
from durable_wf.engine.inbox import POLL_S, Inbox
from durable_wf.engine.live import LiveRun, lost_to_another
from durable_wf.engine.onlookers import Onlookers
from durable_wf.engine.pools import PoolLeases
from durable_wf.engine.resting import Rest
from durable_wf.engine.starting import Starter
from durable_wf.engine.suspects import CRASH_LIMIT, Suspects
from durable_wf.engine.timers import Timers
from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.execute.port import Executor
from durable_wf.store.port import Appended, Batch, Log

log = logging.getLogger("durable_wf.engine")

TURNS_S = 0.005
"""The longest wait for one of several executors, which are looked at by turns."""

RETRY_S = 0.5
"""How long a commit that found the disk full, or the store busy, waits before it is tried again."""

CANCEL_GRACE_S = 5.0
"""How long a cancelled attempt may clean up before its process is ended."""


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
        self._starter = Starter(self, store, clock, self._chooser, self.breakers, self._runs)
        self._onlookers = Onlookers(clock, self._benches)
        self._by_id: dict[str, LiveRun] = {}
        self._changed: dict[int, LiveRun] = {}
        self._stops: list[tuple[LiveRun, int, int]] = []
        self._requests: deque[Callable[[], None]] = deque()
        self._woken = threading.Event()
        self._timers = Timers(clock)
        self.rest = Rest(self, store, clock, self._timers, engine)
        self.inbox = Inbox(store)
        self.desk = Desk(self, store, self._draft, self.inbox)
        self._promises: list[Callable[[], None]] = []
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

    def change(self, live: LiveRun) -> None:
        """Look at a run after the next commit, though nothing of it may be in that."""
        self._changed[live.key] = live

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
            self._starter.announce()
        self._commit()
        self._act()

    def flush(self) -> None:
        """Commit what is decided without reading or starting anything."""
        self._commit()
        self._act()

    def _read_reports(self) -> None:
        """Take what executors report, waiting for the first report unless there is work to do."""
        wait_s = self._wait_s()
        if self._starter.reports:
            own, self._starter.reports = self._starter.reports, []
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
        if self._changed or self._requests or self._starter.reports or self.rest.owes:
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
            self.end(report.run, report.index)
            live = self._runs.get(report.run)
            if live is None:
                continue  # dropped after a conflict: the run is another engine's now
            if isinstance(report, i.Succeeded):
                live.measure(report.index, report.wall_us)
                if report.payload is not None and not isinstance(report.value, str):
                    self._draft.keep_payload(report.value.digest, report.payload)
            elif isinstance(report, i.Failed):
                self.beats.collect()  # what it said last is for the next attempt
                report = with_last_words(live, report)  # noqa: PLW2901
                if self.leaves_lost_open and report.fault.kind is FaultKind.LOST:
                    continue
                if cause := unreadable.cause_of(live.state, report):
                    self.give(live, i.Pause(unreadable.ACTOR, cause), at)
                    report = i.Returned(report.run, report.index, report.attempt)  # noqa: PLW2901
            if self.breakers.in_use:
                self.breakers.note(live, report, at)
            self.give(live, report, at)

    def end(self, run: int, index: int) -> None:
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
            self.desk.look(now)

    def _wake(self) -> None:
        due = self._timers.due()
        awake = [(self._runs[run], wake_at) for run, wake_at in due if run in self._runs]
        for live, wake_at in (*awake, *self.rest.due(due)):
            self.give(live, i.Due(), max(self._clock.now_us(), wake_at))

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
        self._starter.cache.keep(self._draft.written())
        if self.breakers.in_use:
            self.breakers.committed(appended)
        if appended.conflicts:
            self._drop(appended)
        for bench in self._benches.values():
            if bench.chosen:
                self._starter.hand_over(bench, appended)

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
            live.lost = True
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
                self._onlookers.tell(live, at_rest=at_rest)
            if at_rest:
                self._settle(live)
            if live.state.final or live.let_go:
                self.forget(live)
            else:
                self.rest.note(live)
        self.rest.put_away()
        if self._onlookers.late:
            self._onlookers.tell_late()

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
        self._onlookers.forget(live)
        self.rest.forget(live)
        for bench in self._benches.values():
            bench.executor.forget(live.key)
