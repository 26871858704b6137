"""Trust: which stores this user made, and the key that signs what only this user may have made.

Owns: the user's state folder, outside every store: `stores` (one id per line) and `signing.key`.
Must never: take anything from inside a store for granted.
Read next: `opening.py`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from durable_wf.errors import UnsafeStore

_KEY_BYTES = 32
_is_id = re.compile("[0-9a-f]{32}").fullmatch


def state_folder() -> Path:
    """`$XDG_STATE_HOME/durable_wf`, else `~/.local/state/durable_wf`. Made 0700 when missing."""
    folder = _state_home() / "durable_wf"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise UnsafeStore(
            f"the folder for this user's own state cannot be made: {error}",
            hint="set XDG_STATE_HOME to a folder where you can write",
        ) from error
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise UnsafeStore(
            f"{folder} belongs to another user or may be written by others",
            hint=f"chmod 700 {folder}   or set XDG_STATE_HOME",
        )
    return folder


def _state_home() -> Path:
    base = os.environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(base):
        return Path(base)
    try:
        home = Path.home()
    except RuntimeError:
        home = Path()
    # A relative one would mean another folder in every folder, one that came with a store too.
    if not os.path.isabs(home):
        raise UnsafeStore(
            "there is no home folder to keep this user's own state in",
            hint="set HOME, or XDG_STATE_HOME, to a folder where you can write",
        )
    return home / ".local" / "state"


def is_trusted(store_id: str) -> bool:
    """Whether this user made the store, or trusted it once."""
    try:
        return store_id in (state_folder() / "stores").read_text().split()
    except FileNotFoundError:
        return False


def add_trusted(store_id: str) -> None:
    """Remember a store as this user's own. Raises UnsafeStore for what is no id of a store."""
    if not _is_id(store_id):
        # The list has one id a line: a longer text would vouch for other stores too.
        raise UnsafeStore(f"{store_id!r:.80} is not the id of a store", hint="name another store")
    if is_trusted(store_id):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(state_folder() / "stores", flags, 0o600)
    try:
        os.write(fd, f"{store_id}\n".encode())
    finally:
        os.close(fd)


def signing_key() -> bytes:
    """The user's key, made on first use."""
    path = state_folder() / "signing.key"
    if not path.exists():
        # Written whole under another name: two processes may come here at once, one file wins.
        fresh = path.with_name(f".signing.{os.getpid()}.{os.urandom(4).hex()}")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, os.urandom(_KEY_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            os.unlink(fresh)
    return path.read_bytes()
