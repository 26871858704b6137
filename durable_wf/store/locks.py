"""Locks: the writer lock, and the locks by which engines and workers show that they live.

Owns: `flock` on files under `locks/`. The kernel drops a lock when its holder dies, however it
dies; so a lock that is held is proof of life, without heartbeats and time-outs.
Must never: block without a deadline, unlink a lock file that somebody may probe, or keep a lock in
a forked child (descriptors are close-on-exec, and closed after a plain fork).
Read next: `sqlite.py`, which takes the writer lock around each transaction.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.room import is_no_room

PATIENCE_S = 30.0
"""How long a writer waits for another one, in seconds."""

_PAUSES_S = ((0.1, 0.001), (5.0, 0.00025), (PATIENCE_S, 0.01))
"""(waited up to, pause between two tries). Who has waited for long asks more often than who just
come, since nobody queues; after seconds the holder is stuck, and asking often is of no use."""
_is_name = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*").fullmatch
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class HeldLock:
    """A lock file of our own, held from creation until `release` or the death of the process."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self.name = path.name
        self.fd = fd
        _open_locks.add(self)

    @property
    def identity(self) -> str:
        """Which file it is, as the function `identity` says it."""
        return _identity(os.fstat(self.fd))

    def release(self) -> None:
        """Let go. The file stays, so that a probe of it never meets a stranger. Idempotent."""
        _close(self)


class WriterLock:
    """The lock around each transaction and checkpoint, a context manager; not reentrant.

    It serialises all writers of a store, so SQLite itself never meets a locked database.
    """

    def __init__(self, locks: Path, patience_s: float = PATIENCE_S) -> None:
        self.path = locks / "writer"
        self.fd = os.open(self.path, _FLAGS | os.O_CREAT, 0o600)
        self._patience_s = patience_s
        self._pid = b"%-20d" % os.getpid()
        _open_locks.add(self)

    def __enter__(self) -> Self:
        """Take the lock. Raises StoreBusy, naming the holder, when patience has run out."""
        fd = self.fd
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._wait()
        # Who holds it stands in the file, for the message of whoever waits in vain.
        try:
            if os.pread(fd, 20, 0) != self._pid:
                os.pwrite(fd, self._pid, 0)
        except OSError:  # not `suppress`, which takes as long as all calls here
            pass  # on a full disk the message must do without it
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the lock."""
        if self.fd >= 0:
            fcntl.flock(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file. Idempotent."""
        _close(self)

    def _wait(self) -> None:
        begin = time.monotonic()
        while True:
            waited_s = time.monotonic() - begin
            if waited_s >= self._patience_s:
                raise StoreBusy(
                    f"process {self._holder()} has kept {self.path} locked for "
                    f"{self._patience_s:g} s; nothing was written",
                    hint="try again; a stopped process keeps its locks until it goes on or ends",
                )
            time.sleep(next((pause for until, pause in _PAUSES_S if waited_s < until), 0.01))
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return

    def _holder(self) -> str:
        pid = os.pread(self.fd, 20, 0).decode("ascii", "replace").strip()
        return pid or "(unknown)"


def create(locks: Path, name: str) -> HeldLock:
    """Create the lock file `name` and hold it.

    Errors: FileExistsError if the name was ever used, DiskFull (the name is still free).
    """
    path = locks / name
    try:
        return HeldLock(path, _create(path))
    except OSError as error:
        if not is_no_room(error):
            raise
        hint = "free space and try again"
        raise DiskFull(f"no space is left for the lock {path}", hint=hint) from error


def _create(path: Path) -> int:
    fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        _take_new(fd)
        os.write(fd, b"%d\n" % os.getpid())
    except BaseException:
        os.unlink(path)  # nobody has been told of it
        os.close(fd)
        raise
    return fd


def is_held(locks: Path, name: str) -> bool:
    """Whether somebody holds the lock `name` now; a missing file is not held.

    The probe is a shared lock, let go at once: two probes do not see each other. Names stand in the
    log, which anybody may have written: what could not be one is not held, and nothing that is no
    plain file is waited for.
    """
    if not _is_name(name):
        return False
    try:
        fd = os.open(locks / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def identity(locks: Path, name: str) -> str:
    """Which file the lock `name` is on this machine; "" where there is none.

    A copy of the store has other files, or none, under the same names.
    """
    if not _is_name(name):
        return ""
    try:
        return _identity(os.lstat(locks / name))
    except FileNotFoundError:
        return ""


def _identity(found: os.stat_result) -> str:
    return f"{found.st_dev:x}:{found.st_ino:x}"


def _take_new(fd: int) -> None:
    # A probe may hold a new file for the moment between its creation and this.
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.001)


# --- forks ----------------------------------------------------------------------------------------

_open_locks: WeakSet[HeldLock | WriterLock] = WeakSet()


def _close(lock: HeldLock | WriterLock) -> None:
    if lock.fd >= 0:
        os.close(lock.fd)
        lock.fd = -1
    _open_locks.discard(lock)


def _close_in_child() -> None:
    # Closing, not unlocking: the lock belongs to the open file, which the parent still has.
    for lock in list(_open_locks):
        _close(lock)


os.register_at_fork(after_in_child=_close_in_child)
