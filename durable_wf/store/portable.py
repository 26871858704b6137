"""One run as a file of its own: exported, read where it is, imported into another store.

Owns: the exported file, an SQLite database of the same schema that holds one run and all payloads
it needs; `open_store` and so every reading command take it as it is. And the judgement of a file
that comes from elsewhere: everything is verified before anything is written.
Must never: write a damaged run, or import one that could be claimed: imported runs are to be read.
Read next: `opening.py` (how a file is opened), `verify.py`, `references.py`.
"""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import attrs

from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded, RunImported
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.summary import RunRow
from durable_wf.core.values import TABLE_MAX
from durable_wf.errors import (
    CallerError,
    DurableWorkflowError,
    NotFound,
    PayloadMissing,
    RunConflict,
    StoreError,
    VerificationFailed,
)
from durable_wf.store import connection as connections
from durable_wf.store import payload_files, rows, schema
from durable_wf.store.chain import GENESIS, LogHash, link
from durable_wf.store.folder import refuse_inside
from durable_wf.store.opening import Store, open_store
from durable_wf.store.port import Batch, Log, RunAppend
from durable_wf.store.references import Need, mentioned, needs_of, needs_of_definition
from durable_wf.store.verify import Hash, verify

_RUN = 1
"""The surrogate of the only run in an exported file."""

_COLUMNS = "n, at, kind, task, attempt, body, hash"
_PAGE = 4000


