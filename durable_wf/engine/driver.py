"""Driver: who turns the loop, and how it comes to an end.

Owns: the one-thread-at-a-time rule of the loop, waiting for its outcomes, the grace period, and
letting go of runs at the end.
Must never: touch a run's state from a thread that does not drive.
Read next: `loop.py`, `facade.py`.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from durable_wf.core import inputs as i
from durable_wf.core.events import EngineStopped
from durable_wf.engine.clock import Clock
from durable_wf.engine.loop import Loop
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.port import Log

T = TypeVar("T")

_WAIT_S = 0.05
"""How often a thread that waits for another one's turns looks whether it must turn itself."""


class Driver:
    """Turns a loop from whichever thread waits for something, one at a time.

    `interrupted` is set by signal handlers: the turning thread then drains and raises what
    `on_interrupt` gives it.
    """

    def __init__(self, loop: Loop, clock: Clock, engine: str, grace_s: float) -> None:
        self.loop = loop
        self.grace_s = grace_s
        self.interrupted = threading.Event()
        self.on_interrupt: Callable[[], BaseException] = KeyboardInterrupt
        self._clock = clock
        self._engine = engine
        self._turns = threading.Lock()
        self._background: threading.Thread | None = None
        self._stopping = threading.Event()
        self._broken: BaseException | None = None
        loop.may_commit_later = lambda: not (self.interrupted.is_set() or self._stopping.is_set())

    # --- waiting --------------------------------------------------------------------------------

    def call(self, action: Callable[[], T]) -> T:
        """Have `action` done between two turns, by the driving thread; returns what it returns."""
        future: Future[T] = Future()

        def act() -> None:
            try:
                future.set_result(action())
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                future.set_exception(error)

        self.loop.request(act)
        self.wait(future)
        return future.result(0)

    def wait(self, future: Future[T], until: Callable[[], bool] = lambda: False) -> None:
        """Turn the loop, or wait while another thread does, until `future` is done or `until()`."""
        while not (future.done() or until()):
            if self._broken is not None:
                raise self._broken
            if not self._turns.acquire(blocking=False):
                concurrent.futures.wait([future], timeout=_WAIT_S)
                continue
            try:
                while not (future.done() or until()):
                    self._turn()
            finally:
                self._turns.release()

    def run_in_background(self) -> None:
        """Turn the loop in a thread of its own from now on, until `close`."""
        if self._background is None or not self._background.is_alive():
            thread = threading.Thread(target=self._turn_on, name="durable_wf-engine", daemon=True)
            self._background = thread
            thread.start()

    def _turn_on(self) -> None:
        never: Future[None] = Future()
        try:
            self.wait(never, self._stopping.is_set)
        except BaseException as error:  # noqa: BLE001 - handles have it; nobody waits for a thread
            self._fail_all(error)

    def _turn(self) -> None:
        try:
            self.loop.turn()
        except BaseException as error:
            self._fail_all(error)
            raise
        if self.interrupted.is_set():
            self._drain()
            raise self.on_interrupt()

    def _fail_all(self, error: BaseException) -> None:
        """The loop cannot go on: whoever waits is told why. What is in the log stays there."""
        if self._broken is None:
            self._broken = error
        for executor in self.loop.executors().values():
            executor.close(0.0)
        for live in self.loop.runs():
            self.loop.forget(live)
            live.handle.settle(error)

    def kill(self) -> None:
        """End all workers at once; safe in a signal handler of the driving thread."""
        for executor in self.loop.executors().values():
            executor.close(0.0)

    # --- ending ---------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Start nothing more, let attempts finish within the grace period, record what came."""
        self.loop.starting = False
        deadline = self._clock.monotonic_s() + self.grace_s
        while self._someone_runs() and self._clock.monotonic_s() < deadline:
            self.loop.turn()
        for executor in self.loop.executors().values():
            executor.close(0.0)
        self.loop.take_last_reports()
        self.loop.flush()

    def _someone_runs(self) -> bool:
        return any(live.state.running for live in self.loop.runs())

    def close(self, log: Log, why: str) -> None:
        """End in order: drain, release unfinished runs, say goodbye in the log. Idempotent."""
        self._stopping.set()
        self.loop.wake()
        background = self._background
        if background is not None and background is not threading.current_thread():
            background.join(self.grace_s + _LONGEST_TURN_S)
        with self._turns:
            if self._broken is None:
                self._drain()
                self._release(why)
            self._broken = DurableWorkflowError("this engine is closed", hint="make a new one")
        log.close()

    def _release(self, why: str) -> None:
        for live in self.loop.runs():
            self.loop.give(live, i.Release(self._engine, why))
        self.loop.announce(EngineStopped(self._engine))
        self.loop.flush()
        for live in self.loop.runs():
            self.loop.forget(live)
            error = DurableWorkflowError(
                f"run {live.run_id} was let go unfinished: {why}",
                hint=f"dwf resume {live.run_id}",
            )
            live.handle.settle(error)


_LONGEST_TURN_S = 35.0
"""A turn may wait this long for another writer of the store."""
