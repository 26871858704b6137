"""Payload files: values too large for the database, one file each, named by their digest.

Owns: `payloads/ab/abcdef...` and how a file gets there so that it survives power loss: written
under another name, synced, renamed, its folder synced. Workers write these files themselves,
before their report names them; a file that an event names is therefore always whole.
Must never: open the database, decode a value, or delete a named file (`prune.py` deletes).
Read next: `prune.py`, `check.py`.

Every system call goes through `os.<name>`, so that the power-loss harness can watch it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

from durable_wf.core.payload import PayloadRef
from durable_wf.errors import DiskFull, PayloadMissing, StoreFailed
from durable_wf.store.room import is_no_room

DIGEST_BYTES = 16
TEMP_PREFIX = ".tmp-"
KEPT_FOLDER = "kept"
PATIENCE_S = 10.0
"""How long a writer waits for pruning to leave a folder, in seconds."""

_HEX = frozenset("0123456789abcdef")
_CHUNK = 1 << 20

_synced_folders: set[str] = set()
"""Subfolders whose own entry this process has already made durable."""


def digest_of(data: bytes) -> str:
    """The name of these bytes: blake2b of 16 bytes, as 32 hex digits."""
    return blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def is_digest(text: str) -> bool:
    """Whether `text` has the form of a digest (and is therefore safe inside a path)."""
    return len(text) == 2 * DIGEST_BYTES and _HEX.issuperset(text)


def path_of(payloads: Path, digest: str) -> Path:
    """Where the file of `digest` lies or would lie. Raises PayloadMissing if it is no digest."""
    if not is_digest(digest):
        raise PayloadMissing(
            f"{digest!r} is not the digest of a payload",
            hint="dwf audit verify   shows whether the log was changed by hand",
        )
    return payloads / digest[:2] / digest


def write_file(payloads: Path, data: bytes, codec: str) -> PayloadRef:
    """Store `data` durably and return its reference; the same bytes are written once.

    Safe while other processes write the same bytes. A damaged file of this name is replaced.
    Errors: DiskFull (nothing is left behind), StoreFailed (the disk reported an error).
    """
    digest = digest_of(data)
    path = path_of(payloads, digest)
    _write(path, data)
    return PayloadRef(digest=digest, size=len(data), codec=codec, file=True)


def write_kept(output: Path, data: bytes, suffix: str = ".bin") -> str:
    """Keep bytes that could not become a payload, for a person to look at.

    Returns the file's name relative to `output`. Nothing ever reads it back by itself.
    Errors: as `write_file`.
    """
    name = f"{KEPT_FOLDER}/{digest_of(data)}{suffix}"
    _write(output / name, data)
    return name


def has_file(payloads: Path, digest: str) -> bool:
    """Whether a file of this digest is there (its content is not looked at)."""
    return is_digest(digest) and path_of(payloads, digest).is_file()


def read_file(payloads: Path, digest: str) -> bytes:
    """The bytes of a payload file, verified. Raises PayloadMissing when absent or damaged."""
    path = path_of(payloads, digest)
    try:
        with os.fdopen(open_plain(path), "rb") as file:
            data = file.read()
    except OSError as error:
        raise _missing(path, error.strerror or str(error)) from error
    if digest_of(data) != digest:
        raise _missing(path, "its content is not what was stored")
    return data


def is_whole(payloads: Path, digest: str) -> bool:
    """Whether the file is there and its content has this digest; read in pieces."""
    found = blake2b(digest_size=DIGEST_BYTES)
    try:
        fd = open_plain(path_of(payloads, digest))
        with os.fdopen(fd, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except (OSError, PayloadMissing):
        return False
    return found.hexdigest() == digest


def open_plain(path: Path | str) -> int:
    """A descriptor to read a file with. Raises OSError for links and for what is no plain file: a
    pipe or device that somebody put in its place would be waited for, or read without end.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "is not a plain file", str(path))
    return fd


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write(path: Path, data: bytes) -> None:
    """Bring `data` to `path` durably. The folder above the path's own folder must exist."""
    try:
        _make_folder(path.parent)
        with shared(path.parent) as folder_fd:
            if _holds(path, data):
                # It may be old and about to be named again: pruning looks at the age.
                os.utime(path)
            else:
                _replace(path, data)
            # Also when the file was there: its writer may have died between rename and sync.
            os.fsync(folder_fd)
    except OSError as error:
        if is_no_room(error):
            raise DiskFull(
                f"no space left for {path} ({len(data):,} bytes)", hint="free space and try again"
            ) from error
        raise StoreFailed(f"{path} could not be written: {error}") from error


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[int]:
    """The open folder, locked so that nothing in it is pruned within the block.

    Raises TimeoutError (an OSError) when it cannot be had for PATIENCE_S seconds.
    """
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not try_lock(fd, fcntl.LOCK_SH):
            if time.monotonic() > deadline:
                raise TimeoutError(errno.ETIMEDOUT, "is being pruned for too long", str(folder))
            time.sleep(0.001)
        yield fd
    finally:
        os.close(fd)


def try_lock(fd: int, kind: int) -> bool:
    """Take a lock of a kind (LOCK_SH, LOCK_EX) on an open folder, if it is free."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_folder(folder: Path) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        # Another process may have made it a moment ago, without having synced it yet.
        if str(folder) in _synced_folders:
            return
    sync_folder(folder.parent)
    _synced_folders.add(str(folder))


def _replace(path: Path, data: bytes) -> None:
    temp = path.with_name(f"{TEMP_PREFIX}{os.getpid()}-{os.urandom(6).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(temp, flags, 0o600)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temp, path)
    except BaseException:
        with contextlib.suppress(OSError):  # a leftover is harmless, and pruned later
            os.unlink(temp)
        raise


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file at `path` is exactly `data`; a wrong size is seen without reading."""
    try:
        fd = open_plain(path)
    except OSError:
        return False
    with os.fdopen(fd, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != len(data):
            return False
        rest = memoryview(data)
        while rest:
            chunk = file.read(min(_CHUNK, len(rest)))
            if not chunk or chunk != rest[: len(chunk)]:
                return False
            rest = rest[len(chunk) :]
    return True


def _missing(path: Path, why: str) -> PayloadMissing:
    return PayloadMissing(
        f"payload {path.name} cannot be read from {path}: {why}",
        hint="put the file back from a backup; `dwf db check` lists every damaged payload",
    )
