"""The begun mark: what a worker has begun, readable by others even after it was killed.

Owns: the file `locks/<worker>.begun`, mapped by the worker and by its engine. It holds the highest
begun `Assignment.seq`, when and where (offset in the output spool) that attempt began, and the page
of reports that are finished but not yet sent, so that a killed worker loses none of them.
Must never: be trusted after a reboot; the mark lives in the page cache, not on the disk.
Read next: `worker.py`, which writes it; `clearing.py`, which reads it after a crash.
"""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

from durable_wf.execute import processes

SIZE = 65536
PAGE_AT = 64
PAGE_SIZE = SIZE - PAGE_AT
UNKNOWN = sys.maxsize
"""What `read_mark` says when nothing is known: every attempt may have begun."""

_SEQ, _AT_NS, _OFFSET, _BOOT, _USED, _LOADING = range(6)


def path_of(locks: Path | str, worker: str) -> str:
    """Where a worker's mark lies. Raises ValueError for a name that could lead elsewhere: names
    are also read from logs that anybody may have written.
    """
    if "/" in worker or "\0" in worker:
        raise ValueError(f"{worker!r} is not the name of a worker")
    return f"{locks}/{worker}.begun"


class BegunMark:
    """The mapped file. Numbers are written as whole machine words, so none is ever seen torn."""

    def __init__(self, path: str, *, create: bool) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(fd, SIZE)
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
        self.page = memoryview(self._map)[PAGE_AT:]
        self.words = memoryview(self._map)[:PAGE_AT].cast("Q")
        if create:
            self.words[_BOOT] = processes.boot()

    def begin(self, seq: int, at_ns: int, offset: int) -> None:
        """Say that attempt `seq` begins. The number comes last: it vouches for the others."""
        words = self.words
        words[_AT_NS] = at_ns
        words[_OFFSET] = offset
        words[_SEQ] = seq

    @property
    def seq(self) -> int:
        """The highest begun number, 0 before the first."""
        return self.words[_SEQ]

    @property
    def at_ns(self) -> int:
        """When that attempt began, on the monotonic clock."""
        return self.words[_AT_NS]

    @property
    def offset(self) -> int:
        """Size of the output spool when that attempt began."""
        return self.words[_OFFSET]

    @property
    def boot(self) -> int:
        """The boot in which the mark was made."""
        return self.words[_BOOT]

    def set_loading(self, *, loading: bool) -> None:
        """Say whether the attempt still waits for its code, which is not the task's own time.

        Said before the attempt begins, and taken back after it has begun anew.
        """
        self.words[_LOADING] = loading

    @property
    def loading(self) -> bool:
        """Whether the begun attempt still waits for its code. Ask before `at_ns`: a false answer
        vouches for that.
        """
        return bool(self.words[_LOADING])

    def set_used(self, used: int) -> None:
        """Say how many bytes of the page hold reports that were not sent."""
        self.words[_USED] = used

    def unsent(self) -> bytes:
        """Finished reports that the worker had not sent."""
        return bytes(self.page[: min(self.words[_USED], PAGE_SIZE)])

    def close(self) -> None:
        """Let go of the mapping; the file stays."""
        self.page.release()
        self.words.release()
        self._map.close()


def read_mark(locks: Path, worker: str) -> int:
    """The highest `seq` that a worker had begun, or UNKNOWN (no usable mark, or a reboot since).

    An attempt with a higher number never began and never will once the worker is cleared.
    """
    try:
        mark = BegunMark(path_of(locks, worker), create=False)
    except (OSError, ValueError):
        return UNKNOWN
    try:
        return mark.seq if mark.boot == processes.boot() else UNKNOWN
    finally:
        mark.close()
