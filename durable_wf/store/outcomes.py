"""Outcomes: the rows of breaker keys in log.db.

Owns: the SQL of the table `outcomes`. The newest are kept of each key, as `core.circuit.kept` says;
a key of which nothing was heard for long is forgotten when somebody asks for that.
Must never: begin or end a transaction, or judge what the rows mean.
Read next: `core/circuit.py`; `sqlite_write.py`, which writes them with the events they belong to.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from durable_wf.core.circuit import KEPT, TURNS, Outcome, What
from durable_wf.errors import StoreError

_LAST = "SELECT coalesce(max(seq), 0) FROM outcomes WHERE key = ?"
_INSERT = "INSERT INTO outcomes (key, seq, at, what, place, began_at) VALUES (?, ?, ?, ?, ?, ?)"
_TRIM = f"""DELETE FROM outcomes WHERE key = :key AND seq <= :cut AND seq NOT IN (
    SELECT max(seq) FROM outcomes
    WHERE key = :key AND what IN ({", ".join(f"'{turn.value}'" for turn in TURNS)})
    GROUP BY what)"""  # noqa: S608 - made of constants

OF_KEY = "SELECT at, what, place, began_at FROM outcomes WHERE key = ? ORDER BY seq"
KEYS = "SELECT DISTINCT key FROM outcomes ORDER BY key"

_NOT_CLOSED = (What.OPENED, What.PROBE)
"""Turns after which a circuit is not closed, unless another one follows."""

_SILENT = """SELECT key FROM outcomes AS newest WHERE at < :before
AND seq = (SELECT max(seq) FROM outcomes WHERE key = newest.key)
AND NOT EXISTS (SELECT 1 FROM outcomes AS turn WHERE key = newest.key AND what IN (:opened, :probe)
    AND NOT EXISTS (SELECT 1 FROM outcomes WHERE key = turn.key AND seq > turn.seq
        AND what NOT IN (:ok, :failed, :opened, :probe)))"""


def forget_silent(connection: sqlite3.Connection, before: int) -> int:
    """Delete the rows of keys whose circuit is closed, and of which nothing was heard since
    `before` (UTC microseconds); returns how many keys there were.
    """
    whats = {what.name.lower(): what.value for what in (What.OK, What.FAILED, *_NOT_CLOSED)}
    silent = connection.execute(_SILENT, {"before": before, **whats}).fetchall()
    connection.executemany("DELETE FROM outcomes WHERE key = ?", silent)
    return len(silent)


def write(connection: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
    """Add rows after those that are there, and delete what is not kept any longer."""
    by_key: dict[str, list[Outcome]] = {}
    for one in outcomes:
        by_key.setdefault(one.key, []).append(one)
    for key, found in by_key.items():
        (last,) = connection.execute(_LAST, (key,)).fetchone()
        connection.executemany(
            _INSERT,
            [
                (key, seq, one.at, one.what.value, one.place, one.began_at)
                for seq, one in enumerate(found, last + 1)
            ],
        )
        connection.execute(_TRIM, {"key": key, "cut": last + len(found) - KEPT})


def read(key: str, rows: Sequence[tuple[int, str, str, int]]) -> list[Outcome]:
    """The rows that OF_KEY has found. Raises StoreError for what no engine writes."""
    try:
        return [Outcome(key, at, What(what), place, began) for at, what, place, began in rows]
    except ValueError as error:
        raise StoreError(
            f"an outcome of breaker {key!r:.80} in the log cannot be read: {error}",
            hint="dwf db check",
        ) from error


def wrong(connection: sqlite3.Connection) -> list[str]:
    """What the table holds that no engine writes, in sentences."""
    known = ", ".join(f"'{what.value}'" for what in What)
    strange = connection.execute(
        f"SELECT key, seq, what FROM outcomes WHERE what NOT IN ({known}) LIMIT 20"  # noqa: S608
    )
    found = [
        f"outcome {seq} of breaker {key!r:.80} says {what!r:.40}" for key, seq, what in strange
    ]
    homeless = connection.execute(
        "SELECT key, seq, place FROM outcomes WHERE what <> ? AND NOT EXISTS (SELECT 1 FROM runs"
        " WHERE run_id = substr(place, 1, instr(place, '/') - 1)) LIMIT 20",
        (What.RESET.value,),
    )
    found += [
        f"outcome {seq} of breaker {key!r:.80} is of {place!r:.80}, a run that is not there"
        for key, seq, place in homeless
    ]
    return found
