"""A SQLite VFS between the standard library's `sqlite3` and the disk, in plain ctypes.

Owns: seeing every open, read, write, sync, truncate and delete that SQLite does, before it
happens, and failing it when told to. No compiler, no root, no preloaded library: the shim is
registered as the default VFS, and ordinary `sqlite3.connect` uses it.
Must never: be freed. A connection may outlive the `watching` block it was opened in; its calls
then go straight to the real VFS.
Read next: `calls.py` (what a call looks like), `disk.py` (what power loss makes of the calls).
"""

from __future__ import annotations

import _sqlite3
import contextlib
import ctypes as c
from collections.abc import Iterator
from typing import Any

from faults.calls import Call, Hook

_OPEN_CREATE = 0x4
_OPEN_JOURNAL_OR_WAL = 0x800 | 0x80000
IOERR = 10

_pointer, _int, _long, _text = c.c_void_p, c.c_int, c.c_int64, c.c_char_p
_OPEN = c.CFUNCTYPE(_int, _pointer, _pointer, _pointer, _int, _pointer)
_DELETE = c.CFUNCTYPE(_int, _pointer, _text, _int)
_READ_WRITE = c.CFUNCTYPE(_int, _pointer, _pointer, _int, _long)
_TRUNCATE = c.CFUNCTYPE(_int, _pointer, _long)
_SYNC = c.CFUNCTYPE(_int, _pointer, _int)


class _Vfs(c.Structure):
    """`sqlite3_vfs`; the tail (dlopen, sleep, time, ...) is copied as it is."""

    _fields_ = [
        ("iVersion", _int), ("szOsFile", _int), ("mxPathname", _int), ("pNext", _pointer),
        ("zName", _text), ("pAppData", _pointer), ("xOpen", _pointer), ("xDelete", _pointer),
        *((f"rest{k}", _pointer) for k in range(14)),
    ]  # fmt: skip


_METHODS = (
    "xClose xRead xWrite xTruncate xSync xFileSize xLock xUnlock xCheckReservedLock xFileControl "
    "xSectorSize xDeviceCharacteristics xShmMap xShmLock xShmBarrier xShmUnmap xFetch xUnfetch"
).split()


class _IoMethods(c.Structure):
    """`sqlite3_io_methods`: how an open file is read, written and synced."""

    _fields_ = [("iVersion", _int), *((name, _pointer) for name in _METHODS)]


def _library() -> Any:
    """The SQLite that `sqlite3` itself is linked to, or None where its symbols are hidden."""
    try:
        library = c.CDLL(_sqlite3.__file__)
        library.sqlite3_vfs_find.restype = _pointer
        library.sqlite3_vfs_find.argtypes = [_text]
        library.sqlite3_vfs_register.argtypes = [_pointer, _int]
    except (OSError, AttributeError):
        return None
    return library


_LIBRARY = _library()
HIDDEN = "" if _LIBRARY else "this Python's sqlite3 hides the symbols of its SQLite library"
"""Why the shim cannot work here, or ""."""


