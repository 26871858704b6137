"""Backups: a whole store in one tar file, taken while engines go on.

Owns: the order that makes it consistent. First a snapshot of the database through SQLite, then the
payload and output files which that snapshot names (they never change once named), then a head that
fits the snapshot.
Must never: copy log.db as a file, or leave half a backup under the wanted name.
Read next: `references.py`.

A backup is restored with `tar -xf FILE`: it holds one folder, which is a store. The folder is named
after the time, so that another backup, unpacked beside it, does not land on it.
"""

from __future__ import annotations

import os
import sqlite3
import tarfile
import tempfile
import time
from contextlib import closing
from pathlib import Path

import attrs

from durable_wf.errors import CallerError, StoreError
from durable_wf.store import connection as connections
from durable_wf.store import head, payload_files
from durable_wf.store.folder import Folder, refuse_inside
from durable_wf.store.opening import Store
from durable_wf.store.references import Mentioned, mentioned

_NAME = "durable-wf-backup-%Y%m%d-%H%M%S"
"""The folder inside the tar file, by the time in UTC."""


@attrs.frozen
class Backup:
    """What a backup holds. `folder` is the one that it unpacks to, `damaged` names payload files
    that are not what was once written.
    """

    path: Path
    folder: str
    seq: int
    files: int
    size: int
    damaged: tuple[str, ...] = ()


def backup(store: Store, target: Path) -> Backup:
    """Write the store to the new tar file `target`. Safe while engines run.

    Errors: CallerError if the file exists or would lie inside the store, LostTail if the log is
    behind its head, StoreError.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise CallerError(f"{target} exists already", hint="name a new file")
    refuse_inside(store.folder, target)
    try:
        with tempfile.TemporaryDirectory(prefix=".dwf-backup-", dir=target.parent) as scratch:
            half = Path(scratch) / "backup.tar"
            done = _write(store.folder, Path(scratch), half)
            os.link(half, target)
        payload_files.sync_folder(target.parent)
    except FileExistsError as error:
        raise CallerError(f"{target} exists already", hint="name a new file") from error
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"the backup {target} could not be written: {error}") from error
    return attrs.evolve(done, path=target, size=target.stat().st_size)


def _write(folder: Folder, scratch: Path, half: Path) -> Backup:
    known = head.read(folder.head)
    snapshot = Folder.at(scratch)
    _snapshot(folder.db, snapshot.db)
    with closing(connections.open_reader(snapshot.db)) as connection:
        # Judged by the head as it was before the snapshot, which cannot be older than it.
        log_hash = head.follow(connection, known)
        named = mentioned(connection, folder.payloads)
    slot = head.HeadFile(snapshot.head)
    slot.write(log_hash.seq, log_hash.digest(), log_hash.base)
    slot.close()
    with half.open("xb") as file:
        os.chmod(file.fileno(), 0o600)
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            at = _now_s()
            inside = _Inside(tar, time.strftime(_NAME, time.gmtime(at)), at)
            for name in ("", "payloads", "output", "locks"):
                inside.add_folder(name)
            inside.add_file(snapshot.db, "log.db")
            files, damaged = _add_payloads(inside, folder, named)
            files += _add_output(inside, folder, named)
            inside.add_file(snapshot.head, "head")
        file.flush()
        os.fsync(file.fileno())
    return Backup(half, inside.top, log_hash.seq, files, 0, tuple(damaged))


def _snapshot(source: Path, target: Path) -> None:
    """A consistent copy, through SQLite, as one file without a WAL."""
    with (
        closing(connections.open_reader(source)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")


@attrs.frozen
class _Inside:
    """The folder inside the tar file, called `top` and made at that time."""

    tar: tarfile.TarFile
    top: str
    at_s: int

    def add_folder(self, name: str) -> None:
        entry = tarfile.TarInfo(f"{self.top}/{name}".rstrip("/"))
        entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o700, self.at_s
        self.tar.addfile(entry)

    def add_file(self, path: Path, name: str) -> None:
        """Add a file as it is now; one that grows meanwhile is cut where it was."""
        with os.fdopen(payload_files.open_plain(path), "rb") as file:
            found = os.fstat(file.fileno())
            entry = tarfile.TarInfo(f"{self.top}/{name}")
            entry.size, entry.mode, entry.mtime = found.st_size, 0o600, int(found.st_mtime)
            self.tar.addfile(entry, file)


def _add_payloads(inside: _Inside, folder: Folder, named: Mentioned) -> tuple[int, list[str]]:
    count = 0
    damaged = []
    added: set[str] = set()
    for digest in sorted(named.digests):
        if not payload_files.has_file(folder.payloads, digest):
            continue  # it lies in the database, or only looks like a digest
        if not payload_files.is_whole(folder.payloads, digest):
            damaged.append(digest)
        inner = f"payloads/{digest[:2]}"
        if inner not in added:
            added.add(inner)
            inside.add_folder(inner)
        path = payload_files.path_of(folder.payloads, digest)
        inside.add_file(path, f"{inner}/{digest}")
        count += 1
    return count, damaged


def _add_output(inside: _Inside, folder: Folder, named: Mentioned) -> int:
    count = 0
    base = folder.output.resolve()
    for name in sorted(named.files):
        path = folder.output / name
        # Names stand in the log, which may have been written by anybody.
        if path.is_file() and path.resolve().is_relative_to(base):
            parent = Path(name).parent.as_posix()
            if parent != ".":
                inside.add_folder(f"output/{parent}")
            inside.add_file(path, f"output/{name}")
            count += 1
    return count


def _now_s() -> int:
    return int(time.time())