def export_run(store: Store, run_id: str, target: Path) -> Path:
    """Write one run, as it is now, to the new file `target`; returns its absolute path.

    Works on stores opened for reading only and while engines run. Errors: NotFound, CallerError if
    the file exists or would lie inside the store, PayloadMissing, VerificationFailed (a damaged run
    is not exported), StoreError.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise CallerError(f"{target} exists already", hint="name a new file")
    refuse_inside(store.folder, target)
    row = store.log.row(run_id)
    if row is None:
        raise NotFound(f"there is no run {run_id!r} in this store", hint="dwf list")
    try:
        with tempfile.TemporaryDirectory(prefix=".dwf-export-", dir=target.parent) as scratch:
            half = Path(scratch) / "run.db"
            _write(store, row, half)
            os.link(half, target)
        payload_files.sync_folder(target.parent)
    except FileExistsError as error:
        raise CallerError(f"{target} exists already", hint="name a new file") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"{target} could not be written: {error}") from error
    return target


@attrs.frozen
class Incoming:
    """The run of an exported file that was found whole, and what it needs. `small` are payloads for
    the table, `large` the digests of those for files, which `log` has. `source` is the same for all
    files of one store.
    """

    file: Path
    row: RunRow
    history: list[Recorded]
    small: list[tuple[str, bytes]]
    large: list[str]
    source: str
    log: Log


@contextmanager
def incoming(file: Path) -> Iterator[Incoming]:
    """Open an exported file and verify all of it; nothing is written.

    Errors: VerificationFailed, PayloadMissing and HistoryError for a damaged file, UnsafeStore for
    a foreign one, CallerError and NotFound for what is none.
    """
    source = open_store(file, readonly=True)
    try:
        row = _only_run(source, file)
        verify(source).raise_if_bad()
        history = list(source.log.history(row.run))
        imported, needs = _judge(source.log, row, history)
        small, large = _payloads_of(source, needs)
        yield Incoming(file, imported, history, small, large, _source_of(source), source.log)
    finally:
        source.close()


def take_in(store: Store, found: Incoming, actor: str = "") -> str:
    """Write the run into a store; returns its run id. It is never claimed: in the commit of its
    events the log says where they came from, and who took them in.

    Errors: RunConflict if the store has a run of this id, and those of `Log.append`.
    """
    row = found.row
    if store.log.row(row.run_id) is not None:
        raise RunConflict(
            f"this store has a run {row.run_id!r} already; {found.file} was not imported",
            hint=f"read it where it is: dwf show {row.run_id} --store {found.file}",
        )
    for digest in found.large:
        payload_files.write_file(store.folder.payloads, found.log.payload(digest), "")
    append = RunAppend(0, row.run_id, 0, found.history, row)
    said = RunImported(actor, row.run_id, len(found.history), found.source)
    done = store.log.append(Batch([append], store_events=[(_now(), said)], payloads=found.small))
    if row.run_id in done.conflicts:
        raise RunConflict(f"this store has just got a run {row.run_id!r}; nothing was imported")
    return row.run_id


def import_run(store: Store, file: Path, actor: str = "") -> str:
    """Take in the run of an exported file, once all of it has been verified; returns its run id.

    Errors: as `incoming` and `take_in`.
    """
    with incoming(file) as found:
        return take_in(store, found, actor)


# --- export ---------------------------------------------------------------------------------------


def _write(store: Store, row: RunRow, half: Path) -> None:
    fd = os.open(half, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)  # whatever the umask
    os.close(fd)
    with (
        closing(connections.open_reader(store.folder.db)) as reading,
        closing(sqlite3.connect(half, isolation_level=None)) as writing,
    ):
        writing.execute(f"PRAGMA page_size = {schema.PAGE_SIZE}")
        writing.execute("PRAGMA journal_mode = OFF")  # half a file is thrown away
        writing.execute("BEGIN")
        schema.create(writing, _now())
        whole = LogHash()
        for lines in _events(reading, row):
            writing.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", lines)
            whole.add([line[8] for line in lines])
        writing.execute(rows.INSERT, (_RUN, *rows.to_columns(attrs.evolve(row, imported=True))))
        for digest in sorted(_digests(store, reading, row)):
            writing.execute(
                "INSERT INTO payloads (digest, at, data) VALUES (?, ?, ?)",
                (digest, _now(), store.log.payload(digest)),
            )
        writing.executemany(
            "INSERT INTO meta (key, value) VALUES (?, ?)",
            [
                ("store_id", os.urandom(16).hex()),
                ("exported_from", _fingerprint(store.id)),
                ("exported_at", str(_now())),
                ("head", str(Hash(whole.seq, whole.digest().hex()))),
            ],
        )
        writing.execute("COMMIT")
    fd = os.open(half, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _fingerprint(store_id: str) -> str:
    """Says of two exports whether they come from one store. The id itself stays at home: who knows
    it could make a store that its owner's engines take for their own.
    """
    return blake2b(store_id.encode(), digest_size=8, person=b"dwf-export").hexdigest()


_is_fingerprint = re.compile("[0-9a-f]{16}").fullmatch


def _events(reading: sqlite3.Connection, row: RunRow) -> Iterator[list[tuple[Any, ...]]]:
    """The events of a run, numbered anew from seq 1, their hashes proved on the way."""
    previous, last = GENESIS, 0
    while last < row.n:
        page = reading.execute(
            f"SELECT {_COLUMNS} FROM events WHERE run = ? AND n > ? AND n <= ? "  # noqa: S608
            f"ORDER BY n LIMIT {_PAGE}",
            (row.run, last, row.n),
        ).fetchall()
        lines = []
        for n, at, kind, task, attempt, body, found in page:
            previous = link(previous, row.run_id, n, at, kind, task, attempt, body)
            last += 1
            if found != previous or n != last:
                raise VerificationFailed(
                    f"run {row.run_id}, event {n} ({kind}) is not as it was written; "
                    "the run was not exported",
                    hint=f"dwf audit verify {row.run_id}",
                )
            lines.append((n, _RUN, n, at, kind, task, attempt, body, found))
        if not lines:
            raise VerificationFailed(f"run {row.run_id}: event {last + 1} is missing")
        yield lines


def _digests(store: Store, reading: sqlite3.Connection, row: RunRow) -> set[str]:
    """What the run needs, and whatever else it may name that is there."""
    history = store.log.history(row.run)
    needed = {need.digest for recorded in history for need in needs_of(recorded.event)}
    workflow = Workflow.as_recorded(store.log.payload(row.definition).decode())
    needed |= {need.digest for need in needs_of_definition(workflow)}
    named = mentioned(reading, store.folder.payloads, run=row.run)
    return needed | {digest for digest in named.digests if store.log.has_payload(digest)}


# --- import ---------------------------------------------------------------------------------------


def _only_run(source: Store, file: Path) -> RunRow:
    found = source.log.rows(limit=2)
    if len(found) != 1:
        raise CallerError(
            f"{file} is not an exported run: it holds {'no run' if not found else 'several runs'}",
            hint="dwf export RUN FILE   writes such a file",
        )
    return found[0]


def _source_of(source: Store) -> str:
    """What is the same in all files of one store; "" where somebody has taken it away."""
    with closing(connections.open_reader(source.folder.db)) as connection:
        found = connection.execute("SELECT value FROM meta WHERE key = 'exported_from'").fetchone()
    return found[0] if found and _is_fingerprint(found[0]) else ""


def _judge(log: Log, row: RunRow, history: list[Recorded]) -> tuple[RunRow, list[Need]]:
    """The read model that the history gives, and all the payloads it needs, each proved whole."""
    needs = [need for recorded in history for need in needs_of(recorded.event)]
    if not needs:
        raise VerificationFailed(f"run {row.run_id} does not begin with its creation")
    try:
        workflow = Workflow.as_recorded(log.payload(needs[0].digest).decode())
    except UnicodeDecodeError as error:
        raise PayloadMissing(f"the definition of run {row.run_id} is no text") from error
    needs += needs_of_definition(workflow)
    for need in needs:
        try:
            log.payload(need.digest)
        except DurableWorkflowError as error:
            raise PayloadMissing(f"run {row.run_id}: {need.what}: {error.message}") from error
    state = replay(RunState.of(row.run_id, workflow), history)
    return attrs.evolve(row_of(state), imported=True), needs


def _payloads_of(source: Store, needs: list[Need]) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Payloads for the table, and digests of those that belong into files."""
    as_files = {need.digest for need in needs if need.file}
    small: list[tuple[str, bytes]] = []
    large: list[str] = []
    with closing(connections.open_reader(source.folder.db)) as connection:
        try:
            sizes = connection.execute("SELECT digest, length(data) FROM payloads").fetchall()
        except sqlite3.DatabaseError as error:
            raise StoreError(f"its payloads cannot be read: {error}") from error
    for digest, size in sizes:
        if digest in as_files or size > TABLE_MAX:
            large.append(digest)
        else:
            small.append((digest, source.log.payload(digest)))
    return small, large


def _now() -> int:
    return time.time_ns() // 1000
