"""Interrupts: SIGINT, SIGTERM and SIGHUP while runs are driven from the main thread.

Owns: the handlers, installed for the time of a run and restored after it, and what is left of them
in the children that a sequential task forks: nothing.
Must never: do work in a handler; it sets a flag. The second signal ends the grace period and
raises at once; whoever drives then ends the workers.
Read next: `driver.py`, which drains when the flag is set.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from durable_wf.engine.driver import Driver
from durable_wf.errors import Interrupted

LOGGER = "durable_wf.interrupts"
"""The line that resumes is told here, for scripts that end without a traceback."""

log = logging.getLogger(LOGGER)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Signalled(KeyboardInterrupt):
    """What ends the driving, and a sequential task. Not yet what the caller meets: that is a
    SystemExit, too, and would be taken for one of the task's or of a script that is loaded.
    """


@contextmanager
def handled(driver: Driver, run_id: str) -> Iterator[None]:
    """Turn the first signal into an orderly end, the second into an immediate one.

    Does nothing off the main thread, where Python allows no handlers. A signal that was ignored
    (as by nohup) stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def on_signal(number: int, _: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            driver.kill()
            raise _Signalled("interrupted a second time")
        driver.interrupt()

    driver.on_interrupt = lambda: _Signalled("interrupted")
    cause: BaseException | None = None
    before: dict[int, Any] = {}
    owner = os.getpid()
    _standing.append(before)
    try:
        for known in _SIGNALS:
            if signal.getsignal(known) is not signal.SIG_IGN:
                before[known] = signal.signal(known, on_signal)
        yield
    except _Signalled as signalled:
        cause = signalled.__cause__
    finally:
        if os.getpid() == owner:  # else a task has forked, and its child comes back here
            _standing.remove(before)
            for number, handler in before.items():
                _restore(number, handler)
    if received:  # though it may have come too late for the loop to see it
        interrupted = Interrupted(run_id, received[0])
        log.warning("%s", interrupted)
        raise interrupted from cause


def _restore(number: int, handler: Any) -> None:
    signal.signal(number, signal.SIG_DFL if handler is None else handler)


# --- forks ----------------------------------------------------------------------------------------

_standing: list[dict[int, Any]] = []
"""What was there before our handlers, the outermost first: a task may run an engine of its own."""

_forking = threading.local()


def _before_fork() -> None:
    # A signal that comes to the child before its handlers are put right would be lost: Python
    # forgets what came before it is itself again.
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS) if _standing else None


def _in_parent() -> None:
    mask, _forking.mask = _forking.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    """Have the child end by SIGTERM as if there were no engine: by that `multiprocessing` ends its
    processes. What a terminal sends goes to all of its processes, and is for the engine: it lets
    the task finish, so what the task has forked must not die of it.
    """
    for before in reversed(_standing):
        for number, handler in before.items():
            _restore(number, handler if number == signal.SIGTERM else _nothing)
    _standing.clear()
    _in_parent()


def _nothing(*_: object) -> None:
    """A handler, not SIG_IGN, which programs that the child starts would inherit."""


os.register_at_fork(before=_before_fork, after_in_parent=_in_parent, after_in_child=_in_child)
