"""Pruning: deleting payloads and output that no event names, and locks and marks of the dead.

Owns: what counts as garbage: named by no event of any run, older than a given age, and (for
output) of a worker that is no longer alive. A lock or mark goes when its engine is dead and no
unfinished run names it. So do the rows of a breaker's key that was closed and silent for long. A
Pruned event says what went. Nothing else in durable_wf deletes.
Must never: delete what a running attempt may still name. Payload files are deleted under a lock
that their writers share, and a writer that finds its file already there makes it young again.
Read next: `references.py`, `payload_files.py`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from durable_wf.core.events import Pruned
from durable_wf.store import connection as connections
from durable_wf.store import locks, outcomes, payload_files
from durable_wf.store.opening import Store
from durable_wf.store.port import Batch
from durable_wf.store.references import Mentioned, mentioned

_of_engine = re.compile(r"(?P<lock>[ew]-(?P<engine>[0-9a-f]{8})(?:-[0-9]+)?)(?:\.begun)?").fullmatch
_engines_in = re.compile(r"(?<![0-9a-z])[ew]-([0-9a-f]{8})(?![0-9a-f])").findall

DEFAULT_AGE_S = 24 * 3600.0

SILENT_S = 30 * 24 * 3600.0
"""A breaker of which nothing was heard for less than this is kept, whatever age is asked for: its
rows are few, and rules look at them."""


def prune(store: Store, actor: str = "", min_age_s: float = DEFAULT_AGE_S) -> Pruned:
    """Delete what nothing names and is older than `min_age_s` seconds; returns what was recorded.

    Safe while engines run. Errors: as `Log.append`.
    """
    folder = store.folder
    young = time.time() - min_age_s
    dead = _dead(folder.locks)  # before the log is read: who is dead now writes no names any more
    # The long look at the log is taken before the lock, so that engines do not wait for it.
    with closing(connections.open_reader(folder.db)) as connection:
        known = mentioned(connection, folder.payloads)
        needed = _needed(connection)
    with store.log.transaction() as connection:
        known = mentioned(connection, folder.payloads, known)
        garbage = [
            (digest, size)
            for digest, size in connection.execute(
                "SELECT digest, length(data) FROM payloads WHERE at < ?", (int(young * 1e6),)
            )
            if digest not in known.digests
        ]
        connection.executemany(
            "DELETE FROM payloads WHERE digest = ?", [(digest,) for digest, _ in garbage]
        )
        before = int((time.time() - max(SILENT_S, min_age_s)) * 1e6)
        keys = outcomes.forget_silent(connection, before)
        sizes = list(_prune_payload_files(folder.payloads, known, young))
        sizes += _prune_output(folder.output, folder.locks, known, young)
    for path, engine in dead:
        if engine not in needed:
            sizes += _delete_old(path, young)
    done = Pruned(
        actor=actor,
        files=len(sizes),
        rows=len(garbage),
        size=sum(sizes) + sum(size for _, size in garbage),
        keys=keys,
    )
    if done.files or done.rows or done.keys:
        store.log.append(Batch(store_events=[(time.time_ns() // 1000, done)]))
    return done


def _prune_payload_files(payloads: Path, known: Mentioned, young: float) -> Iterator[int]:
    """Delete, folder by folder; a folder that is being written to is left for another day."""
    for folder in sorted(payloads.iterdir()):
        if not folder.is_dir() or folder.is_symlink():
            continue
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if payload_files.try_lock(fd, fcntl.LOCK_EX):
                for path in sorted(folder.iterdir()):
                    if path.name not in known.digests:
                        yield from _delete_old(path, young)
        finally:
            os.close(fd)


def _prune_output(output: Path, locks_folder: Path, known: Mentioned, young: float) -> list[int]:
    deleted: list[int] = []
    for path in sorted(output.rglob("*")):
        name = path.relative_to(output).as_posix()
        writer = path.name.partition(".")[0]
        if name in known.files or locks.is_held(locks_folder, writer):
            continue
        deleted += _delete_old(path, young)
    return deleted


def _dead(locks_folder: Path) -> list[tuple[Path, str]]:
    """Locks and marks of dead engines and of their workers, each with the engine's hex digits.

    Who probes a lock that is gone is told the same as before: nobody holds it. One without a pid
    may have been made this moment, and is not held yet.
    """
    found = []
    for path in sorted(locks_folder.iterdir()):
        parts = _of_engine(path.name)
        if parts is None:
            continue
        lock, engine = parts["lock"], parts["engine"]
        with contextlib.suppress(OSError):  # no plain file: not ours
            held = locks.is_held(locks_folder, f"e-{engine}") or locks.is_held(locks_folder, lock)
            if not held and not _is_new(locks_folder / lock):
                found.append((path, engine))
    return found


def _is_new(lock: Path) -> bool:
    try:
        return lock.lstat().st_size == 0
    except FileNotFoundError:
        return False


def _needed(connection: sqlite3.Connection) -> set[str]:
    """Hex digits of the engines that unfinished runs name: their marks tell what had begun."""
    bodies = connection.execute(
        "SELECT body FROM events JOIN runs USING (run) WHERE ended_at IS NULL "
        "UNION ALL SELECT engine FROM runs WHERE ended_at IS NULL"
    )
    return {name for (body,) in bodies for name in _engines_in(body)}


def _delete_old(path: Path, young: float) -> Iterator[int]:
    """Delete one file if it is old enough; yields its size when it is gone."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if found.st_mtime < young and not path.is_dir():
            path.unlink()
            yield found.st_size
