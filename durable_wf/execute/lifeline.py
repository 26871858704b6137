"""The engine's side of the reaper.

Owns: the reaper's process and the pipe whose end tells it that the engine has died.
Must never: let anybody else inherit the writing end; then the engine's death would go unseen.
Read next: `reaper.py`.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from durable_wf.execute import processes, reaper
from durable_wf.execute.port import Places


class Lifeline:
    """Keeps a reaper running, and tells it who the workers are."""

    def __init__(self, prefix: str, places: Places) -> None:
        self._arguments = (prefix, str(places.locks), str(places.output))
        self._workers: dict[int, int] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._fd = -1

    @property
    def pid(self) -> int:
        """The reaper's process, 0 while there is none."""
        return self._process.pid if self._process else 0

    def add(self, pid: int, born: int) -> None:
        """A worker exists. Starts the reaper at the first, and again should it have died."""
        self._workers[pid] = born
        if self._process is None or self._process.poll() is not None:
            self._start()
        else:
            self._say(f"+{pid} {born}\n")

    def remove(self, pid: int) -> None:
        """A worker has ended."""
        if self._workers.pop(pid, None) is not None:
            self._say(f"-{pid}\n")

    def close(self) -> None:
        """All workers have ended: so does the reaper. Idempotent."""
        if self._process is None:
            return
        self._say("bye\n")
        self.abandon()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        self._process = None

    def abandon(self) -> None:
        """Close our end without a word (in a forked child, whose copy must not keep it open)."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _start(self) -> None:
        self.abandon()
        theirs, self._fd = os.pipe()
        command = [sys.executable, "-I", "-S", os.path.abspath(reaper.__file__), *self._arguments]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                # Without the marker of an outer engine's worker, in which this engine may run: the
                # reaper must outlive that worker by the moment in which it does its work.
                env={k: v for k, v in os.environ.items() if k != processes.MARKER},
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        for pid, born in self._workers.items():
            self._say(f"+{pid} {born}\n")

    def _say(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # a dead reaper is replaced by the next `add`
            os.write(self._fd, line.encode())
