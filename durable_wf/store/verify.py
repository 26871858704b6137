"""Verification: whether the log is what was once written, event by event.

Owns: the walk over all events that computes their hashes again, finds gaps and cut ends, and
compares the log with its head; the verdict names the first bad event of every damaged run.
Must never: write, decode an event's meaning, or fail on damage: damage is what it reports.
Read next: `chain.py` (the hashes), `check.py` (what else may be wrong in a store).
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import attrs

from durable_wf.core.wording import are, count_of
from durable_wf.errors import NotFound, StoreError, VerificationFailed
from durable_wf.store import connection as connections
from durable_wf.store import head
from durable_wf.store.chain import GENESIS, HASH_BYTES, LogHash, link
from durable_wf.store.folder import Folder
from durable_wf.store.opening import Store

UNREADABLE = (sqlite3.Error, UnicodeDecodeError)
"""What reading a damaged database may raise: SQLite's message may itself be damaged text."""

_PAGE = 4000
_EVENTS = "SELECT seq, run, n, at, kind, task, attempt, body, hash FROM events"
_MOST_REPORTED = 100
_HASH = re.compile(f"([0-9]{{1,19}}):([0-9a-fA-F]{{{2 * HASH_BYTES}}})").fullmatch


def readable(name: str) -> str:
    """A name out of a log that may be forged: as it is, or quoted where it could fake a report."""
    return name if name.isprintable() else repr(name)


@attrs.frozen
class BadEvent:
    """The first event of a run that is not as it was written; `seq` 0 where it is missing."""

    run_id: str
    n: int
    seq: int
    kind: str
    why: str

    def __str__(self) -> str:
        run = f"run {readable(self.run_id)}" if self.run_id else "the store's own stream"
        where = f" (seq {self.seq}, {readable(self.kind)})" if self.seq else ""
        return f"{run}, event {self.n}{where}: {self.why}"


@attrs.frozen
class Hash:
    """The hash of the log at one seq: `str()` gives the form that is kept elsewhere."""

    seq: int
    digest: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Hash:
        """Back from `str()`. Raises ValueError."""
        found = _HASH(text.strip())
        if found is None:
            raise ValueError(
                f"{text!r:.80} is not of the form SEQ:HASH, a number and "
                f"{2 * HASH_BYTES} hexadecimal digits, as dwf audit head prints it"
            )
        return cls(int(found[1]), found[2].lower())


@attrs.frozen
class Verdict:
    """What a verification found. `bad` has one entry per damaged run, in the order of the log;
    `problems` are sentences about the log as a whole.
    """

    runs: int
    events: int
    bad: tuple[BadEvent, ...] = ()
    problems: tuple[str, ...] = ()
    head: Hash | None = None
    """the log's hash, as computed; None when one run alone was verified"""

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.bad and not self.problems

    def raise_if_bad(self) -> None:
        """Raise VerificationFailed with everything that was found."""
        if not self.sound:
            lines = [str(event) for event in self.bad] + list(self.problems)
            raise VerificationFailed(
                "the log is not as it was written:\n" + "\n".join(f"  - {line}" for line in lines),
                hint="restore a backup, or export the runs that are sound: dwf export RUN FILE",
            )


def verify(store: Store, run_id: str | None = None, *, kept: Hash | None = None) -> Verdict:
    """Verify the whole log, or one run of it. Works on stores opened for reading only.

    `kept` is a hash of the log that was noted down earlier: the log must still contain it.
    Raises NotFound when there is no such run.
    """
    return verify_folder(store.folder, run_id, kept=kept)


def verify_folder(
    folder: Folder, run_id: str | None = None, *, kept: Hash | None = None
) -> Verdict:
    """As `verify`, for a store that may be too damaged to be opened."""
    try:
        with closing(connections.open_reader(folder.db)) as connection:
            # The head first: a running engine moves it, and the log is always ahead of it.
            witnesses, problems = _witnesses(folder, connection)
            if kept is not None:
                witnesses.append(("the hash that was kept", kept))
            connection.text_factory = _any_text
            if run_id is not None:
                return _verify_run(connection, run_id, witnesses, problems)
            return _verify_all(connection, witnesses, problems)
    except (*UNREADABLE, StoreError) as error:
        return Verdict(0, 0, problems=(f"{folder.db} cannot be read: {error}",))


