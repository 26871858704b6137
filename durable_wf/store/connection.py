"""Connections to log.db with the settings that the promises of the store rest on.

Owns: the pragmas, each read back where durability or safety depends on it.
Must never: open the file in any other way than through SQLite: closing a plain descriptor of it
would drop SQLite's own locks in this process.
Read next: `sqlite.py`.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from durable_wf.errors import StoreError, StoreFailed
from durable_wf.store import schema

OLDEST_SQLITE = (3, 37, 0)
"""STRICT tables."""

CHECKPOINT_PAGES = 500
"""SQLite copies the -wal back when it is longer than this. It does so at the end of a COMMIT, so
inside the writer lock, and readers never do. Soon, since afterwards it writes over the -wal from
its start: a sync of a file that need not grow takes about half as long."""

_BUSY_MS = 5000


def open_writer(db: Path) -> sqlite3.Connection:
    """A connection that may write; the file is created if it is missing.

    Raises StoreFailed if the settings do not hold.
    """
    _check_version()
    connection = _connect(f"file:{quote(str(db))}?mode=rwc")
    try:
        connection.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        _require(connection, "journal_mode", "wal")
        _require(connection, "synchronous", 2)
        connection.execute("PRAGMA fullfsync = 1")
        connection.execute("PRAGMA checkpoint_fullfsync = 1")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA temp_store = MEMORY")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(db: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    A WAL database needs its -shm even to be read; SQLite makes one where it may. In a folder that
    we cannot write to, a store that was closed in order has neither -wal nor -shm: it is then read
    as immutable. That is safe because only our own user may write to a store, and here that user
    cannot. With a -wal left over but no -shm there, it cannot be read at all, and we say so.
    """
    _check_version()
    name = f"file:{quote(str(db))}?mode=ro"
    connection = _connect(name)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        if os.access(db.parent, os.W_OK):
            raise
        if _size(f"{db}-wal"):
            raise StoreError(
                f"{db} cannot be read: its folder is read-only and the -wal was never copied back",
                hint="copy the whole folder to a place where you can write, and read it there",
            ) from error
        return _connect(name + "&immutable=1")
    except BaseException:
        connection.close()
        raise
    return connection


def fold_wal(connection: sqlite3.Connection) -> None:
    """Copy the -wal into the database and cut it to nothing, unless others are using it.

    The first act of writing after an unclean end; the caller holds the writer lock.
    """
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")


def _connect(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA mmap_size = 0")
    return connection


def _require(connection: sqlite3.Connection, pragma: str, value: str | int) -> None:
    connection.execute(f"PRAGMA {pragma} = {value}")
    found = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    if found != value:
        raise StoreFailed(
            f"log.db cannot be written safely: {pragma} is {found!r}, not {value!r}",
            hint="the folder may lie on a file system without shared memory or locks",
        )


def _check_version() -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StoreError(
            f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed",
            hint="use a Python that was built with a newer SQLite",
        )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
