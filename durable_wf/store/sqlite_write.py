"""What one transaction writes: events with their hashes, read model, inbox, leases, payloads, and
the tables beside the log.

Owns: the judgement which runs of a batch are in conflict, and every INSERT of an append. It knows
the tips of the streams it wrote last, and reads them again whenever another process has committed.
Must never: begin, commit or roll back; `sqlite.py` does, and says here how it ended.
Read next: `chain.py`, `leases.py`.
"""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import attrs

from durable_wf.core.codec import encode
from durable_wf.core.events import Recorded
from durable_wf.core.hot import hot
from durable_wf.core.summary import Moved, RunRow
from durable_wf.errors import HistoryError, LostTail
from durable_wf.store import beats, outcomes, rows
from durable_wf.store.chain import GENESIS, LogHash, link
from durable_wf.store.leases import settle
from durable_wf.store.port import Appended, Batch, RunAppend

_MANY = 32
"""Events in one statement: a third less CPU time per event than one statement for each."""

_ONE_EVENT = "(?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_EVENT = f"INSERT INTO events VALUES {_ONE_EVENT}"  # noqa: S608 - nothing but marks
_INSERT_MANY = f"INSERT INTO events VALUES {', '.join([_ONE_EVENT] * _MANY)}"  # noqa: S608
_INSERT_PAYLOAD = (  # one that is there stays, unless it is damaged
    "INSERT INTO payloads (digest, at, data) VALUES (?, ?, ?) "
    "ON CONFLICT (digest) DO UPDATE SET data = excluded.data WHERE data <> excluded.data"
)
_TIP = "SELECT n, hash FROM events WHERE run = ? ORDER BY n DESC LIMIT 1"
_RETRIED = "SELECT 1 FROM runs WHERE origin = ? AND origin <> '' AND root <> '' AND imported = 0"

STORE_STREAM = 0
"""The surrogate of the store's own stream; its public id is ""."""

_MOST_TIPS = 20_000


@hot
class Tip:
    """The end of a stream."""

    run_id: str
    n: int
    hash: bytes


@attrs.define
class Pending:
    """A batch that is written but not committed: the hashes of its events, the tips and the
    surrogate that come of it. Without `wrote` there is nothing to commit.
    """

    appended: Appended
    last_run: int
    beating: beats.Beating
    hashes: list[bytes]
    tips: dict[int, Tip]
    wrote: bool


