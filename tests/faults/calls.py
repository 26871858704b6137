"""What the two shims see: one value for a call of SQLite's VFS and for one of `os`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Call(NamedTuple):
    """A call on a file, about to happen.

    `kind` is open, read, write, truncate, sync, delete, rename, mkdir or sync_folder. `offset` is
    the new size for truncate. `target` is the new name for rename. `syncs_folder` says that the
    names in the file's folder become durable with it: at once for delete, with the first sync for
    the open of a new journal.
    """

    kind: str
    path: str
    offset: int = 0
    data: bytes = b""
    target: str = ""
    creates: bool = False
    syncs_folder: bool = False


class Mark(NamedTuple):
    """A note of the scenario itself between two calls: step `step` is tried, or acknowledged."""

    kind: str
    step: int


Hook = Callable[[Call], int]

CHANGES = frozenset(
    {"open", "write", "truncate", "sync", "delete", "rename", "mkdir", "sync_folder"}
)
"""The kinds after which the disk may look different."""