def head_hash(store: Store) -> Hash:
    """The hash over all that the log holds now, computed from its events: note it elsewhere, and
    `verify(kept=...)` will prove later that nothing before it was changed. Raises StoreError.
    """
    try:
        with closing(connections.open_reader(store.folder.db)) as connection:
            found = head.compute(connection)
    except UNREADABLE as error:
        raise StoreError(
            f"{store.folder.db} cannot be read: {error}", hint="dwf db check"
        ) from error
    return Hash(found.seq, found.digest.hex())


# --- streams --------------------------------------------------------------------------------------


class _Streams:
    """The ends of all streams as far as they were read, and the first bad event of each."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names
        self.tips: dict[int, tuple[int, bytes]] = {}
        self.bad: dict[int, BadEvent] = {}

    def add(self, row: Sequence[Any]) -> None:
        """Follow one event. After a bad one, its run goes on with what stands there."""
        seq, run, n, at, kind, task, attempt, body, found = row
        last, previous = self.tips.get(run, (0, GENESIS))
        run_id = self.names.get(run)
        if run_id is None:
            self.blame(run, n, seq, kind, f"it belongs to run number {run}, which does not exist")
        elif n != last + 1:
            self.blame(run, last + 1, 0, "", f"it is missing; event {n} (seq {seq}) stands there")
        else:
            try:
                right = link(previous, run_id, n, at, kind, task, attempt, body) == found
            except UnicodeEncodeError:
                right = False
            if not right:
                self.blame(run, n, seq, kind, "its hash does not fit its content")
        self.tips[run] = (n, found if isinstance(found, bytes) else b"")

    def end(self, run: int, n: int) -> None:
        """The run should end at event n."""
        last, _ = self.tips.get(run, (0, GENESIS))
        if last != n:
            why = f"the list of runs says it has {n} events, the log has {last}"
            self.blame(run, last + 1, 0, "", why)

    def blame(self, run: int, n: int, seq: int, kind: str, why: str) -> None:
        if run not in self.bad:
            self.bad[run] = BadEvent(self.names.get(run, f"?{run}"), n, seq, kind, why)

    def found(self) -> tuple[BadEvent, ...]:
        return tuple(self.bad.values())[:_MOST_REPORTED]


def _verify_all(
    connection: sqlite3.Connection, witnesses: list[tuple[str, Hash]], problems: list[str]
) -> Verdict:
    runs = _runs(connection)
    streams = _Streams({0: ""} | {run: run_id for run, run_id, _ in runs})
    whole = _Whole(witnesses)
    try:
        for page in _pages(connection, _EVENTS, "seq"):
            _name_new_runs(connection, streams, page)
            for row in page:
                streams.add(row)
            whole.add(page)
        for run, _, n in runs:
            # A run that was still growing has more by now, never less.
            if streams.tips.get(run, (0, b""))[0] < n:
                streams.end(run, n)
    except UNREADABLE as error:
        problems.append(f"after seq {whole.last} the log cannot be read: {error}")
    problems += whole.problems()
    digest = Hash(whole.log_hash.seq, whole.log_hash.digest().hex())
    return Verdict(len(streams.names) - 1, whole.events, streams.found(), tuple(problems), digest)


def _verify_run(
    connection: sqlite3.Connection,
    run_id: str,
    witnesses: list[tuple[str, Hash]],
    problems: list[str],
) -> Verdict:
    found = connection.execute("SELECT run, n FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    if found is None:
        raise NotFound(f"there is no run {run_id!r} in this store", hint="dwf list")
    run, n = found
    streams = _Streams({run: run_id})
    count = 0
    try:
        for page in _pages(connection, _EVENTS, "n", run):
            count += len(page)
            for row in page:
                streams.add(row)
        if streams.tips.get(run, (0, b""))[0] < n:
            streams.end(run, n)
        last = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        problems += [_cut(name, one.seq, last) for name, one in witnesses if one.seq > last]
    except UNREADABLE as error:
        problems.append(f"the events of run {run_id} cannot be read: {error}")
    return Verdict(1, count, streams.found(), tuple(problems))


# --- the log as a whole ---------------------------------------------------------------------------


class _Whole:
    """The hash of the log, compared with what witnesses say it was."""

    def __init__(self, witnesses: list[tuple[str, Hash]]) -> None:
        self.waiting = sorted(witnesses, key=lambda one: one[1].seq)
        self.log_hash = LogHash()
        self.events = 0
        self.last = 0
        self.said: list[str] = []

    def add(self, page: list[Sequence[Any]]) -> None:
        """Go on with a page of rows."""
        hashes = [row[8] if isinstance(row[8], bytes) else b"" for row in page]
        for row in page:
            if row[0] != self.last + 1 and len(self.said) < _MOST_REPORTED:
                self.said.append(f"seq {self.last + 1} is missing from the log")
            self.last = row[0]
        self.events += len(page)
        begin = 0
        while self.waiting and self.waiting[0][1].seq <= self.log_hash.seq + len(hashes) - begin:
            name, expected = self.waiting.pop(0)
            step = expected.seq - self.log_hash.seq
            self.log_hash.add(hashes[begin : begin + step])
            begin += step
            if self.log_hash.digest().hex() != expected.digest:
                self.said.append(
                    f"up to seq {expected.seq} the log is not the one that {name} was taken from"
                )
        self.log_hash.add(hashes[begin:])

    def problems(self) -> list[str]:
        """What was found, once everything was added."""
        self.add([])  # a witness may have seen no event yet
        return self.said + [_cut(name, one.seq, self.last) for name, one in self.waiting]


def _cut(name: str, seq: int, last: int) -> str:
    gone = seq - last
    return (
        f"the log ends at seq {last}, but {name} has seen seq {seq}: "
        f"{count_of(gone, 'event')} {are(gone)} gone "
        "(a deleted log.db-wal, a cut file or an older copy)"
    )


def _witnesses(
    folder: Folder, connection: sqlite3.Connection
) -> tuple[list[tuple[str, Hash]], list[str]]:
    if folder.is_file:
        # An exported run: one file, which has its hash inside.
        kept = connection.execute("SELECT value FROM meta WHERE key = 'head'").fetchone()
        try:
            return [("the hash it was exported with", Hash.parse(kept[0]))], []
        except (TypeError, ValueError):
            return [], [f"{folder.db} has lost the hash it was exported with"]
    try:
        found = head.read(folder.head)
    except (StoreError, OSError) as error:
        return [], [str(getattr(error, "message", error))]
    return [("its head", Hash(found.seq, found.digest.hex()))], []


# --- reading --------------------------------------------------------------------------------------


def _pages(
    connection: sqlite3.Connection, select: str, order: str, run: int | None = None
) -> Iterator[list[Sequence[Any]]]:
    """Rows in pages, each a short statement of its own: events are only ever added at the end."""
    where = f"{order} > ?" if run is None else f"run = ? AND {order} > ?"
    statement = f"{select} WHERE {where} ORDER BY {order} LIMIT {_PAGE}"
    place = 0 if order == "seq" else 2
    after: int = -(2**63)
    while True:
        values = (after,) if run is None else (run, after)
        page = connection.execute(statement, values).fetchall()
        if not page:
            return
        yield page
        after = page[-1][place]


def _runs(connection: sqlite3.Connection) -> list[tuple[int, str, int]]:
    return connection.execute("SELECT run, run_id, n FROM runs ORDER BY run").fetchall()


def _name_new_runs(
    connection: sqlite3.Connection, streams: _Streams, page: list[Sequence[Any]]
) -> None:
    """Runs that were created after the list of runs was read."""
    for run in {row[1] for row in page} - streams.names.keys():
        found = connection.execute("SELECT run_id FROM runs WHERE run = ?", (run,)).fetchone()
        if found is not None:
            streams.names[run] = found[0]


def _any_text(data: bytes) -> str:
    """Damaged text must be readable, so that it can be reported."""
    return data.decode("utf-8", "surrogateescape")
