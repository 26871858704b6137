"""Room: how a full disk is told from one that fails.

Owns: which errors of the system and of SQLite say that there is no room.
Must never: decide what becomes of who has found none, or load what workers do not need.
Read next: `payload_files.py`, `locks.py`, which raise DiskFull by it.
"""

from __future__ import annotations

import errno

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_SQLITE = frozenset({"SQLITE_FULL", "SQLITE_IOERR_SHMSIZE"})
"""The second: no room for the -shm, which whoever opens a database first makes, also to read."""


def is_no_room(error: Exception) -> bool:
    """Whether an error, of the system or of SQLite, says that the disk, or the user's share of it,
    is full.
    """
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    return getattr(error, "sqlite_errorname", "") in _SQLITE  # workers do not load sqlite3
