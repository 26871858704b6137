"""A model of a disk with a volatile cache: what may be left after a power cut.

Owns: the rules of durability. A file's bytes are durable after a sync of that file; a name in a
folder (created, renamed, deleted) after a sync of that folder. What is not durable may have
reached the disk or not, each write by itself, and the last sectors of a write without the first.
Must never: be kinder than a real file system; it may be crueller.
Read next: `power.py`, which opens the images.

Two rules of SQLite's unix VFS are part of the calls: the first sync of a new journal or WAL also
syncs its folder, and so does a delete that asks for it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from faults.calls import Call

SECTOR = 512
Image = dict[str, bytes]
"""Path below the root -> content. A folder's path ends in "/"."""


class Survives(Enum):
    """How much of what was not synced is found after the power cut."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    GHOSTS = "ghosts"
    """the synced bytes only, but deleted files whose deletion is not durable are back"""
    RANDOM = "random"
    """any of it, with torn writes"""


class _File:
    """Bytes: what is synced, and the changes since."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Call] = []
        self.syncs_folder = False

    def sync(self) -> None:
        for call in self.pending:
            _apply(self.synced, call)
        self.pending.clear()

    def content(self, survives: Survives, rng: random.Random) -> bytes:
        data = bytearray(self.synced)
        for call in self.pending:
            if survives is Survives.EVERYTHING:
                _apply(data, call)
            elif survives is Survives.RANDOM and rng.random() < 0.5:
                _apply(data, _torn(call, rng) if rng.random() < 0.3 else call)
        return bytes(data)


class _Change:
    """A change of names that is not durable yet: `gone` disappears, `name` appears as `node`."""

    def __init__(self, gone: str = "", name: str = "", node: _File | None = None) -> None:
        self.gone, self.name, self.node = gone, name, node

    def apply(self, names: dict[str, _File | None]) -> None:
        if self.gone:
            names.pop(self.gone, None)
        if self.name:
            names[self.name] = self.node


class Disk:
    """The files below one root, as the calls so far have left them."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.realpath(root)
        self.live: dict[str, _File | None] = {}
        self.durable: dict[str, _File | None] = {}
        self.changes: dict[str, list[_Change]] = {}
        """names (a folder's node is None), now and for sure; changes in between, by folder"""

    def see(self, call: Call) -> None:
        """Apply one call."""
        name = self.name_of(call.path)
        match call.kind:
            case "open":
                if call.creates and name not in self.live:
                    file = _File()
                    file.syncs_folder = call.syncs_folder
                    self.change(name, _Change(name=name, node=file))
            case "mkdir":
                self.change(name, _Change(name=name))
            case "write" | "truncate":
                self.file(name).pending.append(call)
            case "sync":
                self.sync(name)
            case "sync_folder":
                self.sync_names(name)
            case "rename":
                target = self.name_of(call.target)
                moved = _Change(gone=name, name=target, node=self.live[name])
                self.change(target, moved)
            case "delete":
                if name in self.live:
                    self.change(name, _Change(gone=name))
                if call.syncs_folder:
                    self.sync_names(os.path.dirname(name))
            case _:
                pass

    def images(self, rng: random.Random, random_images: int) -> Iterator[tuple[Survives, Image]]:
        """What may be found if the power fails now."""
        for survives in (Survives.NOTHING, Survives.EVERYTHING, Survives.GHOSTS):
            yield survives, self.image(survives, rng)
        for _ in range(random_images):
            yield Survives.RANDOM, self.image(Survives.RANDOM, rng)

    def image(self, survives: Survives, rng: random.Random) -> Image:
        """One of the states that the disk may be found in."""
        names = dict(self.durable)
        for folder in sorted(self.changes):
            for change in self.changes[folder]:
                if _reached(change, survives, rng):
                    change.apply(names)
        return {
            (name if file else f"{name}/"): (file.content(survives, rng) if file else b"")
            for name, file in names.items()
            if _reachable(name, names)
        }

    def differs_from(self, folder: Path, ignore: tuple[str, ...] = ()) -> list[str]:
        """Files below `folder` that are not what the calls say: a change was not seen."""
        expected = self.image(Survives.EVERYTHING, random.Random(0))
        found = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and not path.match("*-shm")
        }
        names = sorted(set(expected) | set(found))
        return [
            name
            for name in names
            if not name.startswith(ignore)
            and not name.endswith("/")
            and expected.get(name) != found.get(name)
        ]

    def name_of(self, path: str) -> str:
        return os.path.relpath(path, self.root) if path != self.root else ""

    def file(self, name: str) -> _File:
        file = self.live.get(name)
        if file is None:
            raise AssertionError(f"{name} is used, but was never seen to be created")
        return file

    def change(self, name: str, change: _Change) -> None:
        change.apply(self.live)
        self.changes.setdefault(os.path.dirname(name), []).append(change)

    def sync(self, name: str) -> None:
        file = self.file(name)
        file.sync()
        if file.syncs_folder:
            file.syncs_folder = False
            self.sync_names(os.path.dirname(name))

    def sync_names(self, folder: str) -> None:
        for change in self.changes.pop(folder, []):
            change.apply(self.durable)


def _reached(change: _Change, survives: Survives, rng: random.Random) -> bool:
    match survives:
        case Survives.NOTHING:
            return False
        case Survives.EVERYTHING:
            return True
        case Survives.GHOSTS:
            return bool(change.name)
        case Survives.RANDOM:
            return rng.random() < 0.5


def _reachable(name: str, names: dict[str, _File | None]) -> bool:
    """Whether every folder on the way to `name` has survived too."""
    parent = os.path.dirname(name)
    return not parent or (parent in names and _reachable(parent, names))


def _apply(data: bytearray, call: Call) -> None:
    if call.kind == "truncate":
        del data[call.offset :]
        data.extend(bytes(call.offset - len(data)))
        return
    if len(data) < call.offset:
        data.extend(bytes(call.offset - len(data)))
    data[call.offset : call.offset + len(call.data)] = call.data


def _torn(call: Call, rng: random.Random) -> Call:
    """A write of which only some sectors at one end have arrived."""
    sectors = len(call.data) // SECTOR
    if call.kind != "write" or sectors < 2:
        return call
    cut = SECTOR * rng.randrange(1, sectors)
    if rng.random() < 0.5:
        return call._replace(data=call.data[:cut])
    return call._replace(data=call.data[cut:], offset=call.offset + cut)
