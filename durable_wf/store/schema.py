"""The schema of log.db: tables, views for people, and migrations.

Owns: every CREATE statement, the version, and the comparison at open: the database must hold
exactly this and nothing else. A foreign trigger or view would run on our own statements.
Must never: be changed in place once released: a new version is a new migration. A store of an
older version is brought up to date by the first who opens it for writing; it can be read as it is.
Read next: `connection.py`, `sqlite.py`.

The views `v_runs`, `v_tasks` and `v_attempts` are the contract for people and their SQL tools;
the tables are not.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

from durable_wf.errors import NewerSchema, UnsafeStore
from durable_wf.store import views

APPLICATION_ID = 0x64776631
"""Says in the file's header that this is a durable_wf log ("dwf1")."""

VERSION = 2
"""PRAGMA user_version of the schema below."""

BESIDE = 2
"""The version from which on there are `outcomes` and `beats`, and runs have an origin."""

PAGE_SIZE = 4096

MIGRATION_SET = "durable_wf"

_EVENTS = """CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    n INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    body TEXT NOT NULL,
    hash BLOB NOT NULL,
    UNIQUE (run, n)
) STRICT"""

_RUNS_1 = """CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    workflow TEXT NOT NULL,
    status TEXT NOT NULL,
    n INTEGER NOT NULL,
    total INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    running INTEGER NOT NULL,
    waiting INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    wake_at INTEGER,
    engine TEXT NOT NULL,
    cause TEXT NOT NULL,
    definition TEXT NOT NULL,
    structure TEXT NOT NULL,
    inputs TEXT NOT NULL,
    code TEXT NOT NULL,
    tags TEXT NOT NULL,
    imported INTEGER NOT NULL
) STRICT"""

_BIRTH = """,
    origin TEXT NOT NULL,
    origin_n INTEGER NOT NULL,
    root TEXT NOT NULL
) STRICT"""
_RUNS = _RUNS_1.replace("\n) STRICT", _BIRTH)
_RUNS_ORIGIN = "CREATE INDEX runs_origin ON runs (origin) WHERE origin <> ''"
_RUNS_ROOT = "CREATE INDEX runs_root ON runs (root) WHERE root <> ''"
_RUNS_LIVE = "CREATE INDEX runs_live ON runs (run) WHERE ended_at IS NULL"
_INDEXES = (_RUNS_ORIGIN, _RUNS_ROOT, _RUNS_LIVE)

_PAYLOADS = """CREATE TABLE payloads (
    digest TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT"""

_INBOX = """CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL,
    verb TEXT NOT NULL,
    actor TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    body TEXT NOT NULL,
    answer TEXT,
    accepted INTEGER,
    UNIQUE (run_id, key)
) STRICT"""

_INBOX_OPEN = "CREATE INDEX inbox_open ON inbox (id) WHERE answer IS NULL"

_LEASES = """CREATE TABLE leases (
    key TEXT NOT NULL,
    holder TEXT NOT NULL,
    units INTEGER NOT NULL,
    PRIMARY KEY (key, holder)
) STRICT, WITHOUT ROWID"""

_META = """CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID"""

_OUTCOMES = """CREATE TABLE outcomes (
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    place TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    PRIMARY KEY (key, seq)
) STRICT, WITHOUT ROWID"""

_BEATS = """CREATE TABLE beats (
    run INTEGER NOT NULL,
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    at INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (run, task)
) STRICT, WITHOUT ROWID"""

# What sqlite-utils itself makes to remember which migrations were applied.
_MIGRATIONS = """CREATE TABLE "_sqlite_migrations" (
   "id" INTEGER PRIMARY KEY,
   "migration_set" TEXT,
   "name" TEXT,
   "applied_at" TEXT
)"""
_MIGRATIONS_INDEX = """CREATE UNIQUE INDEX "idx__sqlite_migrations_migration_set_name"
    ON "_sqlite_migrations" ("migration_set", "name")"""

_BESIDE_RUNS_1 = (_PAYLOADS, _INBOX, _INBOX_OPEN, _LEASES, _META)
_TABLES_1 = (_EVENTS, _RUNS_1, *_BESIDE_RUNS_1)
_TABLES = (_EVENTS, _RUNS, *_INDEXES, *_BESIDE_RUNS_1, _OUTCOMES, _BEATS)

STATEMENTS: tuple[str, ...] = (*_TABLES, *views.ALL)
"""The newest schema, whole."""

