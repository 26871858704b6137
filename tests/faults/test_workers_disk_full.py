"""A full disk under the workers: none dies of it, none starts without room, and all goes on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import chores
import pytest
from pool_rig import Rig, wait_for

from durable_wf.errors import DurableWorkflowError
from durable_wf.execute import supervisor, worker
from durable_wf.execute.mark import SIZE
from durable_wf.execute.pool import _BAD_STARTS

pytestmark = pytest.mark.faults
TESTS = Path(__file__).resolve().parent.parent


def main_where_marks_need_room(birth: worker.Birth) -> None:
    """A worker on a disk that has room for its mark when the file `room` is beside the locks."""
    write = os.write

    def limited(fd: int, data: bytes) -> int:
        if len(data) == SIZE and not Path(birth.locks).with_name("room").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    os.write = limited
    worker.main(birth)


@pytest.fixture
def room(tmp_path, monkeypatch) -> Path:
    """The file that says that there is room."""
    monkeypatch.setattr(supervisor, "main", main_where_marks_need_room)
    return tmp_path / "room"


def try_until(rig: Rig, wanted: int, condition: Callable[[], object]) -> None:
    """Ask for seats, as an engine does that has work for them."""

    def tried() -> object:
        rig.executor.seats(wanted)
        rig.poll(0.1)
        return condition()

    wait_for(tried)


def test_workers_without_room_are_tried_until_they_find_it(tmp_path, room, caplog) -> None:
    with Rig(tmp_path, seats=2) as rig:
        try_until(rig, 2, lambda: rig.executor._made > 2 * _BAD_STARTS)
        assert not any(seat.open for seat in rig.executor.seats(2))
        assert str(rig.places.locks) in caplog.text
        assert caplog.text.count("no space is left") == 1, "it is said once"
        room.touch()
        assert rig.value(chores.add, 1, 2) == 3
        assert len(rig.ready(2)) == 2
        assert caplog.text.count("can be started again") == 1
    assert list(rig.places.locks.iterdir()) == []
    assert list(rig.places.output.iterdir()) == []


def test_while_there_is_no_room_one_worker_at_a_time_is_tried(
    tmp_path, room, monkeypatch, caplog
) -> None:
    with Rig(tmp_path, seats=4) as rig:
        try_until(rig, 4, lambda: "no space" in caplog.text)
        wait_for(lambda: rig.poll(0.1) or not rig.executor._workers, "the end of all four")
        before = rig.executor._made
        monkeypatch.setattr(rig.executor, "_room_at", 0.0)
        assert len(rig.executor.seats(4)) == len(rig.executor.seats(4)) == 1
        assert rig.executor._made == before + 1


def test_workers_that_have_their_room_go_on_without_new_ones(tmp_path, room, caplog) -> None:
    with Rig(tmp_path, seats=2) as rig:
        room.touch()
        (seat,) = rig.ready()
        room.unlink()
        try_until(rig, 2, lambda: "no space" in caplog.text)
        assert rig.value(chores.add, 1, 2) == 3
        assert seat in rig.executor.seats(2)


LOCKLESS = """
import shutil, sys
from pathlib import Path
from pool_rig import Rig

rig = Rig(Path(sys.argv[1]))
shutil.rmtree(rig.places.locks)
try:
    rig.ready()
except Exception as error:
    print(type(error).__name__)
"""


def test_a_worker_that_cannot_start_says_why_in_one_line(tmp_path) -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(TESTS), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", LOCKLESS, str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == DurableWorkflowError.__name__
    lines = done.stderr.splitlines()
    assert len(lines) == _BAD_STARTS
    assert all("could not start: [Errno 2] No such file" in line for line in lines)
