"""Results that a run has taken over are its own: kept, copied, checked and carried along."""

from __future__ import annotations

import os
import subprocess
import time

import pytest
from store_rig import add_run

from durable_wf.store.archive import backup
from durable_wf.store.check import check
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, path_of
from durable_wf.store.portable import export_run, import_run
from durable_wf.store.prune import prune

MIDDLE, LARGE = b"m" * 2_000, b"l" * 70_000
RESULTS = ["1", MIDDLE, LARGE]


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    add_run(store, "one", RESULTS)
    add_run(store, "one.2", RESULTS, origin="one")
    yield store
    store.close()


@pytest.fixture
def alone(store, tmp_path):
    """Another store, which has the retry and not what it was made from."""
    export_run(store, "one.2", tmp_path / "one.2.run")
    alone = open_store(tmp_path / "alone", create=True)
    assert import_run(alone, tmp_path / "one.2.run") == "one.2"
    yield alone
    alone.close()


def whole(store):
    return [store.log.payload(digest_of(data)) for data in (MIDDLE, LARGE)] == [MIDDLE, LARGE]


def test_it_names_its_origin_in_the_read_model(store):
    row = store.log.row("one.2")
    assert (row.origin, row.origin_n, row.root, row.chain) == ("one", 0, "one", "one")
    assert store.log.row("one").chain == "one"
    assert check(store) == []


def test_an_exported_run_carries_what_it_has_taken_over(alone):
    assert whole(alone)
    assert check(alone) == []
    row = alone.log.row("one.2")
    assert (row.origin, row.root, row.imported) == ("one", "one", True)
    assert path_of(alone.folder.payloads, digest_of(LARGE)).is_file()


def test_pruning_keeps_it(alone):
    long_ago = time.time() - 100_000
    for path in alone.folder.payloads.rglob("*"):
        os.utime(path, (long_ago, long_ago))
    with alone.log.transaction() as connection:
        connection.execute("UPDATE payloads SET at = 5")
    prune(alone)
    assert whole(alone)


def test_a_backup_holds_it(alone, tmp_path):
    made = backup(alone, tmp_path / "b.tar")
    (tmp_path / "r").mkdir()
    subprocess.run(["tar", "-xf", made.path, "-C", tmp_path / "r"], check=True, timeout=30)
    again = open_store(tmp_path / "r" / made.folder)
    assert whole(again)
    assert check(again) == []
    again.close()


@pytest.mark.parametrize("lost", [MIDDLE, LARGE])
def test_the_check_finds_what_is_missing_of_it(store, lost):
    with store.log.transaction() as connection:
        connection.execute("DELETE FROM payloads WHERE digest = ?", (digest_of(lost),))
    path_of(store.folder.payloads, digest_of(lost)).unlink(missing_ok=True)
    task = "t1" if lost is MIDDLE else "t2"
    assert [(one.run_id, f"result of task {task!r}" in one.what) for one in check(store)] == [
        ("one.2", True), ("one", True),
    ]  # fmt: skip


def test_the_check_finds_an_origin_that_its_events_do_not_have(store):
    with store.log.transaction() as connection:
        connection.execute("UPDATE runs SET root = 'other' WHERE run_id = 'one.2'")
    (finding,) = check(store)
    assert (finding.run_id, finding.what) == (
        "one.2", "root is 'other'; its events give 'one'",
    )  # fmt: skip
