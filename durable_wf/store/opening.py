"""Opening a store: the order in which it is judged before anything is written.

Owns: `open_store` and the value it returns.
Must never: write to a store that this user has not made or trusted, or to a log behind its head.
Read next: `folder.py`, `schema.py`, `trust.py`, `sqlite.py`.
"""

from __future__ import annotations

import getpass
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import attrs

from durable_wf.core.events import Trusted
from durable_wf.core.wording import count_of
from durable_wf.errors import (
    CallerError,
    DiskFull,
    DurableWorkflowError,
    LostTail,
    NotFound,
    NotTrusted,
    StoreBusy,
    StoreError,
    UnsafeStore,
    WrongState,
)
from durable_wf.store import connection as connections
from durable_wf.store import folder as folders
from durable_wf.store import head, schema
from durable_wf.store.folder import Folder
from durable_wf.store.locks import WriterLock, is_held
from durable_wf.store.mountinfo import read_mountinfo
from durable_wf.store.port import Batch
from durable_wf.store.room import is_no_room
from durable_wf.store.sqlite import SqliteLog
from durable_wf.store.trust import add_trusted, is_trusted

_NEW = "dwf run TARGET   makes one, or name it: --store FOLDER"


@attrs.define
class Store:
    """An open store. `id` is its own, whatever folder it is moved to."""

    folder: Folder
    log: SqliteLog
    id: str
    writable: bool

    def lost_tail(self) -> LostTail | None:
        """What writing to it would raise if its log is behind its head; None where it is not, and
        of an exported run, which has no head. For those who only read.
        """
        if self.folder.is_file:
            return None
        try:
            known = head.read(self.folder.head)  # first: an engine that runs moves both
            with closing(connections.open_reader(self.folder.db)) as connection:
                head.follow(connection, known)
        except LostTail as error:
            return error
        except (sqlite3.Error, OSError):
            return None  # who reads on will be told what is wrong
        return None

    def close(self) -> None:
        """Let go of everything. Idempotent."""
        self.log.close()


def open_store(
    path: str | os.PathLike[str] | None = None,
    *,
    create: bool = False,
    readonly: bool = False,
    trust: bool = False,
    read_mounts: Callable[[], str] = read_mountinfo,
) -> Store:
    """Open the store at `path`, or the one that `find_store` finds.

    `create` makes it where it is missing. A store that this user neither made nor trusted can be
    read; writing to it raises NotTrusted, until it is opened once with `trust`.
    Errors: NotFound, UnsafeStore, NewerSchema, LostTail, StoreBusy, DiskFull, StoreFailed, and
    StoreError for whatever else the disk or SQLite says.
    """
    place = folders.named_store(path) if path is not None else folders.find_store()
    try:
        return _open_at(place, create, readonly, trust, read_mounts)
    except (sqlite3.Error, OSError, UnicodeDecodeError) as error:
        if is_no_room(error):
            raise DiskFull(f"no space is left to open {place}", hint="free some space") from error
        raise StoreError(f"{place} cannot be opened: {error}", hint="dwf db check") from error


def _open_at(
    place: Path | None,
    create: bool,
    readonly: bool,
    trust: bool,
    read_mounts: Callable[[], str],
) -> Store:
    if place is not None and place.is_file():
        return _open_exported(place.absolute(), readonly=readonly)
    # A link that leads nowhere is there too: SQLite would make the file that it names.
    if place is None or not os.path.lexists(place / "log.db"):
        if not create or readonly:
            raise NotFound(folders.no_store(place), hint=_NEW)
        place = place or folders.default_store()
        folder = folders.create_folder(place, read_mounts)
        _create_log(folder)
    else:
        folder = folders.check_folder(place, read_mounts)
        if create and not readonly and _is_unborn(folder):
            folder = folders.create_folder(place, read_mounts)
            _create_log(folder)
    store_id, version = _inspect(folder)
    if version == 0:
        raise NotFound(
            f"the store at {folder.path} is empty: its making was interrupted", hint=_NEW
        )
    known = readonly or is_trusted(store_id)
    refuse = _refusal(folder, store_id, readonly=readonly, trusting=trust)
    if refuse is None and version < schema.VERSION:
        _migrate(folder)
    log = SqliteLog(folder, refuse=refuse)
    if refuse is None and not known:
        log.append(Batch(store_events=[(_now(), Trusted(_actor(), "this store"))]))
    return Store(folder, log, store_id, writable=refuse is None)


def _open_exported(file: Path, *, readonly: bool) -> Store:
    """A run that was exported to a file: it is read where it is, and never written."""
    if not readonly:
        raise WrongState(
            f"{file} is a single file: it can be read, not written",
            hint=f"dwf import {file}   takes its run into a store",
        )
    folder = Folder.of_file(file)
    store_id, version = _inspect(folder)
    if version == 0:
        raise UnsafeStore(f"{file} does not hold a run", hint="dwf export RUN FILE")
    refuse = CallerError(f"{file} was opened for reading only")
    return Store(folder, SqliteLog(folder, refuse=refuse), store_id, writable=False)


