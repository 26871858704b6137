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
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import attrs

from durable_wf.core.codec import encode
from durable_wf.core.events import Recorded
from durable_wf.core.hot import hot
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
_TIP = "SELECT n, hash FROM events WHERE run = ? ORDER BY n DESC LIMIT 1"

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
    """A batch that is written but not committed. `last` is the hash of its last event."""

    appended: Appended
    hashes: list[bytes]
    tips: dict[int, Tip]
    last_run: int
    wrote: bool
    beating: beats.Beating = attrs.field(factory=set)


class LogWriter:
    """Writes batches into the open transaction of one connection."""

    def __init__(self, log_hash: LogHash, alive: Callable[[str], bool]) -> None:
        self.log_hash = log_hash
        self._alive = alive
        self._tips: dict[int, Tip] = {}
        self._last_run: int | None = None
        self._beating: beats.Beating = set()
        self._version: int | None = None

    def write(self, connection: sqlite3.Connection, batch: Batch) -> Pending:
        """Write all of the batch but the runs in conflict. The caller has begun a transaction."""
        self._catch_up(connection)
        conflicts = self._conflicts(connection, batch)
        if batch.takes or batch.drops:
            self._settle_leases(connection, batch, conflicts)
        pending = Pending(
            Appended({}, {}, frozenset(conflicts)), [], {}, self._last_run or 0, False
        )
        self._write_events(connection, batch, conflicts, pending)
        answers = [
            (answer.text, int(answer.accepted), answer.command)
            for answer in batch.answers
            if answer.run_id not in conflicts
        ]
        if answers:
            connection.executemany(
                "UPDATE inbox SET answer = ?, accepted = ? WHERE id = ?", answers
            )
        if batch.payloads:
            now = time.time_ns() // 1000
            connection.executemany(
                "INSERT OR IGNORE INTO payloads (digest, at, data) VALUES (?, ?, ?)",
                [(digest, now, data) for digest, data in batch.payloads],
            )
        pending.beating = self._beating
        beside = self._write_beside(connection, batch, conflicts, pending)
        pending.wrote = beside or bool(
            pending.hashes or answers or batch.payloads or batch.takes or batch.drops
        )
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

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = None
        self._tips.clear()
        self._last_run = connection.execute("SELECT coalesce(max(run), 0) FROM runs").fetchone()[0]
        self._beating = beats.all_beating(connection)
        last: int = connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0]
        if last < self.log_hash.seq:
            raise LostTail(
                f"the log ends at event {last}; this process has committed {self.log_hash.seq}",
                hint="dwf audit verify   then   dwf db accept-loss",
            )
        new = connection.execute(
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
        conflicts: set[str] = set()
        seen: set[str] = set()
        for append in batch.appends:
            if append.run_id in seen or not self._fits(connection, append):
                conflicts.add(append.run_id)
            seen.add(append.run_id)
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

    def _write_events(
        self, connection: sqlite3.Connection, batch: Batch, conflicts: set[str], pending: Pending
    ) -> None:
        lines: list[tuple[Any, ...]] = []
        for append in batch.appends:
            if append.run_id in conflicts:
                continue
            run = append.run
            if run == 0:
                run = pending.last_run = pending.last_run + 1
                tip = Tip(append.run_id, 0, GENESIS)
                connection.execute(rows.INSERT, (run, *rows.to_columns(append.row)))
            else:
                tip = self._tips[run]
                connection.execute(rows.UPDATE, (*rows.to_columns(append.row)[1:], run))
            pending.appended.runs[append.run_id] = run
            pending.appended.first_seq[append.run_id] = self.log_hash.seq + len(lines) + 1
            pending.tips[run] = self._extend(lines, run, tip, append.events)
        if batch.store_events:
            own = self._tip(connection, STORE_STREAM)
            assert own is not None
            events = [
                Recorded(own.n + place, at, event)
                for place, (at, event) in enumerate(batch.store_events, 1)
            ]
            pending.tips[STORE_STREAM] = self._extend(lines, STORE_STREAM, own, events)
        if lines:
            _insert(connection, lines)
            pending.hashes = [line[8] for line in lines]

    def _write_beside(
        self, connection: sqlite3.Connection, batch: Batch, conflicts: set[str], pending: Pending
    ) -> bool:
        """Outcomes and beats, but for those of runs in conflict; whether there were any."""
        fit = [one for one in batch.outcomes if one.run_id not in conflicts]
        if fit:
            outcomes.write(connection, fit)
        alive = batch.beats
        if alive and conflicts:
            lost = {self._surrogate(connection, run_id) for run_id in conflicts}
            alive = [beat for beat in alive if beat.run not in lost]
        if alive:
            beats.write(connection, alive)
            pending.beating = pending.beating | {(beat.run, beat.task) for beat in alive}
        if pending.beating:
            written = [one for one in batch.appends if one.run_id not in conflicts]
            pending.beating = pending.beating - beats.clear(connection, pending.beating, written)
        return bool(fit or alive)

    @staticmethod
    def _surrogate(connection: sqlite3.Connection, run_id: str) -> int:
        found = connection.execute("SELECT run FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return found[0] if found else 0

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


def _insert(connection: sqlite3.Connection, lines: list[tuple[Any, ...]]) -> None:
    whole = len(lines) - len(lines) % _MANY
    for at in range(0, whole, _MANY):
        connection.execute(_INSERT_MANY, list(chain.from_iterable(lines[at : at + _MANY])))
    connection.executemany(_INSERT_EVENT, lines[whole:])


def holders(connection: sqlite3.Connection, key: str) -> dict[str, int]:
    """Who holds `key`, in units, dead holders included."""
    return dict(
        connection.execute("SELECT holder, units FROM leases WHERE key = ?", (key,)).fetchall()
    )
