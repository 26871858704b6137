"""Sessions: those of one WorkflowEngine, one after the other.

Owns: when a session comes into being (not before something is to be run), and when it ends: with
its engine, with the interpreter, by an interrupt; waiting for its runs; and that a fork leaves its
parent's alone.
Must never: start anything.
Read next: `session.py`, what is made here; `facade.py`, for whom.
"""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from functools import partial
from math import inf
from pathlib import Path

from durable_wf.engine import control, waking
from durable_wf.engine.driver import closed
from durable_wf.engine.interrupts import handled
from durable_wf.engine.result import RunHandle
from durable_wf.engine.session import Session, warm_up
from durable_wf.engine.settings import ExecutorType, Settings
from durable_wf.errors import CallerError, DurableWorkflowError, Interrupted
from durable_wf.recovery.rule import NamedRule
from durable_wf.store.opening import open_store

log = logging.getLogger("durable_wf.engine")


class Sessions:
    """Gives an engine its session. `current` is the last one, if it has not ended; in a fork it is
    the parent's.
    """

    def __init__(self, path: Path, settings: Settings, rules: tuple[NamedRule, ...]) -> None:
        self.current: Session | None = None
        self._path = path
        self._settings = settings
        self._rules = rules
        self._closed = False
        self._guard = threading.RLock()

    @property
    def own(self) -> Session | None:
        """The current one, if it is this process's."""
        session = self.current
        return None if session is None or session.is_inherited else session

    def open(self, executor: ExecutorType | None = None) -> Session:
        """The session, made when first needed; after an interrupt or a fork it is a new one.
        `executor` is what it will need first. Raises CallerError when all is closed, NotTrusted,
        and what opening the store raises.
        """
        with self._guard:
            if self._closed:
                raise closed()
            session = self.current
            if session is not None and isinstance(session.driver.broken, KeyboardInterrupt):
                self._end("interrupted")
            elif session is not None and not session.is_inherited:
                return session
            elif session is not None:
                _inherited.append(session)
            warm_up(executor)
            store = open_store(self._path, create=True, trust=self._settings.trust)
            if not store.writable:
                store.close()
                raise control.not_trusted(store.folder.path)
            self.current = Session(store, self._settings, rules=self._rules)
            waking.attach(self.current)
            _close_at_exit(self)
            return self.current

    def close(self) -> None:
        """End the session, and make no other. Idempotent."""
        with self._guard:
            self._closed = True
            self._end("the engine was closed")

    def _end_interrupted(self) -> None:
        """Let go of the store: whoever goes on, this engine too, opens it anew."""
        try:
            with self._guard:
                self._end("interrupted")
        except DurableWorkflowError as error:
            log.warning("%s", error)

    def wait(self, session: Session, handle: RunHandle, timeout_s: float | None = None) -> None:
        """Drive, or let drive, until the outcome of a run is known or `timeout_s` has passed.

        Raises Interrupted on a signal, having ended the session in order; what stopped the loop;
        CallerError inside a turn of it, and in a fork, which must not drive its parent's engine.
        """
        if handle.done():
            return
        if session.is_inherited:
            raise CallerError(
                f"run {handle.run_id} is driven by the process that this one was forked from",
                hint=f"wait for it there, or look at it here: engine.history({handle.run_id!r})",
            )
        session.driver.refuse_inside()
        until = inf if timeout_s is None else time.monotonic() + timeout_s
        try:
            with handled(session.driver, handle.run_id):
                session.driver.wait(handle.future, lambda: time.monotonic() >= until)
        except Interrupted:
            self._end_interrupted()
            raise

    def submitted(self, session: Session, handle: RunHandle) -> RunHandle:
        """The handle of a run that goes on in the background; who waits for it can be interrupted
        as who runs it can.
        """
        handle.waiter = partial(self.wait, session, handle)
        return handle

    def _end(self, why: str) -> None:
        session, self.current = self.current, None
        if session is None:
            return
        if session.is_inherited:
            _inherited.append(session)
            return
        try:
            session.close(why)
        except BaseException:
            if session.driver.broken is None:  # it goes on: a sequential task holds a thread
                self.current = session
            raise


_inherited: list[Session] = []
"""Sessions of a parent process. Kept, since to take a connection apart would touch its files."""


def _close_at_exit(sessions: Sessions) -> None:
    """Close those of a forgotten engine in order when the interpreter exits, without keeping them
    alive.
    """
    reference = weakref.ref(sessions)

    def close() -> None:
        forgotten = reference()
        if forgotten is not None:
            forgotten.close()

    atexit.register(close)
