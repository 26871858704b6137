"""The folder of a store: where it is found, how it is made, when it is refused.

Owns: the names inside a store, its modes (0700 and 0600 whatever the umask), and the judgement of
owner, links and file system.
Must never: open `log.db`; a plain descriptor of it, once closed, would drop SQLite's locks.
Read next: `opening.py`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Self

import attrs

from durable_wf.errors import CallerError, UnsafeStore
from durable_wf.store.mountinfo import read_mountinfo, refuse_remote

NAME = ".durable-wf"
VARIABLE = "DURABLE_WF_STORE"

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@attrs.frozen
class Folder:
    """The paths of a store. `path` is absolute and resolved."""

    path: Path
    db: Path
    payloads: Path
    output: Path
    locks: Path
    head: Path

    @classmethod
    def at(cls, path: Path) -> Self:
        """The names inside a store at `path`; nothing is looked at."""
        return cls(
            path=path,
            db=path / "log.db",
            payloads=path / "payloads",
            output=path / "output",
            locks=path / "locks",
            head=path / "head",
        )

    @classmethod
    def of_file(cls, file: Path) -> Self:
        """The names around a run that was exported to a file; only the file itself need exist."""
        beside = file.with_name(f"{file.name}.parts")
        return attrs.evolve(cls.at(beside), db=file)

    @property
    def place(self) -> Path:
        """What was opened, to be opened again: the folder, or the file of an exported run."""
        return self.db if self.is_file else self.path

    @property
    def is_file(self) -> bool:
        """Whether it is the file of an exported run, which has nothing beside it."""
        return self.db.parent != self.path


def named_store(given: object) -> Path:
    """The folder that somebody names. Raises CallerError for what is no path, and for an empty one:
    that would be the working folder.
    """
    try:
        text = os.fspath(given)  # type: ignore[call-overload]  # what is none is refused
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise CallerError(
            f"{given!r:.80} is no path of a store", hint="name a folder, or leave it out"
        )
    return Path(text)


def find_store(start: Path | None = None) -> Path | None:
    """The store to use when none is named: DURABLE_WF_STORE, else the nearest `.durable-wf` in
    `start` (default: the working folder) or above. None if there is none.
    """
    named = os.environ.get(VARIABLE)
    if named:
        path = Path(named)
        return path if path.exists() else None
    start = (start or Path.cwd()).resolve()
    for place in (start, *start.parents):
        if (place / NAME).is_dir():
            return place / NAME
    return None


def no_store(place: Path | None) -> str:
    """Says that there is none at `place` (None: that none was found), and who chose the place."""
    named = os.environ.get(VARIABLE)
    if named and (place is None or place.absolute() == Path(named).absolute()):
        return f"there is no store at {named}, which {VARIABLE} names"
    return "no store was found from here up" if place is None else f"there is no store at {place}"


def default_store() -> Path:
    """Where a new store goes when none is named and none is found."""
    return Path(os.environ.get(VARIABLE) or NAME)


def create_folder(path: Path, read_mounts: Callable[[], str] = read_mountinfo) -> Folder:
    """Make the folders of a store; what exists already is checked and kept. Raises UnsafeStore."""
    path = _absolute(path)
    refuse_remote(path, read_mounts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=_PRIVATE_FOLDER)
    except FileExistsError:
        _check_entry(path, folder=True)
        inside = set(os.listdir(path))
        # The -journal is left when its maker died while SQLite was turning the WAL on.
        files = {"log.db", "log.db-wal", "log.db-shm", "log.db-journal", "head"}
        if inside - files - {"payloads", "output", "locks"} and "log.db" not in inside:
            raise UnsafeStore(
                f"{path} exists, is not empty and is not a store",
                hint="name an empty or a new folder",
            ) from None
    path.chmod(_PRIVATE_FOLDER)
    folder = Folder.at(path)
    for inner in (folder.payloads, folder.output, folder.locks):
        if not os.path.lexists(inner):
            inner.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        _check_entry(inner, folder=True)
        inner.chmod(_PRIVATE_FOLDER)
    return folder


def check_folder(path: Path, read_mounts: Callable[[], str] = read_mountinfo) -> Folder:
    """The folder of an existing store, if it is safe to use. Raises UnsafeStore."""
    path = _absolute(path)
    _check_entry(path, folder=True)
    refuse_remote(path, read_mounts)
    folder = Folder.at(path)
    for inner in (folder.payloads, folder.output, folder.locks):
        if os.path.lexists(inner):
            _check_entry(inner, folder=True)
    for name in ("log.db", "log.db-wal", "log.db-shm", "log.db-journal", "head"):
        if os.path.lexists(path / name):
            _check_entry(path / name, folder=False)
    return folder


def refuse_inside(folder: Folder, target: Path) -> None:
    """Raise CallerError for a new file that would lie among those of a store."""
    if target.parent.resolve().is_relative_to(folder.path.resolve()):
        raise CallerError(
            f"{target} lies inside the store {folder.path}, which has no room for other files",
            hint="name a file elsewhere",
        )


def make_private(folder: Folder) -> None:
    """Give the database its mode; -wal and -shm take theirs from it."""
    folder.db.chmod(_PRIVATE_FILE)


def _absolute(path: Path) -> Path:
    # The parent may be reached through links; the store itself must not be one.
    return path.absolute().parent.resolve() / path.absolute().name


def _check_entry(path: Path, *, folder: bool) -> None:
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        problem = "is a symbolic link"
    elif folder != stat.S_ISDIR(found.st_mode) or not (folder or stat.S_ISREG(found.st_mode)):
        problem = "is not a folder" if folder else "is not a plain file"
    elif found.st_uid != os.geteuid():
        problem = f"belongs to another user (uid {found.st_uid})"
    elif found.st_mode & _OTHERS_WRITE:
        problem = f"may be written by others (mode {stat.S_IMODE(found.st_mode):o})"
    else:
        return
    hint = f"chmod go-w {path}" if "others" in problem else "name another store"
    raise UnsafeStore(f"{path} {problem}", hint=hint)
