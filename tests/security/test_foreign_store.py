"""A store that somebody else made: refused or read, never obeyed, changed or waited for."""

from __future__ import annotations

import os
import random
import signal

import pytest
from cli_rig import rig_in
from security.evil import Texts, everything, forge, written

from durable_wf.cli.stores import is_alive
from durable_wf.engine.view import load_state
from durable_wf.errors import DurableWorkflowError, HistoryError, PayloadMissing, UnsafeStore
from durable_wf.execute.mark import UNKNOWN, read_mark
from durable_wf.store.archive import backup
from durable_wf.store.check import check
from durable_wf.store.head import SLOT_BYTES
from durable_wf.store.locks import create, is_held
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of, has_file, is_whole, path_of, read_file

LOOKING = [
    ["list"], ["list", "--json"], ["show", "forged"], ["show", "forged", "--json"],
    ["events", "forged"], ["events", "forged", "--json"], ["logs", "forged"],
    ["graph", "forged"], ["watch", "forged"], ["db", "check"], ["audit", "verify"],
    ["why", "forged", "t"], ["why", "forged", "t2", "--at", "3", "--json"],
    ["breakers"], ["breakers", "--json"],
]  # fmt: skip

FOREIGN = {
    "trigger": "CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END",
    "trigger on a view": "CREATE TRIGGER t INSTEAD OF INSERT ON v_runs BEGIN SELECT 1; END",
    "view in place of a table": "ALTER TABLE runs RENAME TO r; CREATE VIEW runs AS SELECT * FROM r",
    "view in place of the inbox": "DROP TABLE inbox; CREATE VIEW inbox AS SELECT 1 AS id",
    "another view": "DROP VIEW v_runs; CREATE VIEW v_runs AS SELECT load_extension('x')",
    "generated column": "ALTER TABLE meta ADD COLUMN g TEXT AS (key || value) VIRTUAL",
    "default": "ALTER TABLE meta ADD COLUMN g TEXT DEFAULT 'x'",
    "check": "DROP TABLE leases; CREATE TABLE leases (key TEXT CHECK (random() > 0))",
    "index on an expression": "CREATE INDEX i ON events (length(body))",
    "virtual table": "CREATE VIRTUAL TABLE v USING fts5(x)",
    "foreign table": "CREATE TABLE more (x)",
    "missing table": "DROP TABLE payloads",
    "view in place of outcomes": "DROP TABLE outcomes; CREATE VIEW outcomes AS SELECT 1 AS key",
    "missing beats": "DROP TABLE beats",
}


@pytest.fixture
def folder(tmp_path):
    return forge(tmp_path / "s", Texts())


@pytest.fixture
def in_time():
    """Fail instead of hang."""

    def late(*_):
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(20)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_schema_is_refused_and_the_file_stays_as_it_is(folder, name, trust):
    open_store(folder, readonly=True).close()
    with written(folder / "log.db") as connection:
        connection.executescript(FOREIGN[name])
    before = everything(folder)
    for options in ({}, {"readonly": True}, {"create": True}):
        with pytest.raises(UnsafeStore, match="schema of log.db is not ours"):
            open_store(folder, trust=trust, **options)
    assert everything(folder) == before


def test_schema_entries_that_only_a_hex_editor_can_write_are_refused(folder):
    """A trigger under a name that SQLite keeps for itself."""
    with written(folder / "log.db") as connection:
        connection.executescript(
            "PRAGMA writable_schema = ON; INSERT INTO sqlite_schema VALUES ('trigger', 'sqlite_x', "
            "'events', 0, 'CREATE TRIGGER sqlite_x AFTER INSERT ON events BEGIN SELECT 1; END');"
        )
    with pytest.raises(DurableWorkflowError):
        open_store(folder, trust=True)


