"""Session: an engine's hold on one store. The composition root of this layer.

Owns: wiring store, lock, loop, driver and executors together, and taking them apart.
Must never: exist before something is to be run; reading a store needs none of it.
Read next: `entering.py` (how runs come in), `driver.py`.
"""

from __future__ import annotations

import itertools
import os
import secrets
from pathlib import Path

import attrs

from durable_wf.core.awaited import awaited
from durable_wf.core.events import EngineStarted
from durable_wf.core.resources import Ledger
from durable_wf.core.state import row_of
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import origin
from durable_wf.engine.clock import Clock, SystemClock
from durable_wf.engine.driver import Driver
from durable_wf.engine.durations import Earlier
from durable_wf.engine.known import Known
from durable_wf.engine.live import LiveRun
from durable_wf.engine.loop import Loop
from durable_wf.engine.result import Reader, RunResult
from durable_wf.engine.settings import ExecutorType, Settings
from durable_wf.errors import RunFailed
from durable_wf.execute.port import Executor, Places
from durable_wf.execute.sequential import SequentialExecutor
from durable_wf.recovery.rule import NamedRule
from durable_wf.store import locks
from durable_wf.store.opening import Store, open_store
from durable_wf.store.port import Log
from durable_wf.version import VERSION


def reader_of(path: Path) -> Reader:
    """Opens the store at `path` for reading, each time it is called."""

    def read() -> Log:
        return open_store(path, readonly=True).log

    return read


def warm_up(kind: ExecutorType | None) -> None:
    """Begin to load what that executor's workers need. It takes longer than anything else in a
    first run, so it goes on while the store is opened and the definition is written.
    """
    if kind is ExecutorType.PARALLEL:
        # multiprocess takes 80 ms to import: only those pay who use it
        from durable_wf.execute import launch

        launch.warm_up()


class Session:
    """An open store with an engine lock, a loop and a driver."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        clock: Clock | None = None,
        rules: tuple[NamedRule, ...] = (),
    ) -> None:
        self.store = store
        self.rules = rules
        self.settings = settings
        self.clock = clock or SystemClock()
        self.lock = locks.create(store.folder.locks, f"e-{secrets.token_hex(4)}")
        self.engine = self.lock.name
        self.loop = Loop(
            store.log,
            self.clock,
            self.engine,
            settings.capacity.pools,
            self.settle,
            settings.crash_limit,
        )
        self.driver = Driver(self.loop, self.clock, self.engine, settings.grace_s)
        self.driver.let_go = self.lock.release
        self.pid = os.getpid()
        self.reader = reader_of(store.folder.path)
        self.known = Known()
        self.earlier = Earlier(store.log, self.clock)
        self.person = origin.person()
        self._keys = itertools.count(1)
        self._ledger = Ledger(settings.capacity)
        started = EngineStarted(self.engine, os.getpid(), os.uname().nodename, VERSION)
        self.loop.announce(started)

    def next_key(self) -> int:
        """A number for a run within this engine."""
        return next(self._keys)

    def executor(self, kind: ExecutorType) -> Executor:
        """The executor of that kind, started when first asked for."""
        found = self.loop.executors().get(kind.value)
        if found is not None:
            return found
        folder = self.store.folder
        places = Places(folder.locks, folder.output, folder.payloads)
        made: Executor
        match kind:
            case ExecutorType.SEQUENTIAL:
                made = SequentialExecutor(places, self.engine)
            case ExecutorType.PARALLEL:
                # heavy, as above
                from durable_wf.execute.pool import ParallelExecutor

                made = ParallelExecutor(places, self.engine, self.settings.workers)
        self.loop.add_executor(kind.value, made, self._ledger)
        return made

    def settle(self, live: LiveRun) -> None:
        """Tell whoever waits for a run how it stands."""
        live.handle.settle(self.result(live))

    def result(self, live: LiveRun) -> RunResult:
        """The outcome of a live run as it stands."""
        if live.committed_n == live.state.n:
            row: RunRow | None = attrs.evolve(row_of(live.state), run=live.run)
        else:  # it is lost to another engine
            row = self.store.log.row(live.run_id)
        assert row is not None
        waiting = () if live.state.final else tuple(awaited(live.state))
        return RunResult(row, live.workflow, self.reader, waiting=waiting)

    def close(self, why: str) -> None:
        """Let go of everything. Idempotent."""
        try:
            self.driver.close(why)
        finally:
            if self.driver.broken is not None:  # nobody turns the loop any more
                self.store.close()
                self.lock.release()
                self.lock.path.unlink(missing_ok=True)  # no file says the same: nobody holds it

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one whose engine this is. Then nothing of it may
        be touched: not its locks, which are the parent's, nor its connection to the database.
        """
        return self.pid != os.getpid()


FINAL_FAILURE = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
"""What `run(check=True)` raises RunFailed for."""


def checked(result: RunResult, *, check: bool) -> RunResult:
    """The outcome of a run that somebody waited for. Raises RunFailed for a bad one if asked to."""
    if not check or result.status not in FINAL_FAILURE:
        return result
    verb = "was cancelled" if result.status is RunStatus.CANCELLED else "failed"
    cause = f": {result.row.cause}" if result.row.cause else ""
    raise RunFailed(
        f"run {result.run_id} of {result.row.workflow!r} {verb}{cause}",
        result=result,
        hint=f"dwf show {result.run_id}",
    )
