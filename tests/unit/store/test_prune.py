"""Pruning deletes what nothing names, is old, and belongs to nobody alive; nothing else."""

from __future__ import annotations

import os
import threading
import time

import pytest
from store_rig import add_run

from durable_wf.core.events import Pruned
from durable_wf.errors import CallerError
from durable_wf.store import locks
from durable_wf.store.check import check
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import (
    digest_of,
    has_file,
    path_of,
    read_file,
    write_file,
    write_kept,
)
from durable_wf.store.port import Batch
from durable_wf.store.prune import prune

GARBAGE = b"g" * 70_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    add_run(
        store, "one", ["1", b"m" * 2_000, b"l" * 70_000],
        by_value=b"function", output="w-12345678-0.log",
    )  # fmt: skip
    (store.folder.output / "w-12345678-0.log").write_bytes(b"hello")
    yield store
    store.close()


def age(path, seconds: float = 100_000) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def age_everything(store) -> None:
    for path in [*store.folder.payloads.rglob("*"), *store.folder.output.rglob("*")]:
        age(path)
    with store.log.transaction() as connection:
        connection.execute("UPDATE payloads SET at = at - 100000000000")


def add_garbage(store) -> list:
    write_file(store.folder.payloads, GARBAGE, "json")
    store.log.append(Batch(payloads=[(digest_of(b"row"), b"row")]))
    kept = store.folder.output / write_kept(store.folder.output, b"pickle")
    spool = store.folder.output / "w-99999999-1.log"
    spool.write_bytes(b"old output")
    leftover = store.folder.payloads / digest_of(GARBAGE)[:2] / ".tmp-1-abc"
    leftover.write_bytes(b"half")
    return [path_of(store.folder.payloads, digest_of(GARBAGE)), kept, spool, leftover]


def test_garbage_goes_and_what_is_named_stays(store) -> None:
    files = add_garbage(store)
    age_everything(store)
    done = prune(store, "ann")
    assert [path for path in files if path.exists()] == []
    assert not store.log.has_payload(digest_of(b"row"))
    size = len(GARBAGE) + len(b"row") + len(b"pickle") + len(b"old output") + len(b"half")
    assert done == Pruned(actor="ann", files=4, rows=1, size=size)
    assert check(store) == []
    assert (store.folder.output / "w-12345678-0.log").read_bytes() == b"hello"
    assert [recorded.event for recorded in store.log.history(0)][-1] == done


def test_what_is_young_stays(store) -> None:
    files = add_garbage(store)
    assert prune(store) == Pruned("", 0, 0, 0)
    assert all(path.exists() for path in files)
    assert store.log.has_payload(digest_of(b"row"))
    assert list(store.log.history(0)) == []


def test_output_of_a_living_worker_stays(store) -> None:
    held = locks.create(store.folder.locks, "w-99999999-1")
    files = add_garbage(store)
    age_everything(store)
    prune(store)
    assert (store.folder.output / "w-99999999-1.log").exists()
    held.release()
    prune(store)
    assert not [path for path in files if path.exists()]


def test_a_file_written_again_is_young_again(store) -> None:
    ref = write_file(store.folder.payloads, GARBAGE, "json")
    age(path_of(store.folder.payloads, ref.digest))
    write_file(store.folder.payloads, GARBAGE, "json")
    prune(store)
    assert has_file(store.folder.payloads, ref.digest)


def test_a_file_is_not_pruned_under_its_writer(store) -> None:
    """A writer that finds its old file there, and a pruner, at the same time, many times."""
    done = threading.Event()
    lost = []

    def write() -> None:
        while not done.is_set():
            ref = write_file(store.folder.payloads, GARBAGE, "json")
            try:
                read_file(store.folder.payloads, ref.digest)
            except Exception as error:
                lost.append(error)
            path = path_of(store.folder.payloads, ref.digest)
            age(path)  # from here on it may go

    thread = threading.Thread(target=write)
    thread.start()
    deadline = time.monotonic() + 20
    pruned = 0
    while pruned < 3 and time.monotonic() < deadline:
        pruned += prune(store).files
    done.set()
    thread.join(timeout=30)
    assert lost == []
    assert pruned >= 3


def test_a_store_that_cannot_be_written_is_not_pruned(store) -> None:
    files = add_garbage(store)
    age_everything(store)
    reader = open_store(store.folder.path, readonly=True)
    with pytest.raises(CallerError):
        prune(reader)
    assert all(path.exists() for path in files)
    reader.close()