class LogWriter:
    """Writes batches into the open transaction of one connection."""

    def __init__(self, log_hash: LogHash, alive: Callable[[str], bool]) -> None:
        self.log_hash = log_hash
        self._alive = alive
        self._tips: dict[int, Tip] = {}
        self._last_run = 0
        self._beating: beats.Beating = set()
        self._version: int | None = None

    def write(self, connection: sqlite3.Connection, batch: Batch) -> Pending:
        """Write all of the batch but the runs in conflict. The caller has begun a transaction."""
        cursor = connection.cursor()  # for all that every batch needs: each takes time to make
        self._catch_up(cursor)
        conflicts = self._conflicts(connection, batch)
        if batch.takes or batch.drops:
            self._settle_leases(connection, batch, conflicts)
        appended = Appended({}, {}, frozenset(conflicts))
        wrote = bool(batch.payloads or batch.takes or batch.drops)
        pending = Pending(appended, self._last_run, self._beating, [], {}, wrote)
        if batch.appends or batch.store_events:
            self._write_events(cursor, batch, pending)
        if batch.answers:
            _write_answers(connection, batch, pending)
        if batch.payloads:
            _write_payloads(connection, batch.payloads)
        if batch.outcomes:
            _write_outcomes(connection, batch, pending)
        if batch.beats:
            _write_beats(connection, batch, pending)
        if pending.beating:
            fit = [one for one in batch.appends if one.run_id not in conflicts]
            pending.beating = pending.beating - beats.clear(connection, pending.beating, fit)
        return pending

    def committed(self, pending: Pending) -> None:
        """The transaction of `pending` is durable."""
        self.log_hash.add(pending.hashes)
        if len(self._tips) > _MOST_TIPS:
            self._tips.clear()
        self._tips.update(pending.tips)
        self._last_run = pending.last_run
        self._beating = pending.beating

    # --- what stands in the log already -----------------------------------------------------------

    def _catch_up(self, cursor: sqlite3.Cursor) -> None:
        version: int = cursor.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = None
        self._tips.clear()
        self._last_run = cursor.execute("SELECT coalesce(max(run), 0) FROM runs").fetchone()[0]
        self._beating = beats.all_beating(cursor.connection)
        last: int = cursor.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        if last < self.log_hash.seq:
            raise LostTail(
                f"the log ends at event {last}; this process has committed {self.log_hash.seq}",
                hint="dwf audit verify   then   dwf db accept-loss",
            )
        new = cursor.execute(
            "SELECT hash FROM events WHERE seq > ? ORDER BY seq", (self.log_hash.seq,)
        )
        self.log_hash.add([row[0] for row in new])
        self._version = version

    def _tip(self, connection: sqlite3.Connection, run: int) -> Tip | None:
        tip = self._tips.get(run)
        if tip is None:
            if run == STORE_STREAM:
                run_id = ""
            else:
                found = connection.execute(
                    "SELECT run_id FROM runs WHERE run = ?", (run,)
                ).fetchone()
                if found is None:
                    return None
                run_id = found[0]
            last = connection.execute(_TIP, (run,)).fetchone() or (0, GENESIS)
            tip = self._tips[run] = Tip(run_id, *last)
        return tip

    # --- conflicts --------------------------------------------------------------------------------

    def _conflicts(self, connection: sqlite3.Connection, batch: Batch) -> set[str]:
        appends = batch.appends
        conflicts = {one.run_id for one in appends if not self._fits(connection, one)}
        if len(appends) > 1:
            conflicts |= _doubled(appends)
        for answer in batch.answers:
            still_open = connection.execute(
                "SELECT 1 FROM inbox WHERE id = ? AND answer IS NULL", (answer.command,)
            ).fetchone()
            if still_open is None:
                conflicts.add(answer.run_id)
        return conflicts

    def _fits(self, connection: sqlite3.Connection, append: RunAppend) -> bool:
        if append.run == 0:
            taken = connection.execute(
                "SELECT 1 FROM runs WHERE run_id = ?", (append.run_id,)
            ).fetchone()
            if taken is None and (retried := append.retries):
                taken = connection.execute(_RETRIED, (retried,)).fetchone()
            return taken is None and append.expected_n == 0
        tip = self._tip(connection, append.run)
        return tip is not None and tip.n == append.expected_n and tip.run_id == append.run_id

    def _settle_leases(
        self, connection: sqlite3.Connection, batch: Batch, conflicts: set[str]
    ) -> None:
        keys = sorted({take.key for take in batch.takes} | {drop.key for drop in batch.drops})
        held: dict[str, dict[str, int]] = {key: holders(connection, key) for key in keys}
        after, lost = settle(held, batch.drops, batch.takes, conflicts, self._alive)
        conflicts |= lost
        for key in keys:
            if after[key] != held[key]:
                connection.execute("DELETE FROM leases WHERE key = ?", (key,))
                connection.executemany(
                    "INSERT INTO leases (key, holder, units) VALUES (?, ?, ?)",
                    [(key, holder, units) for holder, units in after[key].items()],
                )

    # --- events and read model --------------------------------------------------------------------

    def _write_events(self, cursor: sqlite3.Cursor, batch: Batch, pending: Pending) -> None:
        lines: list[tuple[Any, ...]] = []
        appended = pending.appended
        for append in batch.appends:
            run_id, run = append.run_id, append.run
            if run_id in appended.conflicts:
                continue
            if run == 0:
                run = pending.last_run = pending.last_run + 1
                tip = Tip(run_id, 0, GENESIS)
                assert isinstance(append.row, RunRow)
                cursor.execute(rows.INSERT, (run, *rows.to_columns(append.row)))
            else:
                tip = self._tips[run]
                _update_row(cursor, run, append.row)
            appended.runs[run_id] = run
            appended.first_seq[run_id] = self.log_hash.seq + len(lines) + 1
            pending.tips[run] = self._extend(lines, run, tip, append.events)
        if batch.store_events:
            own = self._tip(cursor.connection, STORE_STREAM)
            assert own is not None
            events = [
                Recorded(own.n + place, at, event)
                for place, (at, event) in enumerate(batch.store_events, 1)
            ]
            pending.tips[STORE_STREAM] = self._extend(lines, STORE_STREAM, own, events)
        if lines:
            _insert(cursor, lines)
            pending.hashes = [line[8] for line in lines]
            pending.wrote = True

    def _extend(
        self, lines: list[tuple[Any, ...]], run: int, tip: Tip, events: Sequence[Recorded]
    ) -> Tip:
        """Add the lines of one stream's events; returns its new tip."""
        run_id, n, previous = tip.run_id, tip.n, tip.hash
        seq = self.log_hash.seq + len(lines)
        for recorded in events:
            n += 1
            seq += 1
            if recorded.n != n:
                raise HistoryError(f"run {run_id}: event {recorded.n} follows event {n - 1}")
            at = recorded.at
            kind, task, attempt, body = encode(recorded.event)
            previous = link(previous, run_id, n, at, kind, task, attempt, body)
            lines.append((seq, run, n, at, kind, task, attempt, body, previous))
        return Tip(run_id, n, previous)


