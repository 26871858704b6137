"""The fault harness itself, on bare SQLite: it must tell good settings from bad ones."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import child, power, vfs
from faults.power import Found, Recorder
from faults.scale import show

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN),
]


@pytest.fixture
def root() -> Iterator[Path]:
    """An empty folder in memory where there is one: images are many and small."""
    with power.scratch() as folder:
        yield folder / "live"


def writing(mode: str, steps: int):
    """Sessions of one-row transactions, so that WAL files come and go."""

    def scenario(root: Path, report: Recorder | child.Reporter) -> None:
        rng = random.Random(1)
        db = sqlite3.connect(root / "t.db", isolation_level=None)
        for step in range(steps):
            if step % 9 == 0:
                db.close()
                db = sqlite3.connect(root / "t.db", isolation_level=None)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute(f"PRAGMA synchronous={mode}")
                db.execute("PRAGMA wal_autocheckpoint=6")
                db.execute("CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY, y BLOB) STRICT")
                db.execute("CREATE TABLE IF NOT EXISTS last (x INTEGER) STRICT")
            report.tried(step)
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO t VALUES (?, ?)", (step, rng.randbytes(rng.choice([50, 5000]))))
            db.execute("INSERT INTO last VALUES (?)", (step,))
            db.execute("COMMIT")
            report.acked(step)
        db.close()

    return scenario


def judge(folder: Path, acked: int, tried: int) -> Found:
    try:
        db = sqlite3.connect(folder / "t.db")
        ok = db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        rows = [x for (x,) in db.execute("SELECT x FROM t ORDER BY x")] if tables == 2 else []
        last = [x for (x,) in db.execute("SELECT x FROM last ORDER BY x")] if tables == 2 else []
        db.close()
    except sqlite3.DatabaseError:
        return Found.CORRUPT
    if not ok:
        return Found.CORRUPT
    if rows != list(range(len(rows))) or rows != last or len(rows) > tried + 1:
        return Found.TORN
    return Found.LOST if len(rows) < acked + 1 else Found.SOUND


def cut(root: Path, mode: str, steps: int = 40) -> Counter[Found]:
    root.mkdir()
    entries = power.record(root, writing(mode, steps))
    assert power.replay(root, entries).differs_from(root) == []
    return power.cut_everywhere(root, entries, judge, random_images=2)


def test_full_loses_nothing(root: Path) -> None:
    counts = cut(root, "FULL")
    show("bare SQLite, FULL", counts)
    assert set(counts) == {Found.SOUND}
    assert counts.total() > 500


def test_control_normal_is_caught_losing_acknowledged_rows(root: Path) -> None:
    counts = cut(root, "NORMAL")
    show("bare SQLite, NORMAL", counts)
    assert counts[Found.LOST] > 50
    assert counts[Found.CORRUPT] == counts[Found.TORN] == 0


def test_control_off_is_caught_corrupting(root: Path) -> None:
    counts = cut(root, "OFF")
    show("bare SQLite, OFF", counts)
    assert counts[Found.CORRUPT] > 50
    assert counts[Found.LOST] > 0


def test_control_a_disk_that_ignores_syncs_is_caught(root: Path) -> None:
    root.mkdir()
    entries = power.record(root, writing("FULL", 20))
    deaf = power.deaf_to_syncs(entries, lambda _: True)
    counts = power.cut_everywhere(root, deaf, judge, random_images=2)
    show("bare SQLite, FULL, deaf disk", counts)
    assert counts[Found.LOST] + counts[Found.CORRUPT] > 50


def judge_after(root: Path, death: child.Death) -> Found:
    return judge(root, death.acked, max(death.tried, 0))


def test_kill_at_every_call_loses_nothing(root: Path) -> None:
    counts = Counter(
        judge_after(root, death) for death in child.kill_everywhere(root, writing("FULL", 12))
    )
    show("bare SQLite, killed", counts)
    assert set(counts) == {Found.SOUND}
    assert counts.total() > 60


def test_control_an_acknowledgement_before_the_commit_is_caught(root: Path) -> None:
    def hasty(root: Path, report: child.Reporter) -> None:
        db = sqlite3.connect(root / "t.db", isolation_level=None)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE t (x INTEGER PRIMARY KEY, y BLOB) STRICT")
        db.execute("CREATE TABLE last (x INTEGER) STRICT")
        for step in range(3):
            report.tried(step)
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO t VALUES (?, ?)", (step, b"z"))
            db.execute("INSERT INTO last VALUES (?)", (step,))
            report.acked(step)
            db.execute("COMMIT")

    counts = Counter(judge_after(root, death) for death in child.kill_everywhere(root, hasty))
    show("bare SQLite, killed, acknowledged too early", counts)
    assert counts[Found.LOST] > 0


def test_the_recording_says_when_it_missed_a_change(root: Path) -> None:
    root.mkdir()
    entries = power.record(root, writing("FULL", 3))
    disk = power.replay(root, entries)
    assert disk.differs_from(root) == []
    (root / "behind-its-back").write_bytes(b"x")
    assert disk.differs_from(root) == ["behind-its-back"]


def test_names_are_durable_only_after_their_folder_is_synced(root: Path) -> None:
    """A payload without the sync of its folder is lost; with it, it is there in every image."""

    def scenario(sync_folder: bool):
        def write(root: Path, report: Recorder) -> None:
            report.tried(0)
            fd = os.open(root / "new", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, b"content" * 200)
            os.fsync(fd)
            os.close(fd)
            os.rename(root / "new", root / "named")
            if sync_folder:
                fd = os.open(root, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
            report.acked(0)

        return write

    def named(folder: Path, acked: int, _: int) -> Found:
        there = folder / "named"
        if not there.exists():
            return Found.LOST if acked == 0 else Found.SOUND
        return Found.SOUND if there.read_bytes() == b"content" * 200 else Found.TORN

    for sync_folder in (True, False):
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        entries = power.record(root, scenario(sync_folder))
        counts = power.cut_everywhere(root, entries, named, random_images=20)
        assert (counts[Found.LOST] == 0) is sync_folder
        assert counts[Found.TORN] == 0


def test_an_error_inside_the_hook_is_not_swallowed(root: Path) -> None:
    root.mkdir()

    def broken(_: object) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), vfs.watching(broken):
        sqlite3.connect(root / "t.db").execute("CREATE TABLE t (x)")
