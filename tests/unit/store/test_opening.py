"""Opening a store: new, clean, after a crash, behind its head, read-only."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conformance.batches import batch, create, extend
from store_rig import as_nobody

from durable_wf.core.events import EngineStopped
from durable_wf.errors import DiskFull, LostTail, NotFound, StoreError
from durable_wf.store import head, opening
from durable_wf.store.opening import accept_loss, open_store
from durable_wf.store.port import Batch

CRASH = """
import os, sys
sys.path.insert(0, sys.argv[2])
from conformance.batches import batch, create
from durable_wf.store.opening import open_store
store = open_store(sys.argv[1])
store.log.append(batch(*(create(f"r{k}") for k in range(2, 5))))
os._exit(0)
"""


@pytest.fixture
def store(tmp_path):
    """A store with one run, closed in order."""
    opened = open_store(tmp_path / "s", create=True)
    opened.log.append(batch(create("r1", count=5)))
    opened.close()
    return tmp_path / "s"


def crash(store):
    """Another process appends three runs to the store and dies without closing it."""
    tests = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", CRASH, str(store), str(tests)], check=True, timeout=30)


def run_ids(store, **options):
    opened = open_store(store, **options)
    try:
        return [one.run_id for one in opened.log.rows()]
    finally:
        opened.close()


def test_no_store_is_not_found_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (None, tmp_path / "s"):
        with pytest.raises(NotFound, match="no store"):
            open_store(path)
    with pytest.raises(NotFound):
        open_store(tmp_path / "s", create=True, readonly=True)
    assert os.listdir(tmp_path) == []


def test_without_a_name_a_store_is_made_here_and_found_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_store(create=True).close()
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    opened = open_store()
    assert opened.folder.path == tmp_path / ".durable-wf"
    opened.close()


@pytest.mark.parametrize("readonly", [False, True])
def test_a_full_disk_on_which_a_store_cannot_even_be_read_is_told(store, monkeypatch, readonly):
    """Whoever opens the log first makes its -shm, and there is no room for that."""
    found = sqlite3.OperationalError("disk I/O error")
    found.sqlite_errorname = "SQLITE_IOERR_SHMSIZE"

    def full(*_, **__):
        raise found

    monkeypatch.setattr(opening.connections, "open_reader", full)
    monkeypatch.setattr(opening.connections, "open_writer", full)
    with pytest.raises(DiskFull, match="no space is left"):
        open_store(store, readonly=readonly)
    found.sqlite_errorname = "SQLITE_IOERR_READ"
    with pytest.raises(StoreError, match="disk I/O error") as told:
        open_store(store, readonly=readonly)
    assert type(told.value) is StoreError, "the control"


def test_a_store_keeps_its_id_and_two_stores_have_two(tmp_path, store):
    first, again = open_store(store), open_store(store)
    other = open_store(tmp_path / "t", create=True)
    assert first.id == again.id != other.id
    for one in (first, again, other):
        one.close()
        one.close()


def test_what_a_crash_left_in_the_wal_is_there_and_folded_in_by_the_next_writer(store):
    crash(store)
    assert (store / "log.db-wal").stat().st_size > 0
    assert run_ids(store, readonly=True) == ["r4", "r3", "r2", "r1"]
    opened = open_store(store)
    assert (store / "log.db-wal").stat().st_size == 0
    assert len(opened.log.rows()) == 4
    opened.close()


def test_a_head_that_lags_behind_the_log_is_brought_up(store):
    before = (store / "head").read_bytes()
    crash(store)
    (store / "head").write_bytes(before)
    open_store(store).close()
    witness = head.read(store / "head")
    assert witness.seq == 11
    opened = open_store(store)
    assert head.compute(opened.log._connection) == witness
    opened.close()


def test_a_deleted_wal_is_a_lost_tail_that_can_be_read_but_not_written(store):
    crash(store)
    for name in ("log.db-wal", "log.db-shm"):
        (store / name).unlink()
    with pytest.raises(LostTail, match="ends at event 5, but 11") as caught:
        open_store(store)
    assert "accept-loss" in str(caught.value)
    assert run_ids(store, readonly=True) == ["r1"]


def test_another_copy_of_the_log_is_a_lost_tail_even_if_it_is_longer(tmp_path, store):
    shutil.copytree(store, tmp_path / "copy")
    for place, text in ((store, "here"), (tmp_path / "copy", "there")):
        opened = open_store(place)
        opened.log.append(batch(extend(1, "r1", 5, text=text)))
        opened.log.append(batch(create("more")) if text == "there" else Batch())
        opened.close()
    shutil.copy(tmp_path / "copy" / "log.db", store / "log.db")
    with pytest.raises(LostTail, match="not the one its head was written for"):
        open_store(store)
    open_store(tmp_path / "copy").close()


@pytest.mark.parametrize("content", [b"x" * 64, b"dwfhead1", b"\0" * 56])
def test_a_damaged_head_is_a_lost_tail(store, content):
    (store / "head").write_bytes(content)
    with pytest.raises(LostTail, match="damaged"):
        open_store(store)
    assert accept_loss(store) == 6


def test_a_missing_head_of_a_log_with_events_is_a_lost_tail(store):
    (store / "head").unlink()
    with pytest.raises(LostTail, match="missing"):
        open_store(store)
    accept_loss(store)
    assert run_ids(store) == ["r1"]


def test_an_accepted_loss_is_written_down_and_the_store_goes_on(store):
    crash(store)
    for name in ("log.db-wal", "log.db-shm"):
        (store / name).unlink()
    assert accept_loss(store) == 6
    opened = open_store(store)
    (recorded,) = opened.log.history(0)
    assert "the log ends at event 5, its head was at event 11" in recorded.event.what
    assert not opened.log.append(batch(extend(1, "r1", 5))).conflicts
    opened.close()
    assert run_ids(store) == ["r1"]


@pytest.fixture
def open_place():
    """A folder that any user can reach."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    yield place
    shutil.rmtree(place)


def test_a_clean_store_in_a_read_only_folder_can_be_read(store, open_place):
    shutil.copytree(store, open_place / "s")
    assert not (open_place / "s" / "log.db-wal").exists()
    assert as_nobody(open_place / "s", lambda: 0 if _ids(open_place / "s") == ["r1"] else 1) == 0


def test_a_crashed_store_in_a_read_only_folder_says_what_to_do(store, open_place):
    crash(store)
    shutil.copytree(store, open_place / "s")
    (open_place / "s" / "log.db-shm").unlink()

    def action():
        try:
            _ids(open_place / "s")
        except StoreError as error:
            return 0 if "copy the whole folder" in str(error) else 2
        return 3

    assert as_nobody(open_place / "s", action) == 0


def _ids(store):
    return run_ids(store, readonly=True)


def test_a_reader_does_not_keep_a_writer_from_cutting_the_wal(store):
    writer, reader = open_store(store), open_store(store, readonly=True)
    iterator = reader.log.history(1)
    next(iterator)
    writer.log.append(Batch(store_events=[(1, EngineStopped("e"))]))
    busy, *_ = writer.log._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0
    assert len(list(iterator)) == 4
    reader.close()
    writer.close()


def test_the_settings_that_promises_rest_on_hold(store):
    opened = open_store(store)

    def setting(name):
        return opened.log._connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert setting("journal_mode") == "wal"
    assert setting("synchronous") == 2
    assert setting("trusted_schema") == 0
    assert setting("cell_size_check") == 1
    assert setting("mmap_size") == 0
    opened.close()
    reader = open_store(store, readonly=True)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.log._connection.execute("DELETE FROM events")
    reader.close()
