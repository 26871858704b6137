"""Real engines with real workers, killed or stopped from outside, and continued by another one.

The long set (100 deaths) is chosen by `tools/torture`.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

import durable_wf as wf
from durable_wf.store.locks import WriterLock, is_held
from tests.crash.dying import check_log, check_marks, history
from tests.crash.test_engine_kill import run as run_diamond
from tests.faults import scale

VICTIM = Path(__file__).with_name("victim.py")
ROOT = Path(__file__).parent.parent.parent
RUN = "r"
DEADLINE_S = 60.0
DEATHS = 100 if scale.TORTURE else 6

_pause = threading.Event()


def wait_for(look: Callable[[], object], what: str) -> None:
    """Until `look` says something true; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        _pause.wait(0.005)


def lines(marks: Path) -> list[list[str]]:
    """The marks so far, split."""
    return [line.split() for line in marks.read_text().splitlines()] if marks.exists() else []


def three_words(marks: Path) -> Path:
    """The marks without their times, as `check_marks` reads them."""
    short = marks.with_suffix(".short")
    short.write_text("".join(" ".join(line[:3]) + "\n" for line in lines(marks)))
    return short


def check_no_overlap(marks: Path) -> int:
    """No attempt leaves a mark after a later attempt of its task has begun; counts the attempts."""
    times: dict[tuple[str, int], list[int]] = {}
    for _, task, attempt, at, _ in lines(marks):
        times.setdefault((task, int(attempt)), []).append(int(at))
    for (task, attempt), mine in times.items():
        for (other, later), theirs in times.items():
            if other == task and later > attempt:
                assert max(mine) < min(theirs), f"{task}: attempts {attempt} and {later} overlap"
    return len(times)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def hear_hang_ups() -> None:
    """These tests may run under nohup, whose immunity is handed down."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@contextmanager
def victim(store: Path, marks: Path, tasks: int = 6) -> Iterator[subprocess.Popen[str]]:
    """The script, running; whatever is left of it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, str(VICTIM), str(store), str(marks), RUN, str(tasks)],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=hear_hang_ups,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def dwf(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "durable_wf", "--store", str(store), *words],
        env=environment(), text=True, capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def alive(marks: Path) -> set[int]:
    """The worker processes that left marks and still run."""
    found = set()
    for pid in {int(line[4]) for line in lines(marks)}:
        try:
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.add(pid)
        except psutil.NoSuchProcess:
            continue
    return found


def stop_outside_a_transaction(process: subprocess.Popen[str], store: Path) -> None:
    """SIGSTOP, again until it does not hold the writer lock."""
    for _ in range(200):
        process.send_signal(signal.SIGSTOP)
        if not is_held(store / "locks", "writer"):
            return
        process.send_signal(signal.SIGCONT)
        _pause.wait(0.005)
    raise AssertionError("it was in a transaction each time")


