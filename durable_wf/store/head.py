"""The head: a witness beside the log that says how far the log once reached.

Owns: the file `head`, one fixed slot with a checksum, written inside the writer lock after each
commit; and the judgement whether a log is behind its head (a deleted -wal, a cut tail, an older
copy put in place of the log).
Must never: be needed to read the log, or be synced on the hot path: it may lag behind the log
(a crash between commit and head), it can never be ahead of a log that is whole.
Read next: `opening.py`, which refuses to write to a log behind its head.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import attrs

from durable_wf.core.wording import are, count_of
from durable_wf.errors import LostTail
from durable_wf.store.chain import BLOCK, GENESIS, LogHash

_MAGIC = b"dwfhead1"
_SLOT = struct.Struct("<8sQ16s16s")
_CHECK_BYTES = 8
SLOT_BYTES = _SLOT.size + _CHECK_BYTES

_ACCEPT = "dwf db accept-loss   accepts what is gone and lets the store be written again"


@attrs.frozen
class Witness:
    """The last seq of the log, the log's hash there, and the one at the start of its block."""

    seq: int
    digest: bytes
    base: bytes


START = Witness(0, GENESIS, GENESIS)


class HeadFile:
    """The open slot. `write` is one system call."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def write(self, seq: int, digest: bytes, base: bytes) -> None:
        """Put the witness into the slot; not synced (see the module)."""
        body = _SLOT.pack(_MAGIC, seq, digest, base)
        os.pwrite(self._fd, body + _check(body), 0)

    def sync(self) -> None:
        """Make the slot durable: at creation, and after a loss was accepted."""
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def read(path: Path) -> Witness:
    """What the slot says. Raises LostTail if it is missing or its checksum is wrong: a store has a
    head from the moment it is made.
    """
    try:
        data = path.read_bytes()[:SLOT_BYTES]
    except FileNotFoundError as error:
        raise LostTail(
            f"{path} is missing: how far the log once reached is not known", hint=_ACCEPT
        ) from error
    body, check = data[: _SLOT.size], data[_SLOT.size :]
    if len(data) < SLOT_BYTES or check != _check(body) or not body.startswith(_MAGIC):
        raise LostTail(
            f"{path} is damaged: how far the log once reached is not known", hint=_ACCEPT
        )
    _, seq, digest, base = _SLOT.unpack(body)
    return Witness(seq, digest, base)


def compute(connection: sqlite3.Connection) -> Witness:
    """The witness of a whole log, from its first event: one pass over all hashes."""
    whole = LogHash()
    for hashes in _hash_pages(connection, 0):
        whole.add(hashes)
    return Witness(whole.seq, whole.digest(), whole.base)


def follow(connection: sqlite3.Connection, known: Witness) -> LogHash:
    """The hash of the log at its end, starting from a witness that it agrees with.

    Reads the block of `known` and what came after it. Raises LostTail if the log is shorter than
    `known` or has another history there.
    """
    begin = known.seq - known.seq % BLOCK
    whole = LogHash(begin, known.base)
    agreed = known.seq == begin and known.digest == known.base
    for hashes in _hash_pages(connection, begin):
        ahead = known.seq - whole.seq
        if 0 < ahead <= len(hashes):
            whole.add(hashes[:ahead])
            agreed = whole.digest() == known.digest
            hashes = hashes[ahead:]  # noqa: PLW2901  the rest of the page
        whole.add(hashes)
    if (gone := known.seq - whole.seq) > 0:
        raise LostTail(
            f"the log ends at event {whole.seq}, but {known.seq} were committed once: "
            f"{count_of(gone, 'event')} {are(gone)} gone "
            "(a deleted log.db-wal, a cut file or an older copy)",
            hint=_ACCEPT,
        )
    if not agreed:
        raise LostTail(
            f"the log is not the one its head was written for: they differ at event {known.seq} "
            "(another copy of the log was put in its place)",
            hint=_ACCEPT,
        )
    return whole


def _hash_pages(connection: sqlite3.Connection, after: int) -> Iterator[list[bytes]]:
    rows = connection.execute("SELECT hash FROM events WHERE seq > ? ORDER BY seq", (after,))
    while page := rows.fetchmany(4096):
        yield [row[0] for row in page]


def _check(body: bytes) -> bytes:
    return blake2b(body, digest_size=_CHECK_BYTES).digest()
