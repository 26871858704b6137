"""The check finds what is wrong, wherever it is, and says nothing about what is right."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from histories_of import CLAIMED, CREATED, RELEASED, STARTED
from loop_rig import put
from store_rig import add_run

from durable_wf.core import events as e
from durable_wf.core.circuit import Outcome, What
from durable_wf.store import connection as connections
from durable_wf.store import head
from durable_wf.store.check import Area, Finding, check, check_folder
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, path_of
from durable_wf.store.port import Batch, Beat
from durable_wf.store.portable import export_run, import_run

MIDDLE, LARGE = b"m" * 2_000, b"l" * 70_000


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    add_run(store, "whole", ["1", MIDDLE, LARGE])
    add_run(store, "open", ["1", "2"], finished=False, by_value=b"function")
    yield store
    store.close()


def change(store, *statements: str) -> None:
    with store.log.transaction() as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_sound_store_has_no_findings(store) -> None:
    assert check(store) == []
    reader = open_store(store.folder.path, readonly=True)
    assert check(reader) == []
    reader.close()


@pytest.mark.parametrize(
    ("statement", "area", "run_id", "words"),
    [
        ("UPDATE runs SET succeeded = 2 WHERE run = 1", Area.READ_MODEL, "whole", "counts"),
        ("UPDATE runs SET status = 'failed' WHERE run = 2", Area.READ_MODEL, "open", "status"),
        ("UPDATE runs SET engine = 'e-0' WHERE run = 1", Area.READ_MODEL, "whole", "engine"),
        ("UPDATE events SET at = 5 WHERE run = 1 AND n = 2", Area.LOG, "whole", "event 2"),
        ("DELETE FROM events WHERE run = 2 AND n = 4", Area.LOG, "open", "event 4"),
        (
            "UPDATE events SET kind = 'Unheard' WHERE run = 2 AND n = 4",
            Area.HISTORY, "open", "Unheard",
        ),
        (
            "UPDATE events SET attempt = 2 WHERE run = 1 AND n = 5",
            Area.HISTORY, "whole", "cannot stand here",
        ),
        ("DELETE FROM payloads", Area.PAYLOAD, "whole", "definition"),
    ],
)  # fmt: skip
def test_each_kind_of_damage_is_found(store, statement, area, run_id, words) -> None:
    change(store, statement)
    found = [one for one in check(store) if (one.area, one.run_id) == (area, run_id)]
    assert any(words in str(one) for one in found), check(store)


@pytest.fixture
def with_import(store, tmp_path):
    """A store with a run from elsewhere, unfinished as it was there."""
    elsewhere = open_store(tmp_path / "elsewhere", create=True)
    add_run(elsewhere, "guest", ["1", "2"], finished=False, engine="e-99999999")
    file = export_run(elsewhere, "guest", tmp_path / "guest.dwf")
    elsewhere.close()
    import_run(store, file)
    return store


def without_the_event(store) -> None:
    """The store as a durable_wf left it that wrote nothing of an import but the run itself."""
    change(store, "DELETE FROM events WHERE kind = 'RunImported'")
    with closing(connections.open_reader(store.folder.db)) as connection:
        end = head.compute(connection)
    with closing(head.HeadFile(store.folder.head)) as slot:
        slot.write(end.seq, end.digest, end.base)


def test_an_imported_run_is_sound(with_import) -> None:
    assert check(with_import) == []


@pytest.mark.parametrize(("run_id", "imported"), [("guest", 0), ("whole", 1)])
@pytest.mark.parametrize("older", [False, True])
def test_the_mark_of_a_run_that_came_from_elsewhere_is_proved(
    with_import, run_id, imported, older
) -> None:
    """By what the log says of the import; of stores that say nothing of it, by who made the run."""
    if older:
        without_the_event(with_import)
        assert check(with_import) == []
    change(with_import, f"UPDATE runs SET imported = {imported} WHERE run_id = '{run_id}'")
    (finding,) = check(with_import)
    assert (finding.area, finding.run_id) == (Area.READ_MODEL, run_id)
    assert finding.what == f"imported is {imported == 1}; its events give {imported == 0}"


def test_a_run_that_is_due_at_once_may_be_written_by_its_timers_alone(store) -> None:
    """As stores of before have it; any other time is wrong."""
    begun = e.EngineStarted(CLAIMED.engine, 77, "host", "0.1.0")
    row, _ = put(store.log, CREATED, CLAIMED, STARTED, RELEASED, run_id="left", said=[begun])
    assert row.wake_at is not None
    assert check(store) == []
    change(store, "UPDATE runs SET wake_at = NULL WHERE run_id = 'left'")
    assert check(store) == []
    change(store, "UPDATE runs SET wake_at = 5 WHERE run_id = 'left'")
    assert ["wake_at is 5" in str(one) for one in check(store)] == [True]


def test_rows_beside_the_log_that_an_engine_writes_are_sound(store) -> None:
    run = store.log.row("open").run
    outcomes = [Outcome("k", 5, what, "whole/t1/1") for what in What]
    outcomes += [Outcome("k", 6, What.RESET, "")]
    store.log.append(Batch(outcomes=outcomes, beats=[Beat(run, "t1", 1, 5, "1")]))
    assert check(store) == []


@pytest.mark.parametrize(
    ("statement", "area", "words"),
    [
        ("INSERT INTO outcomes VALUES ('k', 1, 5, 'odd', 'whole/t1/1', 0)", Area.OUTCOME, "'odd'"),
        (
            "INSERT INTO outcomes VALUES ('k', 1, 5, 'ok', 'gone/t1/1', 0)",
            Area.OUTCOME,
            "'gone/t1/1'",
        ),
        ("INSERT INTO outcomes VALUES ('k', 1, 5, 'ok', 'x', 0)", Area.OUTCOME, "not there"),
        ("INSERT INTO outcomes VALUES ('k', 1, 5, 'closed', '', 0)", Area.OUTCOME, "not there"),
        ("INSERT INTO beats VALUES (1, 't1', 1, 5, '1')", Area.BEAT, "which is over"),
        ("INSERT INTO beats VALUES (9, 't1', 1, 5, '1')", Area.BEAT, "run 9"),
        ("INSERT INTO beats VALUES (2, 't1', 2, 5, '1')", Area.BEAT, "attempt 2, which never"),
    ],
)
def test_rows_beside_the_log_that_no_engine_writes_are_found(store, statement, area, words) -> None:
    change(store, statement)
    (finding,) = check(store)
    assert finding.area is area
    assert words in finding.what


@pytest.mark.parametrize(
    ("digest", "words"),
    [
        (digest_of(MIDDLE), "the result of task 't1'"),
        (digest_of(b"function"), "the function of task 't0'"),
    ],
)
def test_a_missing_row_names_the_task_that_needs_it(store, digest: str, words: str) -> None:
    change(store, f"DELETE FROM payloads WHERE digest = '{digest}'")
    (finding,) = check(store)
    assert finding.area is Area.PAYLOAD
    assert words in finding.what


@pytest.mark.parametrize("damage", [None, b"", b"l" * 69_999, b"x" * 70_000])
def test_a_missing_or_damaged_file_names_the_task_that_needs_it(store, damage) -> None:
    path = path_of(store.folder.payloads, digest_of(LARGE))
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    (finding,) = check(store)
    assert (finding.area, finding.run_id) == (Area.PAYLOAD, "whole")
    assert "the result of task 't2'" in finding.what


def test_a_foreign_trigger_is_found(store) -> None:
    store.close()
    db = sqlite3.connect(store.folder.db)
    db.execute("CREATE TRIGGER evil AFTER INSERT ON events BEGIN DELETE FROM runs; END")
    db.commit()
    db.close()
    assert [one.area for one in check_folder(store.folder)] == [Area.SCHEMA]


def test_a_file_that_is_no_database_is_one_clear_finding(store) -> None:
    store.close()
    store.folder.db.write_bytes(b"not a database" * 1000)
    findings = check_folder(store.folder)
    assert findings[0].area is Area.DATABASE
    assert "not a database" in findings[0].what


def test_a_finding_reads_as_a_line() -> None:
    assert str(Finding(Area.LOG, "", "cut")) == "log: cut"
    assert str(Finding(Area.READ_MODEL, "r", "n is 3")) == "read model: run r: n is 3"
