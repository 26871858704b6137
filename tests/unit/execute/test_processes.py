"""Processes: who is alive, who is marked, who holds a lock."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from pool_rig import wait_for

from durable_wf.execute import processes
from durable_wf.store import locks

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture
def sleeper():
    environment = {processes.MARKER: "w-test-12", "PATH": "/bin:/usr/bin"}
    process = subprocess.Popen(["sleep", "60"], start_new_session=True, env=environment)
    yield process
    process.kill()
    process.wait(10)


def test_a_process_is_its_number_and_its_start(sleeper):
    start = processes.born(sleeper.pid)
    assert start
    assert processes.is_alive(sleeper.pid, start)
    assert not processes.is_alive(sleeper.pid, start + 1)
    assert processes.is_alive(os.getpid(), processes.born(os.getpid()))


def test_a_zombie_and_a_number_that_nobody_has_are_not_alive(sleeper):
    start = processes.born(sleeper.pid)
    sleeper.kill()
    wait_for(lambda: not processes.born(sleeper.pid), "the zombie")
    assert not processes.is_alive(sleeper.pid, start)
    sleeper.wait(10)
    assert processes.born(sleeper.pid) == 0
    assert not processes.is_alive(sleeper.pid, 0)


@linux_only
def test_a_marked_process_is_found_by_its_whole_name_or_a_prefix(sleeper):
    wait_for(lambda: processes.marked("w-test-12"), "the new program's environment")
    assert processes.marked("w-test-12") == [sleeper.pid]
    assert processes.marked("w-test-1") == []
    assert processes.marked("w-test-", prefix=True) == [sleeper.pid]
    assert processes.marked("w-other-", prefix=True) == []


def test_the_members_and_the_memory_of_a_group(sleeper):
    assert processes.members(sleeper.pid) == [sleeper.pid]
    wait_for(lambda: processes.rss_kib(sleeper.pid), "the program to be loaded")
    assert processes.kill_group(sleeper.pid)
    sleeper.wait(10)
    assert processes.members(sleeper.pid) == []
    assert processes.rss_kib(sleeper.pid) == 0
    assert not processes.kill_group(sleeper.pid)


@linux_only
def test_a_lock_is_held_by_whoever_took_it_and_their_children_but_not_by_a_probe(tmp_path):
    held = locks.create(tmp_path, "w-1-1")
    os.set_inheritable(held.fd, True)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    probe = (tmp_path / "w-1-1").open()
    watcher = subprocess.Popen(["sleep", "60"], stdin=probe)
    try:
        path = str((tmp_path / "w-1-1").resolve())
        wait_for(lambda: processes.lock_holders(path), "the child")
        assert processes.lock_holders(path) == [child.pid]
        assert processes.lock_holders(path[:-2], prefix=True) == [child.pid]
        assert processes.lock_holders(path[:-2]) == []
    finally:
        for process in (child, watcher):
            process.kill()
            process.wait(10)
        probe.close()
        held.release()


def test_waiting_kills_what_is_found_until_nothing_is(sleeper):
    def find():
        return [pid for pid in [sleeper.pid] if processes.born(pid)]

    assert processes.wait_gone(find, 10.0)
    assert processes.born(sleeper.pid) == 0


def test_waiting_ends_at_its_deadline():
    before = time.monotonic()
    assert not processes.wait_gone(lambda: [1 << 30], 0.05)
    assert time.monotonic() - before >= 0.05
