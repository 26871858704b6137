"""Driver: who turns the loop, and how it comes to an end.

Owns: the one-thread-at-a-time rule of the loop, waiting for its outcomes, the grace period, and
letting go of runs at the end.
Must never: touch a run's state from a thread that does not drive.
Read next: `loop.py`, `facade.py`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from durable_wf.core import inputs as i
from durable_wf.core.events import EngineStopped
from durable_wf.engine.clock import Clock
from durable_wf.engine.loop import Loop
from durable_wf.errors import CallerError, DiskFull, DurableWorkflowError, StoreBusy

T = TypeVar("T")

log = logging.getLogger("durable_wf.engine")

_WAIT_S = 0.05
"""How often a thread that waits for another one's turns looks whether it must turn itself."""


class Driver:
    """Turns a loop from whichever thread waits for something, one at a time.

    `interrupted` is set by signal handlers: the turning thread then drains, lets go of its runs and
    raises what `on_interrupt` gives it. `let_go` is called when the loop has ended and nothing of
    it runs any more.
    """

    def __init__(self, loop: Loop, clock: Clock, engine: str, grace_s: float) -> None:
        self.loop = loop
        self.grace_s = grace_s
        self.interrupted = False
        self.on_interrupt: Callable[[], BaseException] = KeyboardInterrupt
        self.let_go: Callable[[], None] = lambda: None
        self._clock = clock
        self._engine = engine
        self._turns = threading.Lock()
        self._driving = 0  # the thread that turns now
        self._killed = False
        self._starting = threading.Lock()
        self._background: threading.Thread | None = None
        self._stopping = threading.Event()
        self._broken: BaseException | None = None
        loop.may_commit_later = lambda: not (self.interrupted or self._stopping.is_set())

    # --- waiting --------------------------------------------------------------------------------

    @property
    def broken(self) -> BaseException | None:
        """Why the loop does not turn any more; None while it does."""
        return self._broken

    def is_driving(self) -> bool:
        """Whether the calling thread is inside a turn: in a callback, or a sequential task."""
        return self._driving == threading.get_ident()

    def refuse_inside(self) -> None:
        """Raise CallerError where the calling thread is inside a turn, which could not end."""
        if self.is_driving():
            raise CallerError(
                "a sequential task or a progress callback cannot wait for the engine it runs in",
                hint="use another WorkflowEngine there, or start the run before or after",
            )

    def call(self, action: Callable[[], T]) -> T:
        """Have `action` done between two turns, by the driving thread; returns what it returns,
        once what it decided is committed.

        Raises CallerError inside a turn, which could not come to its end.
        """
        self.refuse_inside()
        future: Future[T] = Future()

        def act() -> None:
            try:
                result = action()
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                future.set_exception(error)
            else:
                self.loop.after_commit(lambda: future.set_result(result))

        self.loop.request(act)
        self.wait(future)
        return future.result(0)

    def wait(self, future: Future[T], until: Callable[[], bool] = lambda: False) -> None:
        """Turn the loop, or wait while another thread does, until `future` is done or `until()`."""
        while not (future.done() or until()):
            if self._broken is not None:
                raise self._broken
            if self._stopping.is_set() or not self._turns.acquire(blocking=False):
                concurrent.futures.wait([future], timeout=_WAIT_S)
                continue
            self._driving = threading.get_ident()
            try:
                while not (future.done() or until() or self._stopping.is_set()):
                    self._turn()
            finally:
                self._driving = 0
                self._turns.release()

    def run_in_background(self) -> None:
        """Turn the loop in a thread of its own from now on, until `close`."""
        with self._starting:
            if self._background is None or not self._background.is_alive():
                name = "durable_wf-engine"
                self._background = threading.Thread(target=self._turn_on, name=name, daemon=True)
                self._background.start()

    def _turn_on(self) -> None:
        never: Future[None] = Future()
        with contextlib.suppress(BaseException):  # handles have it; nobody waits for a thread
            self.wait(never, self._stopping.is_set)

    def _turn(self) -> None:
        try:
            self.loop.turn()
            if self.interrupted:
                log.warning("interrupted; letting what runs finish, for %g s at most", self.grace_s)
                self._end("interrupted")
        except BaseException as error:
            self._fail_all(error)
            if isinstance(error, DiskFull | StoreBusy) and self.interrupted:
                raise self.on_interrupt() from error
            raise
        if self.interrupted:
            self._broken = self.on_interrupt()
            raise self._broken

    def interrupt(self) -> None:
        """Start nothing more, and end with this turn. Safe in a signal handler: it only sets flags,
        since waking would take locks that the interrupted code may hold.
        """
        self.interrupted = True
        self.loop.starting = False

    def kill(self) -> None:
        """Give nobody time to finish from now on. Safe in a signal handler."""
        self._killed = True
        self.loop.leaves_lost_open = True

    # --- ending ---------------------------------------------------------------------------------

    def _fail_all(self, error: BaseException) -> None:
        """The loop cannot go on: whoever waits is told why. What is in the log stays there.

        They are told last: by then another engine may take over.
        """
        try:
            for executor in self.loop.executors().values():
                executor.close(0.0)
        finally:
            self.let_go()
            if self._broken is None:
                self._broken = error
            handles = [sleeper.handle for sleeper in self.loop.rest.drop()]
            for live in self.loop.runs():
                self.loop.forget(live)
                handles.append(live.handle)
            for handle in handles:
                if handle is not None:
                    handle.settle(error)

    def _end(self, why: str) -> None:
        """Drain and release: everything that there is to record is recorded."""
        self._drain()
        self._release(why)

    def _drain(self) -> None:
        """Start nothing more, let attempts finish within the grace period, record what came."""
        self.loop.starting = False
        deadline = self._clock.monotonic_s() + self.grace_s
        while self._someone_runs() and self._clock.monotonic_s() < deadline and not self._killed:
            self.loop.turn()
        for executor in self.loop.executors().values():
            executor.close(0.0)
        self.loop.take_last_reports()
        self.loop.flush()

    def _someone_runs(self) -> bool:
        return any(live.state.running for live in self.loop.runs())

    def close(self, why: str) -> None:
        """End in order: drain, release unfinished runs, say goodbye in the log. Idempotent.

        Raises DurableWorkflowError when a thread stays inside a turn (a sequential task that does
        not end), and what the last commit raises; the runs are let go all the same.
        """
        if self.is_driving():
            raise CallerError("a sequential task or a progress callback cannot close its engine")
        self._stopping.set()
        self.loop.wake()
        background = self._background
        patience_s = self.grace_s + _LONGEST_TURN_S
        if background is not None and background is not threading.current_thread():
            background.join(patience_s)
        if not self._turns.acquire(timeout=patience_s):
            self._stopping.clear()
            raise DurableWorkflowError(
                "the engine cannot be closed: a task of it still runs in one of this process's "
                "threads",
                hint="close it when its sequential tasks have ended",
            )
        self._driving = threading.get_ident()
        try:
            if self._broken is None:
                self._end(why)
        except BaseException as error:
            self._fail_all(error)
            raise
        finally:
            self._broken = closed()
            self._driving = 0
            self._turns.release()

    def _tell_of(self, left: list[str], why: str) -> None:
        """Say which runs were let go that could go on; of an interrupt its handler speaks."""
        if not left or self.interrupted:
            return
        more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
        named = ", ".join(left[:_NAMED]) + more
        how = f"dwf resume {left[0]}" if len(left) == 1 else "dwf recover"
        log.warning("let go unfinished, since %s: %s; continue with: %s", why, named, how)

    def _release(self, why: str) -> None:
        sleepers = self.loop.rest.let_go(why)
        for live in self.loop.runs():
            self.loop.give(live, i.Release(self._engine, why))
        self.loop.announce(EngineStopped(self._engine))
        self.loop.desk.close()
        runs = self.loop.runs()
        self._tell_of([live.run_id for live in runs if live.could_go_on], why)
        self.loop.flush()
        handles = [sleeper.handle for sleeper in sleepers]
        for live in runs:
            self.loop.forget(live)
            handles.append(live.handle)
        for handle in handles:
            if handle is not None:
                error = DurableWorkflowError(
                    f"run {handle.run_id} was let go unfinished: {why}",
                    hint=f"dwf resume {handle.run_id}",
                )
                handle.settle(error)
        self.let_go()


_NAMED = 3
"""So many of the runs that were let go are named."""


def closed() -> CallerError:
    """The error for who uses an engine that was closed."""
    return CallerError("this engine is closed", hint="make a new WorkflowEngine")


_LONGEST_TURN_S = 35.0
"""A turn may wait this long for another writer of the store."""
