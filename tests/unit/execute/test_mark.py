"""The begun mark: what it says, and when it says that nothing is known."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.errors import DiskFull
from durable_wf.execute import processes
from durable_wf.execute.mark import (
    DETAIL_MAX,
    PAGE_SIZE,
    SIZE,
    UNKNOWN,
    BegunMark,
    path_of,
    read_beat,
    read_mark,
)


def test_what_is_written_is_seen_by_another_mapping_at_once(tmp_path):
    mark = BegunMark(path_of(tmp_path, "w-1-1"), create=True)
    other = BegunMark(path_of(tmp_path, "w-1-1"), create=False)
    assert read_mark(tmp_path, "w-1-1") == 0
    mark.begin(1 << 40, 5, 6)
    assert (other.seq, other.at_ns, other.offset) == (1 << 40, 5, 6)
    assert read_mark(tmp_path, "w-1-1") == 1 << 40
    mark.page[:3] = b"abc"
    mark.set_used(3)
    assert other.unsent() == b"abc"
    assert not other.loading
    mark.set_loading(loading=True)
    assert other.loading
    mark.close()
    other.close()


def test_a_nonsensical_length_of_the_page_does_not_reach_beyond_it(tmp_path):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.set_used(1 << 60)
    assert len(mark.unsent()) == PAGE_SIZE
    mark.close()


def test_the_mark_outlives_a_writer_that_is_killed(tmp_path):
    code = (
        "import sys, os, signal\n"
        "from durable_wf.execute.mark import BegunMark\n"
        "BegunMark(sys.argv[1], create=True).begin(42, 1, 1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path_of(tmp_path, "w")], timeout=30, check=False,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert read_mark(tmp_path, "w") == 42


def test_without_a_usable_mark_everything_may_have_begun(tmp_path):
    assert read_mark(tmp_path, "w-missing") == UNKNOWN
    (tmp_path / "w-short.begun").write_bytes(b"short")
    assert read_mark(tmp_path, "w-short") == UNKNOWN
    (tmp_path / "w-link.begun").symlink_to(tmp_path / "w-short.begun")
    assert read_mark(tmp_path, "w-link") == UNKNOWN


def test_every_byte_has_its_place_on_the_disk_from_the_start(tmp_path):
    """Else a full disk would kill who writes into the mapping, in the middle of a task."""
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.close()
    assert os.stat(mark.path).st_blocks * 512 >= os.stat(mark.path).st_size == SIZE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_without_room_there_is_no_mark_and_its_name_is_free(tmp_path, monkeypatch, code):
    written = []

    def write(fd, data):
        if written:
            raise OSError(code, os.strerror(code))
        written.append(data[:4096])
        return real(fd, written[0])

    with monkeypatch.context() as patch:
        real = os.write
        patch.setattr(os, "write", write)
        with pytest.raises(DiskFull, match=r"w\.begun"):
            BegunMark(path_of(tmp_path, "w"), create=True)
    assert list(tmp_path.iterdir()) == []
    BegunMark(path_of(tmp_path, "w"), create=True).close()


def test_a_reader_survives_a_mark_that_was_cut_short_and_what_is_no_file(tmp_path, mark):
    mark.beat(7, 100, b"41")
    os.truncate(mark.path, SIZE // 2)
    os.mkfifo(tmp_path / "w-pipe.begun")
    for worker in ("w", "w-pipe"):
        assert read_mark(tmp_path, worker) == UNKNOWN
        assert read_beat(tmp_path, worker) is None


def test_after_a_reboot_a_mark_says_nothing(tmp_path, monkeypatch):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.begin(9, 1, 1)
    mark.close()
    assert read_mark(tmp_path, "w") == 9
    monkeypatch.setattr(processes, "boot", lambda: 1)
    assert read_mark(tmp_path, "w") == UNKNOWN


# --- heartbeats -----------------------------------------------------------------------------------


@pytest.fixture
def mark(tmp_path):
    made = BegunMark(path_of(tmp_path, "w"), create=True)
    made.begin(7, 1, 0)
    yield made
    made.close()


def beat_in(folder):
    found = read_beat(folder, "w")
    return found and (found.seq, found.at_ns, found.detail)


def test_the_last_heartbeat_is_read_by_others(mark, tmp_path):
    assert (mark.beat_ns, beat_in(tmp_path)) == (0, None)
    mark.beat(7, 100, b"41")
    assert (mark.beat_ns, beat_in(tmp_path)) == (100, (7, 100, "41"))
    for at in range(101, 110):
        mark.beat(7, at, b"x" * (at % 2 * DETAIL_MAX))
        assert beat_in(tmp_path) == (7, at, "x" * (at % 2 * DETAIL_MAX))


def test_a_heartbeat_without_a_detail_is_a_time_only(mark, tmp_path):
    mark.beat(7, 100, b"41")
    mark.beat(7, 200, None)
    assert (mark.beat_ns, beat_in(tmp_path)) == (200, (7, 200, "41"))


def test_the_detail_of_the_attempt_before_is_not_that_of_the_one_that_runs(mark, tmp_path):
    mark.begin(7, 50, 0)
    mark.beat(7, 100, b"41")
    mark.begin(8, 150, 0)
    assert beat_in(tmp_path) == (7, 100, "41")
    mark.beat(8, 200, None)
    assert beat_in(tmp_path) == (8, 200, "")
    mark.beat(8, 300, b"1")
    assert beat_in(tmp_path) == (8, 300, "1")


def test_heartbeats_and_reports_do_not_overlap(mark):
    mark.page[:] = b"r" * PAGE_SIZE
    mark.set_used(PAGE_SIZE)
    mark.begin(1 << 40, 5, 6)
    mark.beat(1 << 40, 100, b"x" * DETAIL_MAX)
    mark.beat(1 << 40, 101, b"y" * DETAIL_MAX)
    assert mark.unsent() == b"r" * PAGE_SIZE
    assert (mark.seq, mark.at_ns, mark.offset) == (1 << 40, 5, 6)
    assert mark.last_beat().detail == "y" * DETAIL_MAX


@given(st.lists(st.binary(max_size=40).filter(bytes.isascii), min_size=1, max_size=6), st.data())
def test_a_heartbeat_cut_off_in_the_middle_leaves_the_one_before(details, data):
    with tempfile.TemporaryDirectory() as folder:
        mark = BegunMark(path_of(folder, "w"), create=True)
        for at, detail in enumerate(details, 1):
            mark.beat(1, at, detail)
        newest = mark._slots[(len(details) - 1) & 1]
        at = data.draw(st.integers(0, 23 + len(details[-1])))
        newest[at] ^= 1 << data.draw(st.integers(0, 7))
        found = mark.last_beat()
        mark.close()
    before = len(details) - 1
    assert (found and (found.at_ns, found.detail)) == (
        (before, details[-2].decode()) if before else None
    )


def test_the_last_heartbeat_outlives_a_task_that_is_killed(tmp_path):
    code = (
        "import sys, os, signal\n"
        "from durable_wf.execute.mark import BegunMark\n"
        "mark = BegunMark(sys.argv[1], create=True)\n"
        "mark.begin(42, 1, 0)\n"
        "for n in range(1000): mark.beat(42, n + 1, b'%d' % n)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path_of(tmp_path, "w")], timeout=30, check=False,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert beat_in(tmp_path) == (42, 1000, "999")


def test_without_a_usable_mark_no_heartbeat_is_known(tmp_path, mark, monkeypatch):
    mark.beat(7, 100, b"41")
    assert read_beat(tmp_path, "w-missing") is None
    assert read_beat(tmp_path, "../w") is None
    assert beat_in(tmp_path) == (7, 100, "41")
    monkeypatch.setattr(processes, "boot", lambda: 1)
    assert beat_in(tmp_path) is None


def test_a_nonsensical_size_of_a_detail_is_no_heartbeat(mark):
    mark.beat(7, 100, b"41")
    mark._slots[0][20:24] = b"\xff" * 4
    assert mark.last_beat() is None
