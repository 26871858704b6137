"""The begun mark: what a worker has begun, readable by others even after it was killed.

Owns: the file `locks/<worker>.begun`, mapped by the worker and by its engine. It holds the highest
begun `Assignment.seq`, when and where (offset in the output spool) that attempt began, the page of
reports that are finished but not yet sent, so that a killed worker loses none of them, and the last
heartbeat: a task may beat as often as it likes, since nothing is sent, and none is ever lost.
Must never: be trusted after a reboot, since it lives in the page cache, not on the disk; or be
mapped before all of it has its place on the disk: with no room for it, a write into the mapping
would kill the writer.
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
from durable_wf.errors import DiskFull
from durable_wf.execute import processes
from durable_wf.store.room import is_no_room

PAGE_AT = 64
PAGE_SIZE = 65536 - PAGE_AT
DETAIL_MAX = 8 << 10
"""Bytes of a heartbeat's detail."""

_BEATS_AT = PAGE_AT + PAGE_SIZE
_SLOT = DETAIL_MAX + 64
SIZE = _BEATS_AT + 2 * _SLOT
UNKNOWN = sys.maxsize
"""What `read_mark` says when nothing is known: every attempt may have begun."""

_SEQ, _AT_NS, _OFFSET, _BOOT, _USED, _LOADING, _BEAT_NS, _NO_ROOM = range(8)

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


class Marked:
    """What stands in a mark: the mapped file, or a copy of it."""

    def __init__(self, whole: memoryview) -> None:
        self.page = whole[PAGE_AT:_BEATS_AT]
        self.words = whole[:PAGE_AT].cast("Q")
        self._slots = [whole[at : at + _SLOT] for at in (_BEATS_AT, _BEATS_AT + _SLOT)]

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

    @property
    def loading(self) -> bool:
        """Whether the begun attempt still waits for its code. Ask before `at_ns`: a false answer
        vouches for that.
        """
        return bool(self.words[_LOADING])

    @property
    def waits_for_room(self) -> bool:
        """Whether the disk is too full for the result of the attempt, which waits."""
        return bool(self.words[_NO_ROOM])

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

    def unsent(self) -> bytes:
        """Finished reports that the worker had not sent."""
        return bytes(self.page[: min(self.words[_USED], PAGE_SIZE)])


class BegunMark(Marked):
    """The mapped file. Numbers are written as whole machine words, so none is ever seen torn.

    Raises DiskFull when there is no room to create it; nothing is left behind then.
    """

    def __init__(self, path: str, *, create: bool) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = _create(path, flags) if create else os.open(path, flags)
        try:
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
        super().__init__(memoryview(self._map))
        self._turn = count()
        if create:
            self.words[_BOOT] = processes.boot()

    def begin(self, seq: int, at_ns: int, offset: int) -> None:
        """Say that attempt `seq` begins. The number comes last: it vouches for the others."""
        words = self.words
        words[_AT_NS] = at_ns
        words[_OFFSET] = offset
        words[_SEQ] = seq

    def set_loading(self, *, loading: bool) -> None:
        """Say whether the attempt still waits for its code, which is not the task's own time.

        Said before the attempt begins, and taken back after it has begun anew.
        """
        self.words[_LOADING] = loading

    def wait_for_room(self, waits: bool) -> None:
        """Say whether there is no room on the disk for the result of the attempt."""
        self.words[_NO_ROOM] = waits

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

    def set_used(self, used: int) -> None:
        """Say how many bytes of the page hold reports that were not sent."""
        self.words[_USED] = used

    def close(self) -> None:
        """Let go of the mapping; the file stays."""
        for view in (self.page, self.words, *self._slots):
            view.release()
        self._map.close()


def _create(path: str, flags: int) -> int:
    """Make the file in its whole size. Its bytes are written, not left out, so that each has its
    place: the page cache must not look for room when the mapping is written to.
    """
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            rest = memoryview(bytes(SIZE))
            while rest:
                rest = rest[os.write(fd, rest) :]
        except BaseException:
            os.unlink(path)
            os.close(fd)
            raise
    except OSError as error:
        if not is_no_room(error):
            raise
        hint = "free space and try again"
        raise DiskFull(f"no space is left for the mark {path}", hint=hint) from error
    return fd


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
    mark = _read(locks, worker)
    return UNKNOWN if mark is None else mark.seq


def read_beat(locks: Path, worker: str) -> MarkedBeat | None:
    """The last heartbeat that a worker's attempts have left in its mark, if any."""
    mark = _read(locks, worker)
    return None if mark is None else mark.newest_beat()


def _read(locks: Path, worker: str) -> Marked | None:
    """A copy of a worker's mark; None when there is no usable one, or a reboot since.

    It is read, not mapped: a reader must survive a file that is cut short meanwhile.
    """
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(path_of(locks, worker), flags)
    except (OSError, ValueError):
        return None
    try:
        data = os.pread(fd, SIZE, 0)
    except OSError:
        return None
    finally:
        os.close(fd)
    if len(data) < SIZE:
        return None
    mark = Marked(memoryview(data))
    return mark if mark.boot == processes.boot() else None
