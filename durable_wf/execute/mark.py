"""The begun mark: what a worker has begun, readable by others even after it was killed.

Owns: the file `locks/<worker>.begun`, mapped by the worker and by its engine. It holds the highest
begun `Assignment.seq`, when and where (offset in the output spool) that attempt began, the page of
reports that are finished but not yet sent, so that a killed worker loses none of them, and the last
heartbeat: a task may beat as often as it likes, since nothing is sent, and none is ever lost.
Must never: be trusted after a reboot; the mark lives in the page cache, not on the disk.
Read next: `worker.py`, which writes it; `clearing.py`, which reads it after a crash.
"""

from __future__ import annotations

import mmap
import os
import sys
from itertools import count
from pathlib import Path
from struct import Struct
from zlib import crc32

from durable_wf.core.hot import hot
from durable_wf.execute import processes

PAGE_AT = 64
PAGE_SIZE = 65536 - PAGE_AT
DETAIL_MAX = 8 << 10
"""Bytes of a heartbeat's detail."""

_BEATS_AT = PAGE_AT + PAGE_SIZE
_SLOT = DETAIL_MAX + 64
SIZE = _BEATS_AT + 2 * _SLOT
UNKNOWN = sys.maxsize
"""What `read_mark` says when nothing is known: every attempt may have begun."""

_SEQ, _AT_NS, _OFFSET, _BOOT, _USED, _LOADING, _BEAT_NS = range(7)

_CHECKSUM = Struct("<I")
_BEAT = Struct("<QQI")
"""The attempt's `seq`, when it was (monotonic nanoseconds), bytes of the detail that follows."""


@hot
class MarkedBeat:
    """A heartbeat as it stands in a mark. `at_ns` is on the monotonic clock."""

    seq: int
    at_ns: int
    detail: str


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
        self.page = memoryview(self._map)[PAGE_AT:_BEATS_AT]
        self.words = memoryview(self._map)[:PAGE_AT].cast("Q")
        self._slots = [
            memoryview(self._map)[at : at + _SLOT] for at in (_BEATS_AT, _BEATS_AT + _SLOT)
        ]
        self._turn = count()
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

    def beat(self, seq: int, at_ns: int, detail: bytes | None) -> None:
        """Say that attempt `seq` is alive, and with `detail` how far it is; None: as before.

        Two slots take turns, so that a death in the middle of this leaves the detail before.
        """
        self.words[_BEAT_NS] = at_ns
        if detail is not None:
            body = _BEAT.pack(seq, at_ns, len(detail)) + detail
            record = _CHECKSUM.pack(crc32(body)) + body
            # One assignment: threads of a task may beat at once.
            self._slots[next(self._turn) & 1][: len(record)] = record

    @property
    def beat_ns(self) -> int:
        """When the last heartbeat of any attempt was, on the monotonic clock; 0: there was none."""
        return self.words[_BEAT_NS]

    def newest_beat(self) -> MarkedBeat | None:
        """The last heartbeat, of the attempt that runs if it has sent any; its detail is the last
        that this attempt gave.
        """
        seq, began_ns, beat_ns = self.seq, self.at_ns, self.beat_ns
        last = self.last_beat()
        if not beat_ns or beat_ns < began_ns:
            return last
        return MarkedBeat(seq, beat_ns, last.detail if last and last.seq == seq else "")

    def last_beat(self) -> MarkedBeat | None:
        """The last heartbeat that had a detail."""
        beats = [beat for slot in self._slots if (beat := _read_slot(slot)) is not None]
        return max(beats, key=lambda beat: beat.at_ns, default=None)

    def set_used(self, used: int) -> None:
        """Say how many bytes of the page hold reports that were not sent."""
        self.words[_USED] = used

    def unsent(self) -> bytes:
        """Finished reports that the worker had not sent."""
        return bytes(self.page[: min(self.words[_USED], PAGE_SIZE)])

    def close(self) -> None:
        """Let go of the mapping; the file stays."""
        for view in (self.page, self.words, *self._slots):
            view.release()
        self._map.close()


def _read_slot(slot: memoryview) -> MarkedBeat | None:
    """What stands in a slot; None where nothing does, or it is just being written."""
    head = _CHECKSUM.size + _BEAT.size
    seq, at_ns, size = _BEAT.unpack_from(slot, _CHECKSUM.size)
    body = bytes(slot[_CHECKSUM.size : head + min(size, DETAIL_MAX)])
    if not at_ns or crc32(body) != _CHECKSUM.unpack_from(slot)[0]:
        return None
    return MarkedBeat(seq, at_ns, body[_BEAT.size :].decode("utf-8", "replace"))


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


def read_beat(locks: Path, worker: str) -> MarkedBeat | None:
    """The last heartbeat that a worker's attempts have left in its mark, if any."""
    try:
        mark = BegunMark(path_of(locks, worker), create=False)
    except (OSError, ValueError):
        return None
    try:
        return mark.newest_beat() if mark.boot == processes.boot() else None
    finally:
        mark.close()
