"""A store of the first schema: read as it is, brought up to date by who may write to it."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import version_1
from cli_rig import rig_in
from security.evil import everything, forget, written

import durable_wf as wf
from durable_wf.core.circuit import Outcome, What
from durable_wf.core.status import RunStatus
from durable_wf.errors import LostTail, NotTrusted, StoreBusy, UnsafeStore
from durable_wf.store import locks, rows, schema
from durable_wf.store.archive import backup
from durable_wf.store.check import check
from durable_wf.store.opening import accept_loss, open_store
from durable_wf.store.port import Batch, Beat
from durable_wf.store.portable import export_run, import_run
from durable_wf.store.trust import add_trusted, state_folder
from durable_wf.store.verify import verify


@pytest.fixture
def old(tmp_path):
    """A store of version 1 that nobody here knows."""
    folder = version_1.restore(tmp_path / "old")
    if (state_folder() / "stores").exists():
        forget(folder)
    return folder


@pytest.fixture
def own(old):
    """The same as its maker has it."""
    store = open_store(old, readonly=True)
    add_trusted(store.id)
    store.close()
    return old


def version_of(folder):
    with contextlib.closing(sqlite3.connect(folder / "log.db")) as db:
        return db.execute("PRAGMA user_version").fetchone()[0]


def run_ids(store):
    return tuple(row.run_id for row in store.log.rows())


# --- reading --------------------------------------------------------------------------------------


def test_it_is_read_as_it_is_and_stays_as_it_is(own):
    before = everything(own)
    store = open_store(own, readonly=True)
    assert run_ids(store) == version_1.RUNS
    assert store.log.rows(root="done") == store.log.rows(origin="done") == []
    assert store.log.outcomes("k") == store.log.breakers() == []
    assert store.log.beats(1) == {}
    assert check(store) == []
    assert verify(store).sound
    store.close()
    assert version_of(own) == 1
    assert everything(own) == before


def test_one_that_is_not_trusted_is_read_and_says_so_to_who_would_write(old):
    store = open_store(old)
    assert not store.writable
    assert run_ids(store) == version_1.RUNS
    with pytest.raises(NotTrusted, match="--trust"):
        store.log.append(Batch(outcomes=[Outcome("k", 1, What.OK, "done/first/1")]))
    store.close()
    assert version_of(old) == 1
    store = open_store(old, trust=True)
    assert store.writable
    store.close()
    assert version_of(old) == schema.VERSION


@pytest.mark.parametrize(
    "command",
    [["list"], ["show", "killed"], ["events", "done"], ["db", "check"], ["audit", "verify"]],
    ids=" ".join,
)
def test_the_command_line_reads_it(old, command):
    shown = rig_in(old.parent)(*command, "--store", old)
    assert shown.code == 0, shown.err
    assert version_of(old) == 1


def test_what_a_reader_has_open_may_be_brought_up_to_date_by_another(own):
    reader, writer = open_store(own, readonly=True), None
    assert reader.log.breakers() == []
    try:
        writer = open_store(own)
        writer.log.append(Batch(outcomes=[Outcome("k", 1, What.OK, "done/first/1")]))
        assert reader.log.breakers() == ["k"]
        assert run_ids(reader) == version_1.RUNS
    finally:
        reader.close()
        if writer is not None:
            writer.close()


@pytest.mark.parametrize("readonly", [True, False])
def test_anything_foreign_in_it_is_refused_before_it_is_changed(own, readonly):
    with written(own / "log.db") as db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END")
    with pytest.raises(UnsafeStore, match="trigger t is foreign"):
        open_store(own, readonly=readonly)
    assert version_of(own) == 1


# --- bringing it up to date -----------------------------------------------------------------------


def test_it_is_left_alone_while_an_engine_of_that_version_lives(own):
    """Which could make no run any more: it knows nothing of the new columns."""
    engine = locks.create(own / "locks", "e-1")
    with pytest.raises(StoreBusy, match="engine e-1, of an older durable_wf, runs in the store"):
        open_store(own)
    assert version_of(own) == 1
    open_store(own, readonly=True).close()
    engine.release()
    open_store(own).close()
    assert version_of(own) == schema.VERSION


def test_the_first_who_opens_it_for_writing_brings_it_up_to_date(own):
    with contextlib.closing(sqlite3.connect(own / "log.db")) as db:
        before = db.execute("SELECT * FROM events").fetchall()
    store = open_store(own)
    assert version_of(own) == schema.VERSION
    assert run_ids(store) == version_1.RUNS
    assert check(store) == []
    store.log.append(
        Batch(
            outcomes=[Outcome("k", 1, What.OK, "done/first/1")],
            beats=[Beat(store.log.row("killed").run, "second", 1, 5, "1")],
        )
    )
    assert check(store) == []
    store.close()
    with contextlib.closing(sqlite3.connect(own / "log.db")) as db:
        assert db.execute("SELECT * FROM events").fetchall() == before
        fresh = sqlite3.connect(":memory:", isolation_level=None)
        schema.create(fresh, 5)
        tables = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE '%migrations%' ORDER BY 1"
        assert [(n, " ".join((s or "").split())) for n, s in db.execute(tables)] == [
            (n, " ".join((s or "").split())) for n, s in fresh.execute(tables)
        ]


def test_its_runs_go_on(own):
    with wf.WorkflowEngine(own) as engine:
        results = engine.recover(executor_type="sequential", accept_changes=True)
        assert [(one.run_id, one.status) for one in results] == [("killed", RunStatus.SUCCEEDED)]
        assert results[0]["third"] == {"third": 1501}
        resumed = engine.resume("paused", executor_type="sequential", accept_changes=True)
        assert resumed["third"] == {"third": 1501}
        again = engine.run(version_1.workflow(), executor_type="sequential")
        assert again.status is RunStatus.SUCCEEDED
    store = open_store(own)
    kinds = [one.kind for one in store.log.stored(store.log.row("killed").run)]
    assert kinds.count("AttemptSucceeded") == 3
    assert check(store) == []
    store.close()


def test_a_log_behind_its_head_is_left_alone_until_the_loss_is_accepted(own):
    with written(own / "log.db") as db:
        db.execute("DELETE FROM events WHERE run = 4 AND n = 12")
    with pytest.raises(LostTail):
        open_store(own)
    assert version_of(own) == 1
    accept_loss(own)
    store = open_store(own)
    assert (store.writable, version_of(own)) == (True, schema.VERSION)
    store.close()


def test_who_dies_on_the_way_leaves_version_1(own, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    before = everything(own)
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_stamp", fail)
        with pytest.raises(KeyboardInterrupt):
            open_store(own)
    assert version_of(own) == 1
    store = open_store(own, readonly=True)
    assert run_ids(store) == version_1.RUNS
    store.close()
    assert everything(own)["head"] == before["head"]
    open_store(own).close()
    assert version_of(own) == schema.VERSION


KILLED = """
import os, sys
sys.path.insert(0, sys.argv[2])
from durable_wf.store import schema
from durable_wf.store.opening import open_store
before = schema._stamp
def stamp(connection, version):
    if sys.argv[3] == "before":
        os.kill(os.getpid(), 9)
    before(connection, version)
    os.kill(os.getpid(), 9)
