"""SqliteLog: the log port on SQLite.

Owns: transactions. Each is taken under the writer lock, and ends in one of three ways: committed,
certainly not written, or unknown, in which case this process never writes again.
Must never: let anything become visible before COMMIT has returned, or trust a COMMIT that raised.
Read next: `sqlite_write.py` (what a transaction holds), `connection.py` (settings), `head.py`.
"""

from __future__ import annotations

import os
import resource
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from durable_wf.core.circuit import Outcome
from durable_wf.core.codec import decode
from durable_wf.core.events import Recorded
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.errors import (
    CallerError,
    DiskFull,
    DurableWorkflowError,
    HistoryError,
    PayloadMissing,
    StoreBusy,
    StoreError,
    StoreFailed,
)
from durable_wf.store import (
    beats,
    head,
    imports,
    locks,
    outcomes,
    payload_files,
    rows,
    schema,
    sqlite_write,
)
from durable_wf.store import connection as connections
from durable_wf.store.folder import Folder
from durable_wf.store.port import Appended, Batch, Beat, Command, Stored, Verb
from durable_wf.store.room import is_no_room

_PAGE = 4000
"""Events read by one statement: enough to be fast, few enough not to hold up a checkpoint."""

_LONG_WAL = 64 << 20
"""A -wal of this many bytes was kept from being reused by a reader: cut it when that one ends."""

_LOOK_S = 0.05
"""How often the files are looked at, in seconds; and at close. Not at each commit: where the kernel
keeps exact times only for files that somebody looks at, looking makes the next sync slower. What is
lost in between is found by the head."""

_ROOM = 1 << 20
"""Less than this many bytes left is no room."""

_EVENTS = "SELECT n, at, kind, task, attempt, body FROM events"
_STORED = "SELECT seq, run, n, at, kind, task, attempt, body, hash FROM events"
_NEXT = f"WHERE run = ? AND n > ? ORDER BY n LIMIT {_PAGE}"
_INBOX = "SELECT id, run_id, verb, actor, key, at, body, answer, accepted FROM inbox"

_FSYNC_ERRORS = frozenset({"SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC"})


