"""The begun mark: what it says, and when it says that nothing is known."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from durable_wf.execute import processes
from durable_wf.execute.mark import PAGE_SIZE, UNKNOWN, BegunMark, path_of, read_mark


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


def test_after_a_reboot_a_mark_says_nothing(tmp_path, monkeypatch):
    mark = BegunMark(path_of(tmp_path, "w"), create=True)
    mark.begin(9, 1, 1)
    mark.close()
    assert read_mark(tmp_path, "w") == 9
    monkeypatch.setattr(processes, "boot", lambda: 1)
    assert read_mark(tmp_path, "w") == UNKNOWN
