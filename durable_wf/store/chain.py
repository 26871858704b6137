"""The hash chain: what makes a changed, missing or moved event show.

Owns: the hash of an event, which covers the one before it in its run, and the hash of the whole
log, which covers every event's hash in the order of seq.
Must never: read or write anything.
Read next: `head.py`, which keeps the hash of the log outside the log.

The hash of the log is folded in blocks of BLOCK events: the digest at seq s is
blake2b(digest at the last multiple of BLOCK below s + hashes of the events since). So it does not
depend on how events were grouped into commits, and one digest and a few events resume it.
"""

from __future__ import annotations

from hashlib import blake2b

HASH_BYTES = 16
BLOCK = 256
GENESIS = bytes(HASH_BYTES)
"""What stands in for the hash before the first event of a run, and of the log."""


def link(
    previous: bytes,
    run_id: str,
    n: int,
    at: int,
    kind: str,
    task: str,
    attempt: int,
    body: str,
) -> bytes:
    """The hash of an event. `run_id` is the public id of its run, "" for the store's own stream.

    None of the parts but the last can hold a NUL, so no two events give the same text.
    """
    text = f"{run_id}\0{n}\0{at}\0{kind}\0{task}\0{attempt}\0{body}"
    return blake2b(previous + text.encode(), digest_size=HASH_BYTES).digest()


class LogHash:
    """The hash of the log, carried forward event by event.

    `seq` is the last event it covers, `base` the digest at the start of the block that `seq` is in.
    """

    __slots__ = ("_state", "base", "seq")

    def __init__(self, seq: int = 0, base: bytes = GENESIS) -> None:
        """At the start of a block: `seq` is a multiple of BLOCK and `base` the digest there."""
        self.seq = seq
        self.base = base
        self._state = blake2b(base, digest_size=HASH_BYTES)

    def add(self, hashes: list[bytes]) -> None:
        """Go on with the hashes of the events that follow `seq`."""
        if self.seq % BLOCK + len(hashes) < BLOCK:  # all in one block: nearly always in small runs
            self._state.update(b"".join(hashes))
            self.seq += len(hashes)
            return
        begin = 0
        while begin < len(hashes):
            room = BLOCK - self.seq % BLOCK
            part = hashes[begin : begin + room]
            self._state.update(b"".join(part))
            self.seq += len(part)
            begin += len(part)
            if self.seq % BLOCK == 0:
                self.base = self._state.digest()
                self._state = blake2b(self.base, digest_size=HASH_BYTES)

    def digest(self) -> bytes:
        """The hash of the log up to `seq`."""
        return self.base if self.seq % BLOCK == 0 else self._state.digest()
