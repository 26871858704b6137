"""Backups: a whole store in one tar file, taken while engines go on.

Owns: the order that makes it consistent. First a snapshot of the database through SQLite, then the
payload and output files which that snapshot names (they never change once named), then a head that
fits the snapshot.
Must never: copy log.db as a file, or leave half a backup under the wanted name.
Read next: `references.py`.

A backup is restored with `tar -xf FILE`: it holds one folder, which is a store.
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
from durable_wf.store.folder import Folder
from durable_wf.store.opening import Store
from durable_wf.store.references import Mentioned, mentioned

TOP = "durable-wf-backup"
"""The folder inside the tar file."""


@attrs.frozen
class Backup:
    """What a backup holds. `damaged` names payload files that are not what was once written."""

    path: Path
    seq: int
    files: int
    size: int
    damaged: tuple[str, ...] = ()


def backup(store: Store, target: Path) -> Backup:
    """Write the store to the new tar file `target`. Safe while engines run.

    Errors: CallerError if the file exists, LostTail if the log is behind its head, StoreError.
    """
    target = target.absolute()
    if os.path.lexists(target):
        raise CallerError(f"{target} exists already", hint="name a new file")
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
            for name in ("", "payloads", "output", "locks"):
                _add_folder(tar, name)
            _add_file(tar, snapshot.db, "log.db")
            files, damaged = _add_payloads(tar, folder, named)
            files += _add_output(tar, folder, named)
            _add_file(tar, snapshot.head, "head")
        file.flush()
        os.fsync(file.fileno())
    return Backup(half, log_hash.seq, files, 0, tuple(damaged))


def _snapshot(source: Path, target: Path) -> None:
    """A consistent copy, through SQLite, as one file without a WAL."""
    with (
        closing(connections.open_reader(source)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.backup(writing)
        writing.execute("PRAGMA journal_mode = DELETE")


def _add_payloads(tar: tarfile.TarFile, folder: Folder, named: Mentioned) -> tuple[int, list[str]]:
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
            _add_folder(tar, inner)
        path = payload_files.path_of(folder.payloads, digest)
        _add_file(tar, path, f"{inner}/{digest}")
        count += 1
    return count, damaged


def _add_output(tar: tarfile.TarFile, folder: Folder, named: Mentioned) -> int:
    count = 0
    base = folder.output.resolve()
    for name in sorted(named.files):
        path = folder.output / name
        # Names stand in the log, which may have been written by anybody.
        if path.is_file() and path.resolve().is_relative_to(base):
            parent = Path(name).parent.as_posix()
            if parent != ".":
                _add_folder(tar, f"output/{parent}")
            _add_file(tar, path, f"output/{name}")
            count += 1
    return count


def _add_folder(tar: tarfile.TarFile, name: str) -> None:
    entry = tarfile.TarInfo(f"{TOP}/{name}".rstrip("/"))
    entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o700, int(time.time())
    tar.addfile(entry)


def _add_file(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file as it is now; one that grows meanwhile is cut where it was."""
    with os.fdopen(payload_files.open_plain(path), "rb") as file:
        found = os.fstat(file.fileno())
        entry = tarfile.TarInfo(f"{TOP}/{name}")
        entry.size, entry.mode, entry.mtime = found.st_size, 0o600, int(found.st_mtime)
        tar.addfile(entry, file)
