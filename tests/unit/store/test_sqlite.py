"""What SqliteLog does when the disk, other programs or its own history let it down."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress

import attrs
import pytest
from conformance.batches import batch, create, extend

from durable_wf.core.events import AttemptStarted, AttemptSucceeded, Recorded
from durable_wf.errors import (
    DiskFull,
    HistoryError,
    LostTail,
    PayloadMissing,
    StoreBusy,
    StoreFailed,
)
from durable_wf.store import head, payload_files
from durable_wf.store import sqlite as sqlite_module
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch, Verb


class Failing:
    """A connection whose COMMIT raises, before or after it was done."""

    def __init__(self, connection, name, *, after):
        self._connection = connection
        self._name = name
        self._after = after

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, statement, *values):
        if statement != "COMMIT":
            return self._connection.execute(statement, *values)
        if self._after:
            self._connection.execute(statement)
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorname = self._name
        raise error


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_LOOK_S", 0.0)
    opened = open_store(tmp_path / "s", create=True)
    opened.log.append(batch(create("r1")))
    yield opened
    with suppress(StoreFailed):
        opened.close()


def sql(store, *statements):
    """Changes the closed log by hand."""
    connection = sqlite3.connect(store.folder.db, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def numbers(store, run=1):
    return [one.n for one in store.log.stored(run)]


# --- commits that raise -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SQLITE_IOERR_WRITE", "SQLITE_IOERR", "SQLITE_FULL"])
def test_a_commit_that_raised_but_was_done_counts_as_done(store, name):
    store.log._connection = Failing(store.log._connection, name, after=True)
    done = store.log.append(batch(extend(1, "r1", 2), create("r2")))
    assert (done.runs, done.first_seq) == ({"r1": 1, "r2": 2}, {"r1": 3, "r2": 4})
    assert not store.log.append(batch(extend(1, "r1", 3))).conflicts
    assert numbers(store) == [1, 2, 3, 4]
    assert head.read(store.folder.head) == head.compute(store.log._connection)


def test_a_commit_that_raised_and_was_not_done_stops_this_process(store):
    store.log._connection = Failing(store.log._connection, "SQLITE_IOERR", after=False)
    with pytest.raises(StoreFailed):
        store.log.append(batch(extend(1, "r1", 2)))
    for write in (
        lambda: store.log.append(batch(extend(1, "r1", 2))),
        lambda: store.log.post("r1", Verb.CANCEL, "me", "k", 1, "{}"),
    ):
        with pytest.raises(StoreFailed):
            write()
    assert numbers(store) == [1, 2]
    again = open_store(store.folder.path)
    assert not again.log.append(batch(extend(1, "r1", 2))).conflicts
    again.close()


@pytest.mark.parametrize("after", [True, False])
def test_a_failed_sync_stops_this_process_whatever_became_of_the_commit(store, after):
    store.log._connection = Failing(store.log._connection, "SQLITE_IOERR_FSYNC", after=after)
    with pytest.raises(StoreFailed, match="sync"):
        store.log.append(batch(extend(1, "r1", 2)))
    with pytest.raises(StoreFailed):
        store.log.append(batch(extend(1, "r1", 2)))
    again = open_store(store.folder.path)
    assert numbers(again) == ([1, 2, 3] if after else [1, 2])
    again.close()


def test_a_full_disk_loses_nothing_and_the_same_batch_goes_through_later(store):
    pages = store.log._connection.execute("PRAGMA page_count").fetchone()[0]
    store.log._connection.execute(f"PRAGMA max_page_count = {pages}")
    large = batch(extend(1, "r1", 2), payloads=[("a" * 32, bytes(50_000))])
    with pytest.raises(DiskFull):
        store.log.append(large)
    assert numbers(store) == [1, 2]
    assert not store.log.append(large).conflicts
    assert numbers(store) == [1, 2, 3]


def test_an_error_of_ours_inside_a_transaction_writes_nothing(store):
    unsendable = attrs.evolve(create("r2"), row=attrs.evolve(create("r2").row, cause="\ud800"))
    with pytest.raises(UnicodeEncodeError):
        store.log.append(batch(extend(1, "r1", 2), unsendable))
    assert numbers(store) == [1, 2]
    assert not store.log.append(batch(extend(1, "r1", 2))).conflicts


# --- files that change under us (looked at now and then; here, each time) -----------------


def test_a_deleted_wal_is_noticed_at_the_next_commit(store):
    os.unlink(f"{store.folder.db}-wal")
    with pytest.raises(StoreFailed, match="deleted"):
        store.log.append(batch(extend(1, "r1", 2)))


def test_a_wal_deleted_since_the_last_look_is_noticed_at_close(store, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_LOOK_S", 60.0)
    store.log.append(batch(create("r2")))
    os.unlink(f"{store.folder.db}-wal")
    store.log.append(batch(create("r3")))
    with pytest.raises(StoreFailed, match="deleted"):
        store.close()
    store.close()


def test_a_replaced_database_is_noticed_at_the_next_commit(store):
    other = store.folder.path / "other"
    shutil.copy(store.folder.head, other)
    os.rename(store.folder.db, store.folder.path / "moved")
    os.rename(other, store.folder.db)
    with pytest.raises(StoreFailed, match="replaced"):
        store.log.append(batch(extend(1, "r1", 2)))


def test_a_log_cut_by_another_program_is_a_lost_tail(store):
    sql(store, "DELETE FROM events WHERE seq = 2")
    with pytest.raises(LostTail):
        store.log.append(batch(create("r2")))


def test_a_program_that_keeps_the_database_locked_makes_the_store_busy(store):
    store.log._connection.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(store.folder.db, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match="not durable_wf"):
        store.log.append(batch(create("r2")))
    other.execute("ROLLBACK")
    other.close()
    assert not store.log.append(batch(create("r2"))).conflicts


def test_a_long_wal_is_cut_after_a_commit(store, monkeypatch):
    monkeypatch.setattr(sqlite_module, "_LONG_WAL", 50_000)
    wal = store.folder.path / "log.db-wal"
    store.log.append(Batch(payloads=[("a" * 32, bytes(40_000))]))
    sizes = [wal.stat().st_size]
    for n in range(2, 10):
        store.log.append(batch(extend(1, "r1", n)))
        sizes.append(wal.stat().st_size)
    assert max(sizes) > 40_000
    assert min(sizes[1:]) == 0


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE events SET kind = 'Odd' WHERE n = 2", "run r1, event 2: event kind 'Odd'"),
        ("UPDATE events SET body = '{\"x\":1}' WHERE n = 2", "run r1, event 2: the body"),
        ("DELETE FROM events WHERE n = 1", "run r1: event 1 is missing"),
    ],
)
def test_an_unreadable_history_names_its_run_and_event(store, statement, message):
    sql(store, statement)
    with pytest.raises(HistoryError, match=message):
        list(store.log.history(1))


def test_a_damaged_payload_is_not_given_out(store):
    digest = payload_files.digest_of(b"data")
    store.log.append(Batch(payloads=[(digest, b"data")]))
    sql(store, "UPDATE payloads SET data = x'00'")
    with pytest.raises(PayloadMissing, match="damaged"):
        store.log.payload(digest)


def test_a_payload_in_a_file_is_found_like_one_in_the_table(store):
    ref = payload_files.write_file(store.folder.payloads, b"large", "json")
    assert store.log.has_payload(ref.digest)
    assert store.log.payload(ref.digest) == b"large"


def test_a_history_of_many_pages_is_whole(store, monkeypatch):
    count = 2 * sqlite_module._PAGE + 3
    events = [Recorded(2 + k, k, AttemptStarted(f"t{k}", 1, "w-1", 1, 2)) for k in range(1, count)]
    store.log.append(batch(attrs.evolve(extend(1, "r1", 2), events=events)))
    assert list(store.log.history(1, 2)) == events
    assert [one.n for one in store.log.stored(1)] == list(range(1, count + 2))


def test_the_views_for_people_tell_the_story(store):
    events = [
        Recorded(3, 1_000_000, AttemptStarted("t", 1, "w-1", 1, 2)),
        Recorded(4, 3_500_000, AttemptSucceeded("t", 1, "1", 1_200_000, 2_000_000)),
        Recorded(5, 4_000_000, AttemptStarted("u", 1, "w-1", 1, 2)),
    ]
    store.log.append(batch(attrs.evolve(extend(1, "r1", 2), events=events)))
    connection = sqlite3.connect(f"file:{store.folder.db}?mode=ro", uri=True)
    assert connection.execute("SELECT run_id, status, created_at FROM v_runs").fetchall() == [
        ("r1", "running", "1970-01-01T00:00:00.000007Z")
    ]
    assert connection.execute(
        "SELECT task, status, attempts FROM v_tasks ORDER BY 1"
    ).fetchall() == [
        ("t", "succeeded", 1),
        ("u", "running", 1),
    ]
    attempts = "SELECT task, status, ended_at, wall_s FROM v_attempts ORDER BY 1"
    assert connection.execute(attempts).fetchall() == [
        ("t", "succeeded", "1970-01-01T00:00:03.500000Z", 2.0),
        ("u", "running", None, None),
    ]
    connection.close()


def test_transaction_rolls_back_when_its_block_raises(store):
    def fails():
        with store.log.transaction() as connection:
            connection.execute("INSERT INTO payloads VALUES ('a', 1, x'00')")
            raise ValueError

    with pytest.raises(ValueError):
        fails()
    assert not store.log.has_payload("a")
    with store.log.transaction() as connection:
        connection.execute("INSERT INTO payloads VALUES ('a', 1, x'00')")
    assert store.log.has_payload("a")
