"""A full disk: nothing of the step is written, the store says so, and goes on with new room."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import child, power, scenario, vfs
from faults.calls import Call, Hook

from durable_wf.errors import DiskFull
from durable_wf.store.check import check_folder
from durable_wf.store.opening import open_store
from durable_wf.store.verify import verify

pytestmark = pytest.mark.faults


@pytest.fixture
def root() -> Iterator[Path]:
    with power.scratch() as folder:
        yield folder / "live"


def append_forty(life: scenario.Life, count: int) -> None:
    life.append("a", *(scenario.started(f"{count}-{k}-{'x' * 150}") for k in range(40)))


def fill(life: scenario.Life, limit: int = 400) -> int:
    """Append large events until the disk is full; returns how many went in."""
    life.append("a", scenario.created(scenario.SMALL), payloads=[scenario.SMALL])
    for count in range(limit):
        try:
            append_forty(life, count)
        except DiskFull:
            return count
    raise AssertionError("the disk never became full")


def the_same_step_goes_in_now(life: scenario.Life, count: int) -> None:
    """The log object goes on without being opened again, and nothing is there twice."""
    assert life.store is not None
    before = life.store.log.row("a")
    assert before is not None
    assert before.n == 1 + 40 * count, "nothing of the refused step may be there"
    append_forty(life, count)
    after = life.store.log.row("a")
    assert after is not None
    assert after.n == before.n + 40
    assert verify(life.store).sound


def test_a_database_at_its_limit_goes_on_when_the_limit_is_lifted(root: Path, monkeypatch) -> None:
    limits = [200]
    real = sqlite3.connect

    def limited(*args, **kwargs):
        connection = real(*args, **kwargs)
        connection.execute(f"PRAGMA max_page_count = {limits[0]}")
        return connection

    monkeypatch.setattr(sqlite3, "connect", limited)
    life = scenario.Life(root)
    life.open()
    count = fill(life)
    with pytest.raises(DiskFull, match="no space"):
        append_forty(life, count)
    limits[0] = 100_000
    life.store.log._connection.execute("PRAGMA max_page_count = 100000")
    the_same_step_goes_in_now(life, count)
    life.close()


@pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN)
def test_writes_that_find_no_room_are_told_and_repeated(root: Path) -> None:
    """The VFS answers FULL until the test frees the disk; then the same step goes in."""

    def living(root: Path, report: child.Reporter) -> None:
        life = scenario.Life(root)
        life.open()
        (root / "full-after").write_text("300000")
        count = fill(life)
        with pytest.raises(DiskFull, match="no space"):
            append_forty(life, count)
        (root / "full-after").unlink()
        the_same_step_goes_in_now(life, count)
        report.note("went on")
        life.close()

    def full(root: Path, _: child.Reporter) -> Hook:
        limit = root / "full-after"
        stuck = [False]

        def hook(call: Call) -> int:
            grows = call.kind == "write" and call.path.endswith(("-wal", "log.db"))
            if not grows or not limit.exists():
                return 0
            stuck[0] |= call.offset + len(call.data) > int(limit.read_text())
            return 13 if stuck[0] else 0

        return hook

    death = child.run(root, living, full)
    assert death.exit_code == 0, death.notes
    assert "went on" in death.notes
    store = open_store(root)
    assert check_folder(store.folder) == []
    store.close()


def test_a_limit_on_file_size_is_a_full_disk_too(root: Path) -> None:
    """With SIGXFSZ ignored the system answers EFBIG, which SQLite calls a write error."""

    def living(root: Path, report: child.Reporter) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        life = scenario.Life(root)
        life.open()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        count = fill(life)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        the_same_step_goes_in_now(life, count)
        report.note("went on")
        life.close()

    death = child.run(root, living, lambda _root, _report: lambda _call: 0)
    assert death.exit_code == 0, death.notes
    assert "went on" in death.notes


@pytest.mark.skipif(os.geteuid() != 0, reason="needs Linux, and root to mount a small disk")
def test_a_small_disk_that_is_really_full(tmp_path: Path) -> None:
    """A file system of 3 MiB in a mount namespace of its own, filled by a file that then goes."""
    script = tmp_path / "full.py"
    script.write_text(REALLY_FULL.format(tests=str(Path(__file__).parents[1])))
    small = tmp_path / "small"
    small.mkdir()
    command = f"mount -t tmpfs -o size=3m none {small} && exec {os.sys.executable} {script} {small}"
    import subprocess

    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    if "mount:" in done.stderr or "unshare" in done.stderr:
        pytest.skip("needs Linux that lets root mount a file system")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "sound"


REALLY_FULL = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from faults import scenario
from faults.test_store_disk_full import fill, the_same_step_goes_in_now
root = Path(sys.argv[1])
life = scenario.Life(root / "store")
life.open()
(root / "ballast").write_bytes(bytes(1 << 20))
count = fill(life)
(root / "ballast").unlink()
the_same_step_goes_in_now(life, count)
life.close()
print("sound")
"""