def test_a_script_without_a_guard_killed_at_any_time_is_resumed_by_the_command_line(
    tmp_path: Path,
) -> None:
    """No finished task runs again, no two attempts of a task overlap, though they hold the GIL."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    retried = 0
    for number in range(DEATHS):
        store, marks = tmp_path / f"s{number}", tmp_path / f"m{number}"
        with victim(store, marks) as process:
            after = rng.randrange(1, 10)
            wait_for(lambda m=marks, a=after: len(lines(m)) >= a, f"{after} marks (seed {seed})")
            process.kill()
            process.wait(DEADLINE_S)
        resumed = dwf(store, "resume", "@last")
        assert resumed.returncode == 0, resumed.stderr
        check_marks(store, RUN, three_words(marks))
        check_log(store, RUN)
        retried += check_no_overlap(marks) - 7  # six that hold the GIL, and the total
        audit = dwf(store, "audit", "verify")
        assert audit.returncode == 0, audit.stderr
    scale.say(f"engines killed: {DEATHS}; attempts repeated: {retried}, overlapping: 0")
    assert retried > 0


def test_nothing_of_a_killed_engine_is_left_after_a_moment(tmp_path: Path) -> None:
    store, marks = tmp_path / "s", tmp_path / "m"
    with victim(store, marks) as process:
        wait_for(lambda: len(lines(marks)) >= 2, "two marks")
        assert alive(marks), "the positive control: its workers are seen while they live"
        process.kill()
        process.wait(DEADLINE_S)
        wait_for(lambda: not alive(marks), "the end of its workers")

    assert not alive(marks)


def test_two_engines_started_on_one_run_do_not_both_write_it(tmp_path: Path) -> None:
    """Whoever comes second is refused or lets go; the history has one author at a time."""
    store, marks = tmp_path / "s", tmp_path / "m"
    with victim(store, marks) as first, victim(store, marks) as second:
        ends = [process.communicate(timeout=DEADLINE_S) for process in (first, second)]
        codes = [process.returncode for process in (first, second)]

    outputs = [out.strip() for out, _ in ends]
    assert "total=15" in "".join(outputs), ends
    for code, (_, errors) in zip(codes, ends, strict=True):
        assert code == 0 or "OwnedElsewhere" in errors, errors
    check_log(store, RUN)
    check_marks(store, RUN, three_words(marks))
    check_no_overlap(marks)


def test_a_stopped_engine_keeps_its_run_and_goes_on_when_it_may(tmp_path: Path) -> None:
    """SIGSTOP is no death: its lock is held, so nobody takes over; nothing is lost."""
    store, marks = tmp_path / "s", tmp_path / "m"
    with victim(store, marks) as process:
        wait_for(lambda: len(lines(marks)) >= 3, "three marks")
        stop_outside_a_transaction(process, store)
        refused = dwf(store, "resume", RUN)
        os.kill(process.pid, signal.SIGCONT)
        out, errors = process.communicate(timeout=DEADLINE_S)

    assert refused.returncode == 4, refused.stderr
    assert "alive" in refused.stderr
    assert out.strip() == "total=15", errors
    check_log(store, RUN)
    assert check_no_overlap(marks) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_engine_in_order_and_says_how_to_go_on(
    number: signal.Signals, tmp_path: Path
) -> None:
    store, marks = tmp_path / "s", tmp_path / "m"
    with victim(store, marks) as process:
        wait_for(lambda: len(lines(marks)) >= 2, "two marks")
        process.send_signal(number)
        _, errors = process.communicate(timeout=DEADLINE_S)

    assert process.returncode not in (0, None)
    assert f"dwf resume {RUN}" in errors
    found = history(store, RUN)
    assert found is not None
    assert type(found[1][-1].event).__name__ == "RunReleased"
    assert dwf(store, "resume", "@last").returncode == 0
    check_log(store, RUN)
    assert check_no_overlap(marks) == 7, "attempts within the grace period were not cut off"


def test_the_overlap_check_notices_an_overlap(tmp_path: Path) -> None:
    """The positive control."""
    marks = tmp_path / "m"
    marks.write_text("begin a 1 10 7\nbegin a 2 20 8\nend a 1 30 7\n")

    with pytest.raises(AssertionError, match="overlap"):
        check_no_overlap(marks)


def test_running_the_script_again_continues_its_run(tmp_path: Path) -> None:
    store, marks = tmp_path / "s", tmp_path / "m"
    with victim(store, marks) as process:
        wait_for(lambda: len(lines(marks)) >= 4, "four marks")
        process.kill()
        process.wait(DEADLINE_S)
    with victim(store, marks) as again:
        out, errors = again.communicate(timeout=DEADLINE_S)

    assert out.strip() == "total=15", errors
    check_log(store, RUN)
    check_marks(store, RUN, three_words(marks))
    with wf.WorkflowEngine(store) as engine:
        assert len(engine.history()) == 1


def test_an_engine_stopped_inside_a_transaction_is_named_to_who_waits_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, marks = tmp_path / "s", tmp_path / "m"
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            _stop_inside_the_transaction(4)
            run_diamond(store, marks)
            code = 0
        finally:
            os._exit(code)
    try:
        assert os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
        opened = WriterLock.__init__
        monkeypatch.setattr(
            WriterLock, "__init__", lambda lock, locks: opened(lock, locks, patience_s=0.2)
        )
        with pytest.raises(wf.StoreBusy, match=str(pid)):
            run_diamond(store, marks)
        monkeypatch.undo()
    finally:
        os.kill(pid, signal.SIGCONT)
        ended = os.waitpid(pid, 0)[1]

    assert os.WEXITSTATUS(ended) == 0, "it went on where it stood"
    check_log(store, RUN)
    assert check_marks(store, RUN, marks) == 4


def _stop_inside_the_transaction(number: int) -> None:
    """SIGSTOP this process at the `number`-th time that a transaction is about to end."""
    release = WriterLock.__exit__
    met = 0

    def stopping(*args: object) -> None:
        nonlocal met
        met += 1
        if met == number:
            os.kill(os.getpid(), signal.SIGSTOP)
        release(*args)

    WriterLock.__exit__ = stopping
