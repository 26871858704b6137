"""The two implementations of the log port, each as a small world of processes sharing a store."""

from __future__ import annotations

import pytest

from durable_wf.errors import CallerError
from durable_wf.store import locks
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.opening import open_store


class SqliteWorld:
    def __init__(self, folder):
        self._folder = folder
        self._stores = []
        self._held = {}
        self.log = self.another(create=True)

    def another(self, **options):
        store = open_store(self._folder, **options)
        self._stores.append(store)
        return store.log

    def readonly(self):
        return self.another(readonly=True)

    def live(self, holder):
        self._held[holder] = locks.create(self._folder / "locks", holder)

    def die(self, holder):
        self._held.pop(holder).release()

    def end(self):
        for store in self._stores:
            store.close()
        for lock in self._held.values():
            lock.release()


class MemoryWorld:
    def __init__(self):
        self._shelf = Shelf()
        self._living = set()
        self.log = self.another()

    def another(self, **options):
        return MemoryLog(self._shelf, alive=self._living.__contains__, **options)

    def readonly(self):
        return self.another(refuse=CallerError("read-only"))

    def live(self, holder):
        self._living.add(holder)

    def die(self, holder):
        self._living.remove(holder)

    def end(self):
        pass


@pytest.fixture(params=["sqlite", "memory"])
def world(request, tmp_path):
    world = SqliteWorld(tmp_path / "store") if request.param == "sqlite" else MemoryWorld()
    yield world
    world.end()


@pytest.fixture
def new_world(tmp_path_factory):
    """Makes fresh worlds within one test, for property tests."""
    worlds = []

    def make(kind):
        folder = tmp_path_factory.mktemp("world") / "store"
        worlds.append(SqliteWorld(folder) if kind == "sqlite" else MemoryWorld())
        return worlds[-1]

    yield make
    for world in worlds:
        world.end()