def _doubled(appends: Sequence[RunAppend]) -> set[str]:
    """The runs that a batch names more than once, and those that retry the same one."""
    ids = Counter(append.run_id for append in appends)
    retried = Counter(append.retries for append in appends)
    return {
        a.run_id for a in appends if ids[a.run_id] > 1 or (a.retries and retried[a.retries] > 1)
    }


def _update_row(cursor: sqlite3.Cursor, run: int, row: RunRow | Moved) -> None:
    if type(row) is Moved:
        cursor.execute(rows.MOVE, (*row, run))
    else:
        assert isinstance(row, RunRow)
        cursor.execute(rows.UPDATE, (*rows.to_update(row), run))


def _insert(cursor: sqlite3.Cursor, lines: list[tuple[Any, ...]]) -> None:
    whole = len(lines) - len(lines) % _MANY
    for at in range(0, whole, _MANY):
        cursor.execute(_INSERT_MANY, list(chain.from_iterable(lines[at : at + _MANY])))
    cursor.executemany(_INSERT_EVENT, lines[whole:] if whole else lines)


def _write_answers(connection: sqlite3.Connection, batch: Batch, pending: Pending) -> None:
    answers = [
        (answer.text, int(answer.accepted), answer.command)
        for answer in batch.answers
        if answer.run_id not in pending.appended.conflicts
    ]
    connection.executemany("UPDATE inbox SET answer = ?, accepted = ? WHERE id = ?", answers)
    pending.wrote = pending.wrote or bool(answers)


def _write_payloads(connection: sqlite3.Connection, payloads: Sequence[tuple[str, bytes]]) -> None:
    now = time.time_ns() // 1000
    lines = [(digest, now, data) for digest, data in payloads]
    connection.executemany(_INSERT_PAYLOAD, lines)


def _write_outcomes(connection: sqlite3.Connection, batch: Batch, pending: Pending) -> None:
    fit = [one for one in batch.outcomes if one.run_id not in pending.appended.conflicts]
    if fit:
        outcomes.write(connection, fit)
        pending.wrote = True


def _write_beats(connection: sqlite3.Connection, batch: Batch, pending: Pending) -> None:
    lost = {_surrogate(connection, run_id) for run_id in pending.appended.conflicts}
    alive = [beat for beat in batch.beats if beat.run not in lost]
    if alive:
        beats.write(connection, alive)
        pending.beating = pending.beating | {(beat.run, beat.task) for beat in alive}
        pending.wrote = True


def _surrogate(connection: sqlite3.Connection, run_id: str) -> int:
    found = connection.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
    return found[0] if found else 0


def holders(connection: sqlite3.Connection, key: str) -> dict[str, int]:
    """Who holds `key`, in units, dead holders included."""
    return dict(
        connection.execute("SELECT holder, units FROM leases WHERE key = ?", (key,)).fetchall()
    )
