"""Locks that show life, and the lock of the writer."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
import subprocess
import sys

import pytest

from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.locks import WriterLock, create, identity, is_held

HOLD = """
import sys
from pathlib import Path
from durable_wf.store.locks import WriterLock, create
locks = Path(sys.argv[1])
lock = create(locks, "w-1") if sys.argv[2] == "own" else WriterLock(locks).__enter__()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Starts a process that holds a lock until its stdin is closed."""
    started = []

    def start(kind):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(tmp_path), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate(timeout=10)


def test_a_lock_is_held_until_it_is_released(tmp_path):
    lock = create(tmp_path, "e-1")
    assert (lock.name, lock.path) == ("e-1", tmp_path / "e-1")
    assert is_held(tmp_path, "e-1")
    assert lock.path.read_text() == f"{os.getpid()}\n"
    lock.release()
    lock.release()
    assert not is_held(tmp_path, "e-1")
    assert lock.path.exists()


def test_a_missing_file_is_not_held_and_probing_does_not_make_it(tmp_path):
    assert not is_held(tmp_path, "e-1")
    assert not (tmp_path / "e-1").exists()


def test_a_name_is_used_once(tmp_path):
    create(tmp_path, "e-1").release()
    with pytest.raises(FileExistsError):
        create(tmp_path, "e-1")


def test_without_room_there_is_no_lock_and_its_name_is_free(tmp_path, monkeypatch):
    def write(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(DiskFull, match="w-1"):
            create(tmp_path, "w-1")
    assert list(tmp_path.iterdir()) == []
    create(tmp_path, "w-1").release()


def test_a_killed_holder_holds_no_more(tmp_path, holder):
    process = holder("own")
    assert is_held(tmp_path, "w-1")
    process.kill()
    process.wait(timeout=10)
    assert not is_held(tmp_path, "w-1")


def test_lock_files_are_private_whatever_the_umask(tmp_path):
    before = os.umask(0)
    try:
        lock = create(tmp_path, "e-1")
        writer = WriterLock(tmp_path)
    finally:
        os.umask(before)
    for path in (lock.path, writer.path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    lock.release()
    writer.close()


def test_locks_are_not_inherited(tmp_path):
    lock = create(tmp_path, "e-1")
    assert fcntl.fcntl(lock.fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    pid = os.fork()
    if pid == 0:
        # What the parent's fork closed here must not have unlocked anything there.
        os._exit(0 if lock.fd == -1 and is_held(tmp_path, "e-1") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_held(tmp_path, "e-1")
    lock.release()
    assert not is_held(tmp_path, "e-1")


def test_a_lock_is_known_by_its_file_not_by_its_name(tmp_path):
    """Copies of a store have the same names, and may be used beside the original."""
    held = create(tmp_path, "w-1-1")
    assert held.identity == identity(tmp_path, "w-1-1") != ""
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert identity(tmp_path / "copy", "w-1-1") not in {"", held.identity}
    held.release()
    assert identity(tmp_path, "w-2-1") == identity(tmp_path, "../w-1-1") == ""


def test_a_symlink_is_no_lock(tmp_path):
    (tmp_path / "e-1").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        create(tmp_path, "e-1")
    assert not (tmp_path / "elsewhere").exists()


def test_a_writer_that_waits_in_vain_names_the_holder(tmp_path, holder):
    process = holder("writer")
    lock = WriterLock(tmp_path, patience_s=0.02)
    with pytest.raises(StoreBusy, match=f"process {process.pid} "), lock:
        pytest.fail("the lock was taken twice")
    process.communicate(timeout=10)
    with lock:
        assert is_held(tmp_path, "writer")
    assert not is_held(tmp_path, "writer")
    lock.close()


def test_a_waiting_writer_goes_on_as_soon_as_the_holder_dies(tmp_path, holder):
    process = holder("writer")
    lock = WriterLock(tmp_path, patience_s=20)
    process.kill()
    with lock:
        assert lock.path.read_text().strip() == str(os.getpid())
    lock.close()
