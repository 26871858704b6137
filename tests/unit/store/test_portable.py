"""An exported run is a file that can be read where it is, and imported only if it is whole."""

from __future__ import annotations

import random
import sqlite3
import stat

import attrs
import pytest
from store_rig import add_run

from durable_wf.core.circuit import Outcome, What
from durable_wf.core.store_events import RunImported
from durable_wf.errors import (
    CallerError,
    DurableWorkflowError,
    NotFound,
    PayloadMissing,
    RunConflict,
    UnsafeStore,
    VerificationFailed,
    WrongState,
)
from durable_wf.store.check import check
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, path_of
from durable_wf.store.port import Batch, Beat
from durable_wf.store.portable import export_run, import_run
from durable_wf.store.verify import verify

MIDDLE, LARGE = b"m" * 2_000, b"l" * 70_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    add_run(store, "other", ["7"])
    add_run(store, "mine", ["1", MIDDLE, LARGE], by_value=b"function")
    yield store
    store.close()


@pytest.fixture
def other(tmp_path):
    other = open_store(tmp_path / "other", create=True)
    add_run(other, "here-before", ["9"])
    yield other
    other.close()


@pytest.fixture
def file(store, tmp_path):
    return export_run(store, "mine", tmp_path / "mine.run")


def events_of(store, run_id):
    run = store.log.row(run_id).run
    return [(s.n, s.at, s.kind, s.task, s.attempt, s.body, s.hash) for s in store.log.stored(run)]


def imports_in(store):
    return [one.event for one in store.log.history(0) if isinstance(one.event, RunImported)]


def test_an_exported_file_is_read_like_a_store(store, file) -> None:
    exported = open_store(file, readonly=True)
    (row,) = exported.log.rows()
    assert (row.run_id, row.imported) == ("mine", True)
    assert events_of(exported, "mine") == events_of(store, "mine")
    for data in (MIDDLE, LARGE, b"function"):
        assert exported.log.payload(digest_of(data)) == data
    assert check(exported) == []
    assert verify(exported).sound
    exported.close()


def test_an_exported_file_is_private_and_stands_alone(file) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.glob("*mine.run*")] == ["mine.run"]
    exported = open_store(file, readonly=True)
    exported.log.rows()
    exported.close()
    assert [path.name for path in file.parent.glob("*mine.run*")] == ["mine.run"]


def test_an_exported_file_is_never_written(file) -> None:
    with pytest.raises(WrongState, match="cannot be written|not written"):
        open_store(file)


def test_an_imported_run_is_the_same_and_marked(store, other, file) -> None:
    assert import_run(other, file) == "mine"
    row = other.log.row("mine")
    assert row.imported
    assert events_of(other, "mine") == events_of(store, "mine")
    assert other.log.payload(digest_of(MIDDLE)) == MIDDLE
    assert path_of(other.folder.payloads, digest_of(LARGE)).is_file()
    assert check(other) == []


def test_the_log_says_of_an_imported_run_that_it_is_one(store, other, file) -> None:
    """Hashed with the rest of it, in the commit of the run's own events."""
    import_run(other, file, "ann@host")
    run = other.log.row("mine").run
    (event,) = imports_in(other)
    count = len(events_of(store, "mine"))
    assert attrs.evolve(event, source="") == RunImported("ann@host", "mine", count)
    assert other.log.came_from_elsewhere(run)
    assert not other.log.came_from_elsewhere(other.log.row("here-before").run)
    assert not store.log.came_from_elsewhere(store.log.row("mine").run)


def test_two_runs_of_one_store_are_said_to_come_from_the_same(store, other, tmp_path) -> None:
    """And those of another one from another."""
    third = open_store(tmp_path / "third", create=True)
    add_run(third, "third", ["7"])
    for origin, run_id in ((store, "mine"), (store, "other"), (third, "third")):
        import_run(other, export_run(origin, run_id, tmp_path / f"{run_id}.run"))
    third.close()
    mine, others, thirds = (event.source for event in imports_in(other))
    assert mine == others != thirds
    assert mine not in {"", store.id}


def test_an_imported_run_can_be_exported_again(other, file, tmp_path) -> None:
    import_run(other, file)
    again = open_store(export_run(other, "mine", tmp_path / "again.run"), readonly=True)
    assert check(again) == []
    again.close()


def test_an_unfinished_run_travels_too(store, other, tmp_path) -> None:
    add_run(store, "half", ["1", "2"], finished=False)
    import_run(other, export_run(store, "half", tmp_path / "half.run"))
    assert check(other) == []


