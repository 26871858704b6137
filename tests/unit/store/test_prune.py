"""Pruning deletes what nothing names, is old, and belongs to nobody alive; nothing else."""

from __future__ import annotations

import os
import threading
import time

import pytest
from store_rig import add_run

from durable_wf.core.circuit import Outcome, What
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
    assert not [one for one in store.log.stored(0) if one.kind == "Pruned"]


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


def lock_of_the_dead(store, name: str, *, mark: bool = False):
    held = locks.create(store.folder.locks, name)
    held.release()
    made = [held.path]
    if mark:
        made.append(held.path.with_name(f"{name}.begun"))
        made[-1].write_bytes(b"mark")
    for path in made:
        age(path)
    return made


def test_locks_and_marks_of_the_dead_go(store) -> None:
    """The run `one`, which has ended, names this engine: nobody asks for its worker's mark."""
    gone = lock_of_the_dead(store, "e-12345678")
    gone += lock_of_the_dead(store, "w-12345678-0", mark=True)
    gone += lock_of_the_dead(store, "w-12345678-17", mark=True)
    done = prune(store)
    assert [path.name for path in gone if path.exists()] == []
    assert done.files == len(gone)
    assert (store.folder.locks / "writer").exists()
    assert not locks.is_held(store.folder.locks, "w-12345678-0")


def test_a_mark_whose_lock_went_before_goes_too(store) -> None:
    lock, mark = lock_of_the_dead(store, "w-0badcafe-1", mark=True)
    lock.unlink()
    prune(store)
    assert not mark.exists()


def test_locks_and_marks_that_an_unfinished_run_names_stay(store) -> None:
    """Whoever goes on with it asks the mark what had begun."""
    add_run(store, "two", finished=False)
    kept = lock_of_the_dead(store, "e-12345678")
    kept += lock_of_the_dead(store, "w-12345678-0", mark=True)
    prune(store)
    assert all(path.exists() for path in kept)


def test_locks_of_the_living_stay_with_those_of_their_dead_workers(store) -> None:
    living = locks.create(store.folder.locks, "e-99999999")
    orphan = locks.create(store.folder.locks, "w-88888888-1")
    for held in (living, orphan):
        age(held.path)
    kept = lock_of_the_dead(store, "w-99999999-1", mark=True)
    prune(store)
    assert all(path.exists() for path in (living.path, orphan.path, *kept))
    living.release()
    orphan.release()
    prune(store)
    assert not any(path.exists() for path in (living.path, orphan.path, *kept))


def test_a_lock_that_is_being_made_a_young_one_and_other_files_stay(store) -> None:
    """Between its creation and its lock a file says nothing of its maker's life."""
    empty = store.folder.locks / "e-77777777"
    empty.touch()
    age(empty)
    held = locks.create(store.folder.locks, "e-66666666")
    held.release()
    other = store.folder.locks / "notes.txt"
    other.write_text("of somebody else")
    age(other)
    link = store.folder.locks / "w-55555555-1"
    link.symlink_to(other)
    assert prune(store).files == 0
    assert all(path.exists() for path in (empty, held.path, other, link))


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


# --- breakers that are silent ---------------------------------------------------------------------

DAY_US = 24 * 3600 * 1_000_000


def outcome(key: str, days_ago: float, what: What = What.OK) -> Outcome:
    return Outcome(key, time.time_ns() // 1000 - round(days_ago * DAY_US), what, "one/step/1")


def test_a_breaker_that_was_closed_and_silent_for_long_is_forgotten(store) -> None:
    story = (What.FAILED, What.OPENED, What.PROBE, What.OK, What.CLOSED, What.FAILED)
    rows = [outcome("was open", 40, what) for what in story]
    rows += [outcome("was reset", 35, what) for what in (What.OPENED, What.RESET)]
    rows += [outcome("old", 31), outcome("old", 31, What.FAILED), outcome("young", 29)]
    rows += [outcome("both", 90), outcome("both", 1)]
    store.log.append(Batch(outcomes=rows))
    done = prune(store, "ann", min_age_s=0.0)
    assert store.log.breakers() == ["both", "young"]
    assert len(store.log.outcomes("both")) == 2
    assert done.keys == 3
    assert [recorded.event for recorded in store.log.history(0)][-1] == done
    assert check(store) == []
    assert prune(store, "ann", min_age_s=0.0).keys == 0


@pytest.mark.parametrize(
    "story", [(What.OPENED,), (What.OPENED, What.PROBE, What.FAILED), (What.RESET, What.OPENED)]
)
def test_a_breaker_that_is_not_closed_is_kept_however_silent(store, story) -> None:
    """Forgetting it would let everybody through at once."""
    store.log.append(Batch(outcomes=[outcome("open", 400, what) for what in story]))
    assert prune(store).keys == 0
    assert store.log.breakers() == ["open"]


def test_a_longer_age_that_is_asked_for_holds_for_breakers_too(store) -> None:
    store.log.append(Batch(outcomes=[outcome("old", 50)]))
    assert prune(store, min_age_s=60 * 24 * 3600.0).keys == 0
    assert prune(store, min_age_s=45 * 24 * 3600.0).keys == 1


def test_a_breaker_that_was_forgotten_begins_anew(store) -> None:
    store.log.append(Batch(outcomes=[outcome("pay", 50), outcome("pay", 50)]))
    prune(store)
    store.log.append(Batch(outcomes=[outcome("pay", 0)]))
    assert len(store.log.outcomes("pay")) == 1