class _Shim:
    """The one shim of this process."""

    def __init__(self, library: Any) -> None:
        self.hook: Hook | None = None
        self.error: BaseException | None = None
        self.library = library
        self.base_at = library.sqlite3_vfs_find(None)
        self.paths: dict[int, str] = {}
        self.tables: dict[int, _IoMethods] = {}
        self.alive: list[Any] = []
        base = _Vfs.from_address(self.base_at)
        self.vfs = _Vfs()
        c.memmove(c.byref(self.vfs), self.base_at, c.sizeof(_Vfs))
        self.vfs.zName, self.vfs.pNext = b"watched", None
        real_open, real_delete = _OPEN(base.xOpen), _DELETE(base.xDelete)

        def x_open(_vfs: int, name_at: int, file: int, flags: int, out: int) -> int:
            path = c.string_at(name_at).decode() if name_at else ""
            new_journal = bool(flags & _OPEN_CREATE and flags & _OPEN_JOURNAL_OR_WAL)
            creates = bool(flags & _OPEN_CREATE)
            code = self.ask(Call("open", path, creates=creates, syncs_folder=new_journal))
            code = code or real_open(self.base_at, name_at, file, flags, out)
            methods = _pointer.from_address(file)
            if code == 0 and methods.value:
                self.paths[file] = path
                methods.value = self.table_for(methods.value)
            return code

        def x_delete(_vfs: int, name: bytes, sync_folder: int) -> int:
            call = Call("delete", name.decode(), syncs_folder=bool(sync_folder))
            return self.ask(call) or real_delete(self.base_at, name, sync_folder)

        self.vfs.xOpen = self.keep(_OPEN(x_open))
        self.vfs.xDelete = self.keep(_DELETE(x_delete))
        if library.sqlite3_vfs_register(c.byref(self.vfs), 0) != 0:
            raise RuntimeError("SQLite refused the VFS")

    def ask(self, call: Call) -> int:
        """Tell the hook; its answer is 0 or an SQLite error code. An error of its own is kept."""
        if self.hook is None or not call.path:
            return 0
        try:
            return self.hook(call)
        except BaseException as error:
            self.error = self.error or error
            return IOERR

    def keep(self, callback: Any) -> int | None:
        """The address of a callback that lives as long as the process."""
        self.alive.append(callback)
        return c.cast(callback, _pointer).value

    def table_for(self, real_at: int) -> int:
        """The watched twin of a method table of the real VFS."""
        if real_at not in self.tables:
            self.tables[real_at] = self.make_table(_IoMethods.from_address(real_at))
        return c.addressof(self.tables[real_at])

    def make_table(self, real: _IoMethods) -> _IoMethods:
        sizes = {1: _IoMethods.xShmMap.offset, 2: _IoMethods.xFetch.offset}
        table = _IoMethods()
        c.memmove(c.byref(table), c.byref(real), sizes.get(real.iVersion, c.sizeof(_IoMethods)))
        read, write = _READ_WRITE(real.xRead), _READ_WRITE(real.xWrite)
        truncate, sync = _TRUNCATE(real.xTruncate), _SYNC(real.xSync)
        paths, ask = self.paths, self.ask

        def x_read(file: int, buffer: int, size: int, offset: int) -> int:
            return ask(Call("read", paths[file], offset)) or read(file, buffer, size, offset)

        def x_write(file: int, buffer: int, size: int, offset: int) -> int:
            call = Call("write", paths[file], offset, c.string_at(buffer, size))
            return ask(call) or write(file, buffer, size, offset)

        def x_truncate(file: int, size: int) -> int:
            return ask(Call("truncate", paths[file], size)) or truncate(file, size)

        def x_sync(file: int, flags: int) -> int:
            return ask(Call("sync", paths[file])) or sync(file, flags)

        table.xRead = self.keep(_READ_WRITE(x_read))
        table.xWrite = self.keep(_READ_WRITE(x_write))
        table.xTruncate = self.keep(_TRUNCATE(x_truncate))
        table.xSync = self.keep(_SYNC(x_sync))
        return table

    def make_default(self, *, watched: bool) -> None:
        at = c.byref(self.vfs) if watched else self.base_at
        self.library.sqlite3_vfs_register(at, 1)


_shims: list[_Shim] = []


@contextlib.contextmanager
def watching(hook: Hook) -> Iterator[None]:
    """Within the block, every call of connections opened in it goes through `hook` first.

    `hook(call)` answers 0 to let the call happen, or the SQLite error code it fails with.
    Raises what the hook raised, at the end of the block.
    """
    if not _shims:
        _shims.append(_Shim(_LIBRARY))
    shim = _shims[0]
    shim.hook, shim.error = hook, None
    shim.make_default(watched=True)
    try:
        yield
    finally:
        shim.hook = None
        shim.make_default(watched=False)
        if shim.error is not None:
            raise shim.error