def accept_loss(path: str | os.PathLike[str]) -> int:
    """Make a log that is behind its head writable again; returns the seq it now ends at.

    The loss is written into the log as a Trusted event. Errors: as `open_store`.
    """
    folder = folders.check_folder(Path(path))
    store_id, version = _inspect(folder)
    refuse = _refusal(folder, store_id, readonly=False, trusting=False)
    if refuse is not None:
        raise refuse
    lock = WriterLock(folder.locks)
    try:
        with lock:
            lost = _reset_head(folder)
    finally:
        lock.close()
    if version < schema.VERSION:
        _migrate(folder)
    log = SqliteLog(folder)
    try:
        log.append(Batch(store_events=[(_now(), Trusted(_actor(), lost))]))
    finally:
        log.close()
    return head.read(folder.head).seq


def _reset_head(folder: Folder) -> str:
    """Write the head that fits the log as it is; returns what this accepts, as a sentence."""
    try:
        before = f"event {head.read(folder.head).seq}"
    except StoreError:
        before = "an unknown place"
    connection = connections.open_writer(folder.db)
    try:
        now = head.compute(connection)
    finally:
        connection.close()
    slot = head.HeadFile(folder.head)
    try:
        slot.write(now.seq, now.digest, now.base)
        slot.sync()
    finally:
        slot.close()
    return f"loss accepted: the log ends at event {now.seq}, its head was at {before}"


def _create_log(folder: Folder) -> None:
    lock = WriterLock(folder.locks)
    try:
        with lock:
            connection = connections.open_writer(folder.db)
            try:
                folders.make_private(folder)
                connection.execute("BEGIN IMMEDIATE")
                if schema.version_of(connection) == 0:
                    _fill(connection, folder)
                connection.execute("COMMIT")
            finally:
                connection.close()
    finally:
        lock.close()


def _fill(connection: sqlite3.Connection, folder: Folder) -> None:
    # An empty head is left when its maker died, or the disk was full, between its birth and this.
    born = folder.head.exists() and folder.head.stat().st_size > 0
    if born and (seq := head.read(folder.head).seq):
        raise LostTail(
            f"{folder.db} is empty, but {count_of(seq, 'event')} once went into it",
            hint="restore a backup, or make a new store elsewhere",
        )
    store_id = os.urandom(16).hex()
    schema.create(connection, _now())
    connection.executemany(
        "INSERT INTO meta (key, value) VALUES (?, ?)",
        [("store_id", store_id), ("created_at", str(_now()))],
    )
    slot = head.HeadFile(folder.head)
    try:
        slot.write(0, head.START.digest, head.START.base)
        slot.sync()
    finally:
        slot.close()
    # Before COMMIT: a store that exists is a store that its maker may write to.
    add_trusted(store_id)


def _is_unborn(folder: Folder) -> bool:
    """Whether its maker died before the first commit: there is a file, and nothing in it.

    A rollback journal beside a file of one page is such a death too: SQLite needs it only until
    the WAL is in use, and cannot clear it away through a connection that must not write.
    """
    if Path(f"{folder.db}-journal").exists() and folder.db.stat().st_size <= schema.PAGE_SIZE:
        return True
    try:
        connection = connections.open_reader(folder.db)
    except (sqlite3.Error, StoreError):
        return False  # what is wrong with it is said by `_inspect`
    try:
        return schema.version_of(connection) == 0
    except (sqlite3.Error, StoreError):
        return False
    finally:
        connection.close()


def _inspect(folder: Folder) -> tuple[str, int]:
    """Judge the database without writing to it; returns the store's id and its schema version."""
    connection = connections.open_reader(folder.db)
    try:
        version = schema.version_of(connection)
        if version == 0:
            return "", 0
        schema.compare(connection)
        found = connection.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    except sqlite3.DatabaseError as error:
        raise UnsafeStore(
            f"{folder.db} is not a database that can be read: {error}",
            hint="restore a backup, or name another store",
        ) from error
    finally:
        connection.close()
    return (found[0] if found else ""), version


def _refusal(
    folder: Folder, store_id: str, *, readonly: bool, trusting: bool
) -> DurableWorkflowError | None:
    if readonly:
        return CallerError(f"{folder.path} was opened for reading only")
    if trusting:
        add_trusted(store_id)
    if not is_trusted(store_id):
        return NotTrusted(
            f"{folder.path} was not made by this user on this machine: it can be read, not written",
            hint="--trust   if you know where it comes from (resuming its runs executes its code)",
        )
    return None


def _migrate(folder: Folder) -> None:
    """Bring the log to the newest schema. Raises LostTail, and StoreBusy while an engine lives."""
    lock = WriterLock(folder.locks)
    try:
        with lock:
            connection = connections.open_writer(folder.db)
            try:
                connections.fold_wal(connection)
                head.follow(connection, head.read(folder.head))  # a log behind it is left alone
                if schema.version_of(connection) < schema.VERSION:
                    _refuse_living(folder)
                schema.migrate(connection)
                schema.compare(connection)
            finally:
                connection.close()
    finally:
        lock.close()


def _refuse_living(folder: Folder) -> None:
    """Raise StoreBusy while an engine runs in a store of an older version: it is of an older
    version too, and the first run that it makes after the change would end it.
    """
    for path in sorted(folder.locks.glob("e-*")):
        if is_held(folder.locks, path.name):
            raise StoreBusy(
                f"engine {path.name}, of an older durable_wf, runs in the store at {folder.path}; "
                "this version would have to change the store under it; nothing was changed",
                hint="let that engine end, or stop it; until then the store can be read",
            )


def _actor() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"uid {os.getuid()}"


def _now() -> int:
    return time.time_ns() // 1000