schema._stamp = stamp
open_store(sys.argv[1])
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_who_is_killed_on_the_way_leaves_version_1(own, when):
    tests = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", KILLED, str(own), str(tests), when], timeout=30)
    assert ended.returncode == -9
    assert version_of(own) == 1
    store = open_store(own)
    assert (run_ids(store), version_of(own)) == (version_1.RUNS, schema.VERSION)
    assert check(store) == []
    store.close()


def test_several_who_open_it_at_once_bring_it_up_to_date_once(own):
    barrier, problems = threading.Barrier(4), []

    def work():
        barrier.wait()
        try:
            store = open_store(own)
            assert run_ids(store) == version_1.RUNS
            store.close()
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert problems == []
    assert version_of(own) == schema.VERSION


# --- files made from it ---------------------------------------------------------------------------


def test_a_run_can_be_exported_without_changing_the_store_and_imported(own, tmp_path):
    store = open_store(own, readonly=True)
    export_run(store, "done", tmp_path / "done.dwf")
    store.close()
    assert version_of(own) == 1
    target = open_store(tmp_path / "target", create=True)
    assert import_run(target, tmp_path / "done.dwf") == "done"
    target.close()


def test_a_run_that_was_exported_by_the_first_version_is_read_and_imported(tmp_path, own):
    """An exported file is a database of the version that wrote it: here one made by hand."""
    store = open_store(own, readonly=True)
    export_run(store, "done", tmp_path / "done.dwf")
    store.close()
    with written(tmp_path / "done.dwf") as db:
        db.executescript(
            "DROP TABLE outcomes; DROP TABLE beats; DROP INDEX runs_origin; DROP INDEX runs_root;"
            "DROP INDEX runs_live;"
            "DROP VIEW v_tasks; DROP VIEW v_attempts; DROP VIEW v_runs;"
            f"ALTER TABLE runs RENAME TO runs_2; {schema._RUNS_1};"
            f"INSERT INTO runs SELECT {', '.join(rows.COLUMNS[:-3])} FROM runs_2;"
            "DROP TABLE runs_2;"
            + ";".join(schema._OF_VERSION[1][-3:])
            + ";PRAGMA user_version = 1;"
        )
    shown = rig_in(tmp_path)("show", "done", "--store", tmp_path / "done.dwf")
    assert shown.code == 0, shown.err
    target = open_store(tmp_path / "target", create=True)
    assert import_run(target, tmp_path / "done.dwf") == "done"
    target.close()


def test_a_backup_keeps_the_version(old, tmp_path):
    store = open_store(old, readonly=True)
    made = backup(store, tmp_path / "b.tar")
    store.close()
    subprocess.run(["tar", "-xf", made.path, "-C", tmp_path], check=True)
    os.chmod(tmp_path / made.folder, 0o700)
    restored = open_store(tmp_path / made.folder, readonly=True)
    assert run_ids(restored) == version_1.RUNS
    restored.close()
    assert version_of(tmp_path / made.folder) == 1
