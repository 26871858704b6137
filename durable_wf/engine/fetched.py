"""Fetched: payloads that downstream will probably ask for next.

Owns: a few megabytes of payloads that were just committed.
Must never: be the only place of anything; what is not here is read from the log.
Read next: `loop.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from durable_wf.store.port import Log

_CACHED_BYTES = 8 << 20


class Fetched:
    """Payloads by digest, the oldest forgotten first."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def remember(self, payloads: Mapping[str, bytes]) -> None:
        """Keep these for a while."""
        for digest, data in payloads.items():
            if digest not in self._kept:
                self._kept[digest] = data
                self._size += len(data)
        while self._size > _CACHED_BYTES:
            _, data = self._kept.popitem(last=False)
            self._size -= len(data)

    def get(self, digest: str) -> bytes:
        """The bytes of a payload. Raises PayloadMissing."""
        data = self._kept.get(digest)
        return self._log.payload(digest) if data is None else data
