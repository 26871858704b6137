"""Clearing a dead engine's worker: all that is left of it ends, and nothing that is not its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pool_rig import wait_for

from durable_wf.execute import processes
from durable_wf.execute.clearing import clear_worker
from durable_wf.store import locks
from durable_wf.store.locks import identity, is_held

WORKER = "w-aaaa0001-1"

HOLDING = """
import sys, time
from pathlib import Path
from durable_wf.store import locks
held = locks.create(Path(sys.argv[1]), sys.argv[2])
print(flush=True)
time.sleep(60)
"""


def start(*words, **more):
    return subprocess.Popen([*map(str, words)], start_new_session=True, **more)


@pytest.fixture
def started():
    """Processes that are ended after the test, whatever becomes of it."""
    found = []
    yield lambda *words, **more: found.append(start(*words, **more)) or found[-1]
    for process in found:
        process.kill()
        process.wait(10)
        if process.stdout:
            process.stdout.close()


@pytest.fixture
def store(tmp_path):
    """The locks of a store with a worker of old; nobody holds its lock any more."""
    folder = tmp_path / "s" / "locks"
    folder.mkdir(parents=True)
    locks.create(folder, WORKER).release()
    return folder


@pytest.fixture
def child(started, store):
    """A program that the worker started, with an environment of which only the marker is left."""
    marker = processes.marker(WORKER, identity(store, WORKER))
    process = started("sleep", 60, env={processes.MARKER: marker, "PATH": os.environ["PATH"]})
    wait_for(lambda: processes.marked(marker), "the new program's environment")
    return process


def holder(started, folder: Path, name: str):
    """A process that holds a lock."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    words = (sys.executable, "-c", HOLDING, folder, name)
    process = started(*words, env=environment, stdout=subprocess.PIPE)
    assert process.stdout.readline()
    return process


def is_alive(process) -> bool:
    return process.poll() is None


def clear(folder: Path, worker: str = WORKER, pid: int = 0, born: int = 0) -> bool:
    return clear_worker(folder, worker, pid, born, 10.0)


def test_what_a_worker_of_this_store_has_started_is_ended(store, child):
    assert clear(store)
    wait_for(lambda: not is_alive(child), "the end of the program")


def test_a_worker_of_this_store_that_still_holds_its_lock_is_ended(tmp_path, started):
    worker = holder(started, tmp_path, WORKER)
    assert is_held(tmp_path, WORKER)
    assert clear(tmp_path, pid=worker.pid, born=processes.born(worker.pid))
    assert not is_held(tmp_path, WORKER)


def test_a_restored_store_leaves_the_workers_of_the_original_alone(tmp_path, store, child):
    """It has no lock files: a backup leaves them out."""
    restored = tmp_path / "r" / "locks"
    restored.mkdir(parents=True)
    assert clear(restored, pid=child.pid, born=processes.born(child.pid))
    assert is_alive(child)
    assert clear(store), "the control"
    wait_for(lambda: not is_alive(child), "the end of the program")


def test_a_copied_store_leaves_the_workers_of_the_original_alone(tmp_path, store, child):
    """Its lock files have the same names, and are others."""
    copied = shutil.copytree(store, tmp_path / "copied")
    assert (copied / WORKER).exists()
    assert clear(copied, pid=child.pid, born=processes.born(child.pid))
    assert is_alive(child)


def test_a_store_that_was_moved_is_still_the_workers_own(tmp_path, store, child):
    store.parent.rename(tmp_path / "moved")
    assert clear(tmp_path / "moved" / "locks")
    wait_for(lambda: not is_alive(child), "the end of the program")


@pytest.mark.parametrize("name", ["writer", "e-aaaa0001", "../w-aaaa0001-1", "w-\0", ""])
def test_a_name_that_is_no_workers_has_nobody_ended(tmp_path, started, name):
    """Names stand in a log that anybody may have written."""
    lock = name if name.isprintable() and name and "/" not in name else "w-other"
    alive = holder(started, tmp_path, lock)
    assert clear(tmp_path, name, alive.pid, processes.born(alive.pid))
    assert is_alive(alive)
    assert is_held(tmp_path, lock)