@pytest.mark.parametrize("seed", range(24))
def test_a_fuzzed_database_is_refused_or_read_and_never_changed(folder, seed):
    """Random bytes at random places: an error of ours or an answer, and the file is as before."""
    draw = random.Random(seed)
    data = bytearray((folder / "log.db").read_bytes())
    for _ in range(draw.choice([1, 8, 64, 512])):
        data[draw.randrange(0 if seed % 3 else 100, len(data))] = draw.randrange(256)
    if seed % 5 == 0:
        del data[draw.randrange(len(data)) :]
    for name in ("log.db-wal", "log.db-shm"):
        (folder / name).unlink(missing_ok=True)
    (folder / "log.db").write_bytes(data)
    dwf = rig_in(folder.parent)
    codes = {dwf(*command, "--store", folder).code for command in LOOKING}
    assert codes <= {0, 2, 3, 4, 5, 6}, "70 would be an error that nobody thought of"
    assert (folder / "log.db").read_bytes() == data


# --- rows and events that no engine writes --------------------------------------------------------

ROWS = {
    "status": "UPDATE runs SET status = 'x'",
    "tags": "UPDATE runs SET tags = '{'",
    "deep tags": f"UPDATE runs SET tags = '{'[' * 100_000}'",
    "tags of another kind": "UPDATE runs SET tags = '7'",
    "id": "UPDATE runs SET run_id = '../../x'",
    "id that is an option": "UPDATE runs SET run_id = '--help'",
    "id that is a word of ours": "UPDATE runs SET run_id = '@last'",
    "id with a zero": "UPDATE runs SET run_id = 'a' || char(0)",
    "workflow": "UPDATE runs SET workflow = char(27) || '[2J'",
    "far future": f"UPDATE runs SET created_at = {2**62}, started_at = {2**62}",
    "far past": f"UPDATE runs SET created_at = -{2**62}, started_at = -{2**62}",
    "no events": "UPDATE runs SET n = 9223372036854775807",
    "no definition": "UPDATE runs SET definition = '../../../etc/passwd'",
    "body": "UPDATE events SET body = '{'",
    "deep body": f"UPDATE events SET body = '{'[' * 100_000}'",
    "body of another kind": "UPDATE events SET body = '7'",
    "huge number": f"UPDATE events SET body = '{{\"pid\":{'9' * 10_000}}}'",
    "kind": "UPDATE events SET kind = char(27) || '[2J'",
    "task": "UPDATE events SET task = char(27) || '[2J' WHERE task != ''",
    "other task": "UPDATE events SET task = 'unknown' WHERE task != ''",
    "impossible order": "UPDATE events SET kind = 'AttemptStarted', task = 't',"
    ' body = \'{"worker":"w","pid":1,"born":1}\' WHERE n > 3',
    "attempt": "UPDATE events SET attempt = -9223372036854775808",
    "at": f"UPDATE events SET at = {2**62}",
    "n": "UPDATE events SET n = n + 1000000",
    "hash": "UPDATE events SET hash = x''",
    "payload": "UPDATE payloads SET data = x'ff'",
    "no payloads": "DELETE FROM payloads",
    "meta": "DELETE FROM meta",
    "outcome": "INSERT INTO outcomes VALUES (char(27) || '[2J', 1, 0, char(27), char(27), 0)",
    "outcome with texts": "INSERT INTO outcomes VALUES"
    " (char(27) || '[2J', 1, 0, 'failed', char(27) || '[2J/' || char(27) || '/9', 0)",
    "outcome in time": f"INSERT INTO outcomes VALUES ('k', {2**62}, {-(2**62)}, 'failed', '//', 0)",
    "beat": "INSERT INTO beats VALUES (1, 't3', 1, 0, char(27) || '[2J')",
    "beat of nobody": f"INSERT INTO beats VALUES ({2**62}, char(27), {-(2**62)}, {2**62}, '{{')",
    "inbox": "INSERT INTO inbox VALUES (1, 'forged', 'x', '', '', 0, '', NULL, NULL)",
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_no_engine_writes_give_an_error_of_ours(folder, name):
    with written(folder / "log.db") as connection:
        connection.execute(ROWS[name])
    dwf = rig_in(folder.parent)
    for command in LOOKING:
        shown = dwf(*command, "--store", folder)
        assert shown.code in {0, 2, 3, 4, 5, 6}, (command, shown.err)
        assert "\x1b" not in shown.err
    for run_id in ("forged", "@last"):
        assert dwf("export", run_id, folder.parent / f"{run_id}.dwf", "--store", folder).code != 70


def test_names_of_runs_that_no_engine_gives_are_not_read(folder):
    """The control: it is the name that is refused, and by the store, not by the screen."""
    store = open_store(folder, readonly=True)
    assert load_state(store.log, "forged").workflow.name == "w"
    store.close()
    with written(folder / "log.db") as connection:
        connection.execute("UPDATE runs SET run_id = '../x'")
    store = open_store(folder, readonly=True)
    with pytest.raises(HistoryError, match="no engine gives"):
        store.log.rows()
    store.close()


# --- files that are not what their names say ------------------------------------------------------


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "..", ".", "", "a\0b", "\x1b[2J", "é"])
def test_a_lock_that_could_not_be_one_is_not_held_and_not_opened(tmp_path, name, monkeypatch):
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("it was opened"))
    assert not is_held(tmp_path, name)


