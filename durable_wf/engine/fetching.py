"""Fetching: payloads on their way from the task that made them to those that ask for them.

Owns: a few megabytes of table payloads, the newest ones, so that a fan-out reads its input once.
Must never: keep what only a file holds; workers read files themselves.
Read next: `loop.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from durable_wf.store.port import Log

CACHED_BYTES = 8 << 20


class PayloadCache:
    """Payloads by digest, from memory or else from the log."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def keep(self, payloads: Mapping[str, bytes]) -> None:
        """Remember payloads that were just committed; the oldest make room."""
        for digest, data in payloads.items():
            if digest not in self._kept:
                self._kept[digest] = data
                self._size += len(data)
        while self._size > CACHED_BYTES:
            _, data = self._kept.popitem(last=False)
            self._size -= len(data)

    def fetch(self, digest: str) -> bytes:
        """The bytes of a payload. Raises PayloadMissing."""
        data = self._kept.get(digest)
        if data is None:
            data = self._log.payload(digest)
            self.keep({digest: data})
        return data
