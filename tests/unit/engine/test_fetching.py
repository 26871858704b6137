"""fetching: payloads from memory where they were just made, else from the log."""

from __future__ import annotations

import pytest

from durable_wf.engine import fetching
from durable_wf.engine.fetching import PayloadCache
from durable_wf.errors import PayloadMissing
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch


class CountingLog(MemoryLog):
    """Counts how often payloads are read."""

    reads = 0

    def payload(self, digest):
        self.reads += 1
        return super().payload(digest)


@pytest.fixture
def log():
    log = CountingLog()
    log.append(Batch(payloads=[(name, name.encode() * 4) for name in "abc"]))
    return log


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(fetching, "CACHED_BYTES", 8)


def test_what_was_kept_is_not_read(log):
    cache = PayloadCache(log)
    cache.keep({"a": b"aaaa"})
    assert cache.fetch("a") == b"aaaa"
    assert log.reads == 0


def test_a_fan_out_reads_its_input_once(log):
    cache = PayloadCache(log)
    assert [cache.fetch("a") for _ in range(5)] == [b"aaaa"] * 5
    assert log.reads == 1


def test_the_oldest_makes_room(log, small):
    cache = PayloadCache(log)
    for name in "abc":
        cache.fetch(name)
    assert log.reads == 3
    cache.fetch("b")
    cache.fetch("c")
    assert log.reads == 3
    assert cache.fetch("a") == b"aaaa"
    assert log.reads == 4


def test_keeping_twice_counts_once(log, small):
    cache = PayloadCache(log)
    for _ in range(5):
        cache.keep({"a": b"aaaa", "b": b"bbbb"})
    cache.fetch("a")
    cache.fetch("b")
    assert log.reads == 0


def test_what_is_larger_than_the_cache_is_still_fetched(log, monkeypatch):
    monkeypatch.setattr(fetching, "CACHED_BYTES", 3)
    cache = PayloadCache(log)
    assert [cache.fetch("a"), cache.fetch("a")] == [b"aaaa"] * 2
    assert log.reads == 2


def test_what_is_nowhere_is_missing(log):
    with pytest.raises(PayloadMissing):
        PayloadCache(log).fetch("d")