class SqliteLog:
    """The log of one store. Calls may come from any thread, but one at a time."""

    def __init__(self, folder: Folder, *, refuse: DurableWorkflowError | None = None) -> None:
        """Open the log. With `refuse` it is opened for reading only, and writing raises that.

        Raises LostTail if it is to be written and ends before what `head` has seen. The caller has
        judged folder and schema (`opening.py`).
        """
        self._folder = folder
        self._refuse = refuse
        self._db = str(folder.db)
        self._wal = f"{folder.db}-wal"
        self._connection: sqlite3.Connection | None = None
        self._wal_size = 0
        self._look_at = 0.0
        self._has_beside = False
        self._lock: locks.WriterLock | None = None
        self._head: head.HeadFile | None = None
        self._writer: sqlite_write.LogWriter | None = None
        if refuse is None:
            try:
                self._lock = locks.WriterLock(folder.locks)
                with self._lock:
                    self._open_for_writing(fold=True)
            except BaseException:
                self._release()
                raise
        else:
            self._connection = connections.open_reader(folder.db)

    # --- writing ----------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """See `Log.append`."""
        lock, writer = self._writing()
        with lock:
            connection = self._begin()
            pending: sqlite_write.Pending | None = None
            try:
                pending = writer.write(connection, batch)
                connection.execute("COMMIT" if pending.wrote else "ROLLBACK")
            except sqlite3.Error as error:
                self._resolve(error, pending)
            except BaseException:
                self._roll_back()
                raise
            assert pending is not None
            if pending.wrote:
                self._committed(pending)
            return pending.appended

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction under the writer lock, for what is not an append (inbox, prune).

        It must not touch `events`. Commits at the end, rolls back when the block raises.
        """
        lock, _ = self._writing()
        with lock:
            connection = self._begin()
            try:
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._resolve(error, None)
            except BaseException:
                self._roll_back()
                raise
            self._look_at_files()
            self._fold_long_wal()

    def post(self, run_id: str, verb: Verb, actor: str, key: str, at: int, body: str) -> int:
        """See `Log.post`."""
        with self.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO inbox (run_id, verb, actor, key, at, body)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (run_id, verb.value, actor, key, at, body),
            )
            found = connection.execute(
                "SELECT id FROM inbox WHERE run_id = ? AND key = ?", (run_id, key)
            ).fetchone()
        return int(found[0])

    def close(self) -> None:
        """See `Log.close`. Raises StoreFailed if the files were taken away since the last look."""
        try:
            if self._connection is not None and self._refuse is None and self._writer is not None:
                self._check_files()
        finally:
            self._release()

    def _release(self) -> None:
        if self._connection is not None:
            # In the lock, because the last one to close copies the -wal back.
            if self._lock is not None and self._refuse is None:
                with suppress(StoreBusy), self._lock:
                    self._connection.close()
            self._connection.close()
            self._connection = None
        if self._head is not None:
            self._head.close()
        if self._lock is not None:
            self._lock.close()
        if self._refuse is None:
            self._refuse = StoreError("the store is closed")

    # --- reading ----------------------------------------------------------------------------------

    def row(self, run_id: str) -> RunRow | None:
        """See `Log.row`."""
        found = self._all(f"{self._select} WHERE run_id = ?", (run_id,))
        return rows.from_columns(found[0]) if found else None

    def rows(
        self,
        *,
        status: Iterable[RunStatus] = (),
        workflow: str | None = None,
        since: int | None = None,
        prefix: str = "",
        origin: str | None = None,
        root: str | None = None,
        limit: int | None = None,
    ) -> list[RunRow]:
        """See `Log.rows`."""
        if not (origin is root is None or self._is_newest):
            return []  # nothing descends from anything in a store of version 1
        rest, values = rows.select(status, workflow, since, prefix, origin, root, limit)
        found = self._all(f"{self._select}{rest}", values)
        return [rows.from_columns(columns) for columns in found]

    def history(self, run: int, after: int = 0) -> Iterator[Recorded]:
        """See `Log.history`. Read in short statements, so a slow reader holds up nobody."""
        while page := self._all(f"{_EVENTS} {_NEXT}", (run, after)):
            for n, at, kind, task, attempt, body in page:
                after += 1
                if n != after:
                    raise HistoryError(f"{self._named(run)}: event {after} is missing")
                try:
                    yield Recorded(n, at, decode(kind, task, attempt, body))
                except HistoryError as error:
                    raise HistoryError(
                        f"{self._named(run)}, event {n}: {error.message}", hint=error.hint
                    ) from error

    def stored(self, run: int, after: int = 0) -> Iterator[Stored]:
        """See `Log.stored`."""
        while page := self._all(f"{_STORED} {_NEXT}", (run, after)):
            for columns in page:
                yield Stored(*columns)
            after = page[-1][2]

    def came_from_elsewhere(self, run: int) -> bool:
        """See `Log.came_from_elsewhere`."""
        names = self._all("SELECT run_id FROM runs WHERE run = ?", (run,))
        behind = self._all(imports.BEHIND, (run, run)) if names else []
        return bool(behind) and imports.says_imported(Stored(*behind[0]), names[0][0])

    def seqs(self, run: int, numbers: Iterable[int]) -> dict[int, int]:
        """See `Log.seqs`."""
        found: dict[int, int] = {}
        for n in numbers:
            for (seq,) in self._all("SELECT seq FROM events WHERE run = ? AND n = ?", (run, n)):
                found[n] = seq
        return found

    def payload(self, digest: str) -> bytes:
        """See `Log.payload`."""
        found = self._all("SELECT data FROM payloads WHERE digest = ?", (digest,))
        if not found:
            return payload_files.read_file(self._folder.payloads, digest)
        data: bytes = found[0][0]
        if payload_files.digest_of(data) != digest:
            raise PayloadMissing(
                f"payload {digest} is damaged: its bytes have another digest",
                hint="dwf db check",
            )
        return data

    def has_payload(self, digest: str) -> bool:
        """See `Log.has_payload`."""
        if self._all("SELECT 1 FROM payloads WHERE digest = ?", (digest,)):
            return True
        return payload_files.has_file(self._folder.payloads, digest)

    def inbox(self) -> list[Command]:
        """See `Log.inbox`."""
        return [_command(one) for one in self._all(f"{_INBOX} WHERE answer IS NULL ORDER BY id")]

    def command(self, command_id: int) -> Command | None:
        """See `Log.command`."""
        found = self._all(f"{_INBOX} WHERE id = ?", (command_id,))
        return _command(found[0]) if found else None

    def held(self, key: str) -> dict[str, int]:
        """See `Log.held`."""
        return dict(self._all("SELECT holder, units FROM leases WHERE key = ?", (key,)))

    def outcomes(self, key: str) -> list[Outcome]:
        """See `Log.outcomes`."""
        return outcomes.read(key, self._beside(outcomes.OF_KEY, (key,)))

    def breakers(self) -> list[str]:
        """See `Log.breakers`."""
        return [key for (key,) in self._beside(outcomes.KEYS)]

    def beats(self, run: int) -> dict[str, Beat]:
        """See `Log.beats`."""
        return beats.read(run, self._beside(beats.OF_RUN, (run,)))

    def version(self) -> int:
        """See `Log.version`."""
        return int(self._all("PRAGMA data_version")[0][0])

    def _all(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        if self._connection is None:
            raise StoreError("the store is closed")
        try:
            return self._connection.execute(statement, values).fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self._folder.db} cannot be read: {error}", hint="dwf db check"
            ) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise CallerError(f"no such thing can be in a log: {error}") from error

    def _beside(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        """Rows of a table that stores of version 1 do not have."""
        return self._all(statement, values) if self._is_newest else []

    @property
    def _is_newest(self) -> bool:
        """Whether the store has what stores of version 1 do not have. Such a store is only read,
        and somebody else may bring it up to date meanwhile.
        """
        if not self._has_beside:
            self._has_beside = self._all("PRAGMA user_version")[0][0] >= schema.BESIDE
        return self._has_beside

    @property
    def _select(self) -> str:
        return rows.SELECT if self._is_newest else rows.SELECT_1

    def _named(self, run: int) -> str:
        found = self._all("SELECT run_id FROM runs WHERE run = ?", (run,))
        return f"run {found[0][0]}" if found else f"stream {run}"

    # --- the ends of a transaction ----------------------------------------------------------------

    def _writing(self) -> tuple[locks.WriterLock, sqlite_write.LogWriter]:
        if self._refuse is not None:
            raise self._refuse
        assert self._lock is not None
        assert self._writer is not None
        return self._lock, self._writer

    def _open_for_writing(self, *, fold: bool) -> None:
        self._connection = connections.open_writer(self._folder.db)
        if fold:
            connections.fold_wal(self._connection)
        self._read_end()
        self._files = self._identity()

    def _read_end(self) -> None:
        """Read where the log ends, judge it by its head, and bring the head up to it."""
        assert self._connection is not None
        known = head.read(self._folder.head)
        log_hash = head.follow(self._connection, known)
        self._writer = sqlite_write.LogWriter(log_hash, self._alive)
        if self._head is None:
            self._head = head.HeadFile(self._folder.head)
        if log_hash.seq != known.seq:
            self._head.write(log_hash.seq, log_hash.digest(), log_hash.base)

    def _alive(self, holder: str) -> bool:
        return locks.is_held(self._folder.locks, holder)

    def _begin(self) -> sqlite3.Connection:
        assert self._connection is not None
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise StoreBusy(
                    f"{self._folder.db} is locked by a program that is not durable_wf",
                    hint="close what has the database open for writing",
                ) from error
            self._resolve(error, None)
        return self._connection

    def _roll_back(self) -> None:
        """After an exception of ours, wherever it came: nothing in memory is relied on."""
        assert self._connection is not None
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._read_end()

    def _committed(self, pending: sqlite_write.Pending) -> None:
        assert self._writer is not None
        assert self._head is not None
        self._look_at_files()
        self._writer.committed(pending)
        if pending.hashes:
            log_hash = self._writer.log_hash
            try:
                self._head.write(log_hash.seq, log_hash.digest(), log_hash.base)
            except OSError as error:
                # On a full disk (where files are copied on write) the head may lag behind.
                if not is_no_room(error):
                    self._fail("the head could not be written", error)
        self._fold_long_wal()

    def _identity(self) -> tuple[int, int]:
        return os.stat(self._wal).st_ino, os.stat(self._db).st_ino

    def _look_at_files(self) -> None:
        now = time.monotonic()
        if now >= self._look_at:
            self._check_files()
            self._look_at = now + _LOOK_S

    def _check_files(self) -> None:
        """The files we write to must still be the ones that others will read."""
        try:
            wal = os.stat(self._wal)
            found = wal.st_ino, os.stat(self._db).st_ino
        except FileNotFoundError as error:
            self._fail("log.db or its -wal was deleted while it was in use", error)
        if found != self._files:
            self._fail("log.db or its -wal was replaced while it was in use")
        self._wal_size = wal.st_size

    def _fold_long_wal(self) -> None:
        """Fold a -wal that has grown long. Under the writer lock; what fails comes again later:
        the commits in it are durable as they are.
        """
        if self._wal_size > _LONG_WAL:
            assert self._connection is not None
            self._wal_size = 0
            with suppress(sqlite3.Error):
                connections.fold_wal(self._connection)

    def _fail(self, why: str, cause: BaseException | None = None) -> NoReturn:
        self._refuse = StoreFailed(
            f"{self._folder.path}: {why}; whether the last changes are durable is not known, "
            "so this process writes no more",
            hint="look at the disk, then start again: dwf resume reads what is really there",
        )
        raise self._refuse from cause

    def _resolve(self, error: sqlite3.Error, pending: sqlite_write.Pending | None) -> None:
        """Find out what became of a transaction that raised. Returns if it is durable after all."""
        name = getattr(error, "sqlite_errorname", "")
        attempted = self._attempted(pending)
        full = is_no_room(error) or (name == "SQLITE_IOERR_WRITE" and self._no_room())
        # Closing drops what SQLite does not count as committed, so that what we read is final.
        with suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
        if name in _FSYNC_ERRORS:
            self._fail(f"the disk reported an error while syncing ({error})", error)
        try:
            self._open_for_writing(fold=False)
            if attempted is not None and self._present(*attempted):
                if pending is not None:
                    pending.hashes = []
                return
        except (sqlite3.Error, DurableWorkflowError, OSError) as second:
            self._fail(f"a transaction failed ({error}) and the log cannot be read", second)
        if full:
            raise DiskFull(
                f"no space is left for {self._folder.db}; nothing of the last step was written",
                hint="free some space; the same step is tried again",
            ) from error
        self._fail(f"a transaction failed: {error} ({name})", error)

    def _attempted(self, pending: sqlite_write.Pending | None) -> tuple[int, bytes] | None:
        if pending is None or not pending.hashes or self._writer is None:
            return None
        return self._writer.log_hash.seq + len(pending.hashes), pending.hashes[-1]

    def _present(self, seq: int, expected: bytes) -> bool:
        return self._all("SELECT hash FROM events WHERE seq = ?", (seq,)) == [(expected,)]

    def _no_room(self) -> bool:
        """Whether a write failed for want of room: on the disk, or by a limit on file sizes."""
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        try:
            space = os.statvfs(self._folder.path)
            size = max(os.stat(self._wal).st_size, os.stat(self._db).st_size)
        except OSError:
            return False
        near = limit != resource.RLIM_INFINITY and size + _ROOM > limit
        return near or space.f_bavail * space.f_frsize < _ROOM


def _command(columns: tuple[Any, ...]) -> Command:
    number, run_id, verb, actor, key, at, body, answer, accepted = columns
    return Command(
        id=number,
        run_id=run_id,
        verb=Verb(verb),
        actor=actor,
        key=key,
        at=at,
        body=body,
        answer=answer,
        accepted=None if accepted is None else bool(accepted),
    )
