"""The tee: what attempts in the caller's own process print is captured, and goes on as before.

Owns: the output file of such a worker, and the attempts whose output goes there now. While there
are any, `write` of `sys.stdout` and `sys.stderr` is ours. What an attempt's own thread prints is
its output, and what threads print that it starts. The logger of such a task.
Must never: delay or lose what people see, or let them see more; leave a stream changed; raise into
a task because of our file.
Read next: `sequential.py`; `spool.py`, which captures whole processes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

import attrs

from durable_wf.core.fault import OutputRef
from durable_wf.execute.port import output_name

TASKS = "durable_wf.task"
"""The logger above those of all tasks."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
"""How records are captured, here and in workers."""


class Output:
    """The output file of a worker in this process. It is made when something is printed."""

    def __init__(self, folder: str, worker: str) -> None:
        self.file = output_name(worker)
        self.end = 0
        """bytes in it, as of the last `cut`"""
        self._path = os.path.join(os.path.abspath(folder), self.file)
        self._pid = os.getpid()
        self._fd = -1
        self._is_longer = False

    def write(self, text: str) -> None:
        """Put text at its end. A full disk loses it, and a fork has no part in it."""
        if os.getpid() != self._pid:
            return
        with contextlib.suppress(OSError):
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self._path, flags, 0o600)
            os.write(self._fd, text.encode("utf-8", "backslashreplace"))
            self._is_longer = True

    def cut(self) -> OutputRef | None:
        """What was written since the last cut; None when nothing was."""
        if not self._is_longer:
            return None
        self._is_longer = False
        start, self.end = self.end, os.fstat(self._fd).st_size
        return OutputRef(self.file, start, self.end - start)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@attrs.define(eq=False)
class Part:
    """The output of one attempt, while it runs. `before` are the threads that were there already,
    `outer` is the attempt inside of which this one runs.
    """

    output: Output
    before: frozenset[int | None]
    outer: Part | None
    is_open: bool = True

    def write(self, text: str) -> None:
        """Capture what was printed."""
        part: Part | None = self
        while part is not None:
            part.output.write(text)
            part = part.outer


_mine: ContextVar[Part | None] = ContextVar("durable_wf_output", default=None)
_passing_on: ContextVar[bool] = ContextVar("durable_wf_passing_on", default=False)
_open: list[Part] = []
_hooks: dict[int, _Hook] = {}
_lock = threading.Lock()


def enter(output: Output) -> tuple[Part, Token[Part | None]]:
    """Say that what this thread prints from now on belongs to an attempt, until `leave`."""
    before = frozenset([thread.ident for thread in threading.enumerate()])
    part = Part(output, before, _mine.get())  # no wait: a context variable
    with _lock:
        _open.append(part)
        for stream in (sys.stdout, sys.stderr):
            hook = _hooks.get(id(stream)) or _hook_of(stream)
            if hook is not None:
                hook.put()
    return part, _mine.set(part)


def leave(part: Part, token: Token[Part | None]) -> None:
    """Say that the attempt has ended."""
    _mine.reset(token)
    part.is_open = False
    with _lock:
        _open.remove(part)
        if not _open:
            for hook in _hooks.values():
                hook.take()


def _here() -> Part | None:
    """The attempt to which the output of the calling thread belongs."""
    part = _mine.get()  # no wait: a context variable
    if part is not None:
        return part if part.is_open else None
    # A thread that an attempt has started; one that was here before may print for anybody.
    me = threading.get_ident()
    found = [part for part in tuple(_open) if me not in part.before]
    inner = [part for part in found if not any(other.outer is part for other in found)]
    return inner[0] if len(inner) == 1 else None


# --- streams --------------------------------------------------------------------------------------


class _Hook:
    """`write` of a stream, which calls what it was. On the stream itself, since others hold that
    too: handlers of logging.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream  # alive, so that its id stays its own
        self._held = vars(stream)
        self._before = self._held.get("write")
        self._write: Callable[[str], Any] = stream.write
        self.is_put = False
        """whether the stream calls this one, be it through one that somebody has put around it"""

    def __call__(self, text: str) -> Any:
        part = None if _passing_on.get() else _here()  # no wait: a context variable
        if part is not None and isinstance(text, str):
            part.write(text)
        return self._write(text)

    def put(self) -> None:
        """Catch what is written from now on."""
        now = self._held.get("write")
        if now is not self._before:
            if self.is_put:
                return
            self._before, self._write = now, self._stream.write  # somebody's, put there since
        self._held["write"] = self
        self.is_put = True

    def take(self) -> None:
        """Put back what was there. What somebody has put around this one stays, and it passes on
        what it is given.
        """
        if self._held.get("write") is not self:
            return
        if self._before is None:
            del self._held["write"]
        else:
            self._held["write"] = self._before
        self.is_put = False


def _hook_of(stream: Any) -> _Hook | None:
    """A hook for a stream that is new; None for one that cannot have any."""
    if not isinstance(getattr(stream, "__dict__", None), dict) or not hasattr(stream, "write"):
        return None
    for known in [key for key, hook in _hooks.items() if not hook.is_put]:
        del _hooks[known]
    hook = _hooks[id(stream)] = _Hook(stream)
    return hook


# --- logging --------------------------------------------------------------------------------------


class TaskLogger(logging.Logger):
    """The logger of a task that runs in this process. Its records are captured from INFO on, as in
    a worker, and then go where those of the logger of this name go: what is configured there, and
    what is seen of it, is left alone.
    """

    def __init__(self, real: logging.Logger, part: Part) -> None:
        super().__init__(real.name)
        self._real = real
        self._part = part
        self.parent, self.handlers, self.filters = real.parent, real.handlers, real.filters

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name that logging calls
        """Whether a record of this level goes anywhere."""
        return self._captures(level)

    def getEffectiveLevel(self) -> int:  # noqa: N802 - the same
        """The lowest level that goes anywhere."""
        level = self._real.getEffectiveLevel()
        return min(level, logging.INFO) if self._captures(logging.INFO) else level

    def setLevel(self, level: int | str) -> None:  # noqa: N802 - the same
        """Set the level of the logger of this name."""
        self._real.setLevel(level)

    def __reduce__(self) -> tuple[Callable[[str], logging.Logger], tuple[str]]:
        """Elsewhere it is the logger of this name."""
        return logging.getLogger, (self.name,)

    def handle(self, record: logging.LogRecord) -> None:
        """Capture a record, and pass it on."""
        if self._part.is_open and self._captures(record.levelno):
            with contextlib.suppress(Exception):  # what does not fit together in a record
                self._part.write(_formatter.format(record) + "\n")
        if self._real.isEnabledFor(record.levelno):
            token = _passing_on.set(True)
            try:
                self._real.handle(record)
            finally:
                _passing_on.reset(token)

    def _captures(self, level: int) -> bool:
        """From INFO on, and what is seen anyway; what is seen, if a level was set for tasks."""
        if self._real.isEnabledFor(level):
            return True
        one: logging.Logger | None = self._real
        while one is not None and one.name.startswith(TASKS):
            if one.level:
                return False
            one = one.parent
        return level >= logging.INFO and level > self.manager.disable


def logger(name: str) -> logging.Logger:
    """The logger of this name; it captures where the output of an attempt is captured here."""
    real = logging.getLogger(name)
    part = _here()
    return real if part is None else TaskLogger(real, part)


_formatter = logging.Formatter(FORMAT)