_OF_VERSION: dict[int, tuple[str, ...]] = {1: (*_TABLES_1, *views.ALL_1), VERSION: STATEMENTS}
"""The schema of each version that a store may still have."""

MIGRATION_NAMES: tuple[str, ...] = ("m001_first", "m002_outcomes_and_beats")
"""All migrations in order: each leads to the version of its number."""


def create(connection: sqlite3.Connection, now: int) -> None:
    """Give an empty database the newest schema, in the caller's transaction.

    The steps are noted as applied, as if each had run. sqlite-utils is not asked to run them: its
    import takes longer than everything else that a first run does (a test proves both ways equal).
    """
    for statement in (*STATEMENTS, _MIGRATIONS, _MIGRATIONS_INDEX):
        connection.execute(statement)
    connection.executemany(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES (?, ?, ?)",
        [(MIGRATION_SET, name, str(now)) for name in MIGRATION_NAMES],
    )
    _stamp(connection, VERSION)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring an older schema to VERSION. The caller holds the writer lock.

    Each step is one transaction: whoever dies in it leaves the version before.
    """
    # Heavy, and needed only when a store of an older version is opened for the first time.
    from sqlite_utils import Database

    migrations().apply(Database(connection, execute_plugins=False))


def migrations() -> Any:
    """The migrations, for sqlite-utils. Each is frozen once released."""
    # Heavy: see `migrate`.
    from sqlite_utils import Migrations

    steps = Migrations(MIGRATION_SET)

    @steps(name=MIGRATION_NAMES[0])
    def first(db: Any) -> None:
        for statement in _OF_VERSION[1]:
            db.execute(statement)
        _stamp(db.conn, 1)

    @steps(name=MIGRATION_NAMES[1])
    def outcomes_and_beats(db: Any) -> None:
        for view in ("v_runs", "v_attempts", "v_tasks"):
            db.execute(f"DROP VIEW {view}")
        # Not ADD COLUMN: how that writes the statement of the table is SQLite's own affair.
        db.execute("ALTER TABLE runs RENAME TO runs_1")
        db.execute(_RUNS)
        db.execute("INSERT INTO runs SELECT *, '', 0, '' FROM runs_1")
        db.execute("DROP TABLE runs_1")
        for statement in (*_INDEXES, _OUTCOMES, _BEATS, *views.ALL):
            db.execute(statement)
        _stamp(db.conn, 2)

    return steps


def version_of(connection: sqlite3.Connection) -> int:
    """The schema's version; 0 for an empty database.

    Raises NewerSchema, or UnsafeStore for a database that is not ours.
    """
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if application == APPLICATION_ID and version > VERSION:
        raise NewerSchema(
            f"the store has schema version {version}; this durable_wf knows up to {VERSION}; "
            "nothing was changed",
            hint="pip install --upgrade durable-wf",
        )
    if application == APPLICATION_ID and version > 0:
        return version
    if (
        application == version == 0
        and not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    ):
        return 0
    raise UnsafeStore(
        f"log.db is not a log of durable_wf (application id {application:#x}, version {version})",
        hint="name another store: --store FOLDER, or DURABLE_WF_STORE",
    )


def compare(connection: sqlite3.Connection) -> None:
    """Refuse a database that holds anything else than the schema of its version.

    Raises UnsafeStore, and whatever `version_of` does.
    """
    expected = _expected(version_of(connection))
    found = {
        (kind, name): _plain(sql)
        for kind, name, table, sql in connection.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema"
        )
        if not _not_ours(kind, name, table)
    }
    for key in sorted(found.keys() | expected.keys()):
        if found.get(key) != expected.get(key):
            what = "is missing" if key not in found else "is foreign"
            if key in found and key in expected:
                what = "was changed"
            raise UnsafeStore(
                f"the schema of log.db is not ours: {key[0]} {key[1]} {what}",
                hint="remove what was added by hand, or restore a backup",
            )


def _not_ours(kind: str, name: str, table: str) -> bool:
    """What SQLite keeps for itself, and the notes of sqlite-utils (never a trigger or a view)."""
    if kind not in {"table", "index"}:
        return False
    return name.startswith("sqlite_") or table == "_sqlite_migrations"


def _plain(sql: str | None) -> str:
    return " ".join((sql or "").split())


@cache
def _expected(version: int) -> dict[tuple[str, str], str]:
    expected = {}
    for statement in _OF_VERSION.get(version, STATEMENTS):
        kind, name = statement.split()[1:3]
        expected[kind.lower(), name] = _plain(statement)
    return expected


def _stamp(connection: sqlite3.Connection, version: int) -> None:
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {version}")