def test_what_stands_beside_the_log_stays_at_home(store, other, tmp_path) -> None:
    """Outcomes are about a service as this store has met it; no hash proves either table."""
    add_run(store, "half", finished=False)
    run = store.log.row("half").run
    store.log.append(
        Batch(
            outcomes=[Outcome("k", 5, What.FAILED, "half/t2/1")],
            beats=[Beat(run, "t2", 1, 5, "1")],
        )
    )
    reader = open_store(export_run(store, "half", tmp_path / "half.dwf"), readonly=True)
    assert reader.log.breakers() == []
    assert reader.log.beats(1) == {}
    reader.close()
    import_run(other, tmp_path / "half.dwf")
    assert other.log.breakers() == []


def test_an_id_that_is_taken_is_refused(store, file) -> None:
    with pytest.raises(RunConflict, match="has a run 'mine' already") as caught:
        import_run(store, file)
    assert "--store" in (caught.value.hint or "")


def test_an_unknown_run_and_an_existing_file_are_refused(store, file) -> None:
    with pytest.raises(NotFound):
        export_run(store, "nobody", file.with_name("x"))
    with pytest.raises(CallerError, match="exists already"):
        export_run(store, "other", file)


def test_a_damaged_run_is_not_exported(store, tmp_path) -> None:
    with store.log.transaction() as connection:
        connection.execute("UPDATE events SET at = at + 1 WHERE run = 2 AND n = 3")
    with pytest.raises(VerificationFailed, match="event 3"):
        export_run(store, "mine", tmp_path / "x.run")
    path_of(store.folder.payloads, digest_of(LARGE)).unlink()
    with store.log.transaction() as connection:
        connection.execute("UPDATE events SET at = at - 1 WHERE run = 2 AND n = 3")
    with pytest.raises(PayloadMissing):
        export_run(store, "mine", tmp_path / "x.run")
    assert not (tmp_path / "x.run").exists()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE events SET body = '{}' WHERE n = 5", VerificationFailed),
        ("DELETE FROM events WHERE n = 10", VerificationFailed),
        ("DELETE FROM events", VerificationFailed),
        ("UPDATE runs SET run_id = 'forged'", VerificationFailed),
        ("DELETE FROM meta WHERE key = 'head'", VerificationFailed),
        ("DELETE FROM payloads WHERE length(data) = 2000", PayloadMissing),
        ("UPDATE payloads SET data = x'00' WHERE length(data) = 70000", PayloadMissing),
        ("UPDATE payloads SET data = x'00' WHERE length(data) < 100", PayloadMissing),
        ("DELETE FROM runs", CallerError),
        ("CREATE TRIGGER t AFTER INSERT ON runs BEGIN SELECT 1; END", UnsafeStore),
        ("CREATE TABLE more (x)", UnsafeStore),
        ("PRAGMA application_id = 5", UnsafeStore),
    ],
)
def test_a_damaged_or_foreign_file_is_refused_before_anything_is_written(
    other, file, statement: str, expected: type[Exception]
) -> None:
    db = sqlite3.connect(file)
    db.execute(statement)
    db.commit()
    db.close()
    before = list(other.folder.path.rglob("*")), other.log.rows(), other.log.version()
    with pytest.raises(expected):
        import_run(other, file)
    assert (list(other.folder.path.rglob("*")), other.log.rows(), other.log.version()) == before
    assert check(other) == []


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + bytes(90)])
def test_a_file_that_is_no_database_is_refused(other, tmp_path, content: bytes) -> None:
    file = tmp_path / "junk"
    file.write_bytes(content)
    with pytest.raises(DurableWorkflowError):
        import_run(other, file)
    assert file.read_bytes() == content
    assert len(other.log.rows()) == 1


def test_no_flipped_bit_gets_into_another_store(file) -> None:
    """100 single flips: refused, or harmless: what was imported is what was exported."""
    original = file.read_bytes()
    whole = open_store(file, readonly=True)
    right = events_of(whole, "mine")
    whole.close()
    rng = random.Random(5)
    refused = harmless = 0
    target = open_store(file.with_name("target-0"), create=True)
    for k in range(100):
        data = bytearray(original)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        flipped = file.with_name(f"flip{k}.run")
        flipped.write_bytes(data)
        try:
            import_run(target, flipped)
        except DurableWorkflowError:
            refused += 1
            assert target.log.rows() == []
        else:
            harmless += 1
            assert events_of(target, "mine") == right
            assert check(target) == []
            target.close()
            target = open_store(file.with_name(f"target-{harmless}"), create=True)
    target.close()
    print(f"\n[counts] flipped exports: refused {refused}, harmless {harmless}")
    assert refused > 30
