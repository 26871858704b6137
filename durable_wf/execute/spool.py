"""The output of attempts: everything written to stdout and stderr, by Python, C or a child.

Owns: descriptors 1 and 2 of a worker, which lead into one file under `output/`, and where in it
each attempt's part lies. It can be followed while the attempt runs. A worker whose attempts were
all silent leaves no file.
Must never: keep output in memory; what a killed attempt wrote must be in the file.
Read next: `worker.py`.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import logging
import os
import sys
from typing import TextIO

from durable_wf.execute.port import output_name
from durable_wf.execute.tee import FORMAT

_UNBUFFERED = 2
"""_IONBF of the C libraries."""


class Spool:
    """Catches what a worker process writes, from now on."""

    def __init__(self, folder: str, worker: str) -> None:
        self.file = output_name(worker)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(f"{folder}/{self.file}", flags, 0o600)
        self.offset = 0
        self._connect()
        _do_not_buffer_c()
        faulthandler.enable(self._fd, all_threads=False)
        logging.lastResort = _LastResort(logging.INFO)
        logging.getLogger().setLevel(logging.INFO)

    def _connect(self) -> None:
        os.dup2(self._fd, 1)
        os.dup2(self._fd, 2)
        # Line by line, so that the output can be followed.
        self._out = sys.stdout = _text(1)
        self._err = sys.stderr = _text(2)

    def cut(self) -> tuple[str, int, int] | None:
        """End an attempt's part: file, offset, length; None when it wrote nothing."""
        try:
            self._out.flush()
            self._err.flush()
            end = os.lseek(1, 0, os.SEEK_END)
        except (OSError, ValueError):
            # The attempt closed its output, which must not silence the next one.
            self._connect()
            end = os.lseek(1, 0, os.SEEK_END)
        if sys.stdout is not self._out or sys.stderr is not self._err:
            sys.stdout, sys.stderr = self._out, self._err
        start = self.offset
        if end == start:
            return None
        self.offset = end
        return self.file, start, end - start

    def mend(self) -> None:
        """Make good what an attempt did to stderr. Looked at less often than stdout."""
        try:
            os.lseek(2, 0, os.SEEK_END)
        except OSError:
            self._connect()


def drop_if_empty(folder: str, worker: str) -> None:
    """Remove a spool that nothing was ever written to. Only after the end of its worker."""
    path = f"{folder}/{output_name(worker)}"
    with contextlib.suppress(OSError):
        if os.stat(path).st_size == 0:
            os.unlink(path)


def _do_not_buffer_c() -> None:
    """Let what C code prints reach the file at once, not some attempts later."""
    libc = ctypes.PyDLL(None)
    name = "__stdoutp" if sys.platform == "darwin" else "stdout"
    with contextlib.suppress(ValueError):  # a C library with another name for it
        libc.setvbuf(ctypes.c_void_p.in_dll(libc, name), None, _UNBUFFERED, 0)


def _text(fd: int) -> TextIO:
    return open(fd, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)


class _LastResort(logging.StreamHandler[TextIO]):
    """Logging of a task that configured none: everything from INFO, to its captured stderr.

    As the last resort, not as a handler of the root, it leaves `logging.basicConfig` to the user.
    """

    def __init__(self, level: int) -> None:
        logging.Handler.__init__(self, level)
        self.setFormatter(logging.Formatter(FORMAT))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr
