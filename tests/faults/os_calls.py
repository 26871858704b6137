"""A shim around the `os` functions with which the package writes files of its own.

Owns: payload files, the head and whatever else is written through `os.<name>` below one folder:
each change is shown to the same hook that sees SQLite's calls, before it happens.
Must never: miss a change silently; `disk.Disk.differs_from` compares its record with the folder.
Read next: `disk.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

from faults.calls import Call, Hook

_ERRNO = {13: errno.ENOSPC, 14: errno.EACCES}
"""SQLite's FULL and CANTOPEN; all others are I/O errors."""


class _OsShim:
    def __init__(self, root: str, hook: Hook) -> None:
        self.root = os.path.realpath(root)
        self.hook = hook
        self.real = {name: getattr(os, name) for name in _PATCHED}

    def ask(self, call: Call) -> None:
        if not (call.path == self.root or call.path.startswith(self.root + "/")):
            return
        if code := self.hook(call):
            number = _ERRNO.get(code, errno.EIO)
            raise OSError(number, os.strerror(number), call.path)

    def path_of(self, fd: int) -> str:
        return os.readlink(f"/proc/self/fd/{fd}")

    def full(self, path: Any, folder_fd: int | None = None) -> str:
        text = os.fsdecode(path)
        if folder_fd is not None:
            return os.path.join(self.path_of(folder_fd), text)
        head, tail = os.path.split(os.path.abspath(text))
        return os.path.join(os.path.realpath(head), tail)

    def open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        name = self.full(path, dir_fd)
        if flags & (os.O_WRONLY | os.O_RDWR):
            self.ask(Call("open", name, creates=bool(flags & os.O_CREAT)))
        fd: int = self.real["open"](path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_TRUNC:
            self.ask(Call("truncate", name, 0))
        return fd

    def write(self, fd: int, data: Any) -> int:
        path = self.path_of(fd)
        if path.startswith("/"):
            self.ask(Call("write", path, os.lseek(fd, 0, os.SEEK_CUR), bytes(data)))
        return self.real["write"](fd, data)  # type: ignore[no-any-return]

    def pwrite(self, fd: int, data: Any, offset: int) -> int:
        self.ask(Call("write", self.path_of(fd), offset, bytes(data)))
        return self.real["pwrite"](fd, data, offset)  # type: ignore[no-any-return]

    def ftruncate(self, fd: int, size: int) -> None:
        self.ask(Call("truncate", self.path_of(fd), size))
        self.real["ftruncate"](fd, size)

    def fsync(self, fd: int) -> None:
        path = self.path_of(fd)
        self.ask(Call("sync_folder" if os.path.isdir(path) else "sync", path))
        self.real["fsync"](fd)

    def fdatasync(self, fd: int) -> None:
        self.ask(Call("sync", self.path_of(fd)))
        self.real["fdatasync"](fd)

    def rename(self, old: Any, new: Any, **more: Any) -> None:
        self.ask(Call("rename", self.full(old), target=self.full(new)))
        self.real["rename"](old, new, **more)

    def unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        self.ask(Call("delete", self.full(path, dir_fd)))
        self.real["unlink"](path, dir_fd=dir_fd)

    def mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if not os.path.exists(path):
            self.ask(Call("mkdir", self.full(path, dir_fd)))
        self.real["mkdir"](path, mode, dir_fd=dir_fd)

    replace = rename
    remove = unlink


_PATCHED = (
    "open", "write", "pwrite", "ftruncate", "fsync", "fdatasync", "rename", "replace", "unlink",
    "remove", "mkdir",
)  # fmt: skip


@contextlib.contextmanager
def watching_os(root: str | os.PathLike[str], hook: Hook) -> Iterator[None]:
    """Within the block, changes below `root` made through `os` go through `hook` first.

    The hook answers 0, or an SQLite error code that is turned into the matching OSError.
    """
    shim = _OsShim(os.fspath(root), hook)
    with contextlib.ExitStack() as stack:
        for name in _PATCHED:
            replacement: Callable[..., Any] = getattr(shim, name)
            stack.enter_context(mock.patch.object(os, name, replacement))
        yield