def test_a_lock_that_is_held_is_held(tmp_path):
    lock = create(tmp_path, "e-12345678")
    assert is_held(tmp_path, "e-12345678")
    lock.release()


@pytest.mark.parametrize("worker", ["../x", "/dev/null", "a\0"])
def test_a_mark_is_not_looked_for_elsewhere(tmp_path, worker):
    assert read_mark(tmp_path, worker) == UNKNOWN


@pytest.mark.parametrize("name", ["locks/e-12345678", "output/w-12345678-0.log", "payloads"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder, in_time, name):
    """Opening a pipe waits until somebody writes to it, which nobody will."""
    definition = _definition(folder)
    with written(folder / "log.db") as connection:
        connection.execute("DELETE FROM payloads")
    path = folder / name
    if name == "payloads":
        path = path_of(path, definition[0])
        path.parent.mkdir()
    path.unlink(missing_ok=True)
    if name != "payloads":
        with written(folder / "log.db") as connection:
            connection.execute("INSERT INTO payloads VALUES (?, 0, ?)", definition)
    os.mkfifo(path)
    dwf = rig_in(folder.parent)
    for command in LOOKING:
        assert dwf(*command, "--store", folder).code != 70
    store = open_store(folder, readonly=True)
    assert not is_alive(store.folder.locks, store.log.rows()[0]) if name != "payloads" else True
    check(store)
    backup(store, folder.parent / "b.tar")
    store.close()


def _definition(folder):
    with written(folder / "log.db") as connection:
        return connection.execute("SELECT digest, data FROM payloads").fetchone()


def test_a_payload_is_a_plain_file_or_missing(tmp_path, in_time):
    data = b"content"
    digest = digest_of(data)
    path = path_of(tmp_path, digest)
    path.parent.mkdir()
    path.write_bytes(data)
    assert read_file(tmp_path, digest) == data
    assert is_whole(tmp_path, digest)
    secret = tmp_path / "secret"
    for plant in (
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: (secret.write_bytes(data), path.symlink_to(secret)),
        lambda: path.symlink_to("/dev/zero"),
    ):
        path.rmdir() if path.is_dir() else path.unlink()
        plant()
        with pytest.raises(PayloadMissing):
            read_file(tmp_path, digest)
        assert not is_whole(tmp_path, digest)
    assert not has_file(tmp_path, "../../../etc/passwd")


@pytest.mark.parametrize("size", [0, 1, SLOT_BYTES - 1, SLOT_BYTES, 1 << 20])
def test_a_head_of_any_size_is_judged(folder, size):
    (folder / "head").write_bytes(b"\xff" * size)
    with pytest.raises(DurableWorkflowError):
        open_store(folder, trust=True)
    store = open_store(folder, readonly=True)
    assert check(store)
    store.close()
