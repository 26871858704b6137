"""The schema: one way to it, and nothing beside it."""

from __future__ import annotations

import hashlib
import sqlite3

import pytest
import sqlite_utils

from durable_wf.errors import NewerSchema, StoreError, UnsafeStore
from durable_wf.store import schema
from durable_wf.store.opening import open_store


@pytest.fixture
def made(tmp_path):
    open_store(tmp_path / "s", create=True).close()
    return tmp_path / "s"


def change(store, *statements):
    connection = sqlite3.connect(store / "log.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def content(connection):
    kept = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE '%migrations%'"
    return sorted(map(repr, connection.execute(kept)))


def test_a_new_store_is_what_all_migrations_lead_to():
    fresh = sqlite3.connect(":memory:", isolation_level=None)
    schema.create(fresh, 5)
    lifted = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(lifted)
    assert content(fresh) == content(lifted)
    for connection in (fresh, lifted):
        schema.compare(connection)
        assert schema.version_of(connection) == schema.VERSION
        database = sqlite_utils.Database(connection, execute_plugins=False)
        steps = schema.migrations()
        assert tuple(one.name for one in steps.applied(database)) == schema.MIGRATION_NAMES
        assert steps.pending(database) == []


def test_a_newer_schema_is_refused_and_the_file_is_left_alone(made):
    change(made, f"PRAGMA user_version = {schema.VERSION + 1}")
    before = hashlib.sha256((made / "log.db").read_bytes()).digest()
    for readonly in (False, True):
        with pytest.raises(NewerSchema, match=f"schema version {schema.VERSION + 1}"):
            open_store(made, readonly=readonly)
    assert hashlib.sha256((made / "log.db").read_bytes()).digest() == before


@pytest.mark.parametrize(
    ("statements", "named"),
    [
        (["CREATE TRIGGER t AFTER INSERT ON events BEGIN DELETE FROM events; END"], "trigger t"),
        (["CREATE VIEW v AS SELECT 1"], "view v"),
        (["CREATE TABLE more (x)"], "table more"),
        (["CREATE INDEX more ON events (at)"], "index more"),
        (["DROP TABLE leases"], "table leases is missing"),
        (["DROP TABLE leases", "CREATE VIEW leases AS SELECT 1"], "leases"),
        (["ALTER TABLE runs ADD COLUMN more TEXT"], "table runs was changed"),
        (
            ["CREATE TRIGGER t AFTER INSERT ON _sqlite_migrations BEGIN SELECT 1; END"],
            "trigger t",
        ),
    ],
)
def test_anything_foreign_in_the_schema_is_refused(made, statements, named):
    change(made, *statements)
    with pytest.raises(UnsafeStore, match=named):
        open_store(made)


def test_what_sqlite_keeps_for_itself_is_not_foreign(made):
    change(made, "ANALYZE")
    store = open_store(made)
    assert store.writable
    store.close()


def test_another_program_s_database_is_refused(made):
    for suffix in ("", "-wal", "-shm"):
        (made / f"log.db{suffix}").unlink(missing_ok=True)
    change(made, "CREATE TABLE t (x)")
    with pytest.raises(UnsafeStore, match="not a log of durable_wf"):
        open_store(made)


@pytest.mark.parametrize("content", [b"no database at all" * 500, b"SQLite format 3\0" * 300])
def test_what_is_no_database_is_refused_and_left_alone(made, content):
    (made / "log.db").write_bytes(content)
    with pytest.raises(StoreError):
        open_store(made)
    assert (made / "log.db").read_bytes() == content
