"""Workers and engines killed at bad moments: nothing hangs, nothing survives, nobody else loses."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import chores
import pytest
from pool_rig import Rig, kinds, wait_for

from durable_wf.core.inputs import Failed, Succeeded
from durable_wf.execute import processes
from durable_wf.execute.clearing import clear_worker
from durable_wf.execute.mark import UNKNOWN, read_mark
from durable_wf.store.locks import is_held

pytestmark = pytest.mark.faults
TESTS = Path(__file__).resolve().parent.parent


def test_workers_killed_a_hundred_times_cost_one_attempt_each(tmp_path):
    kills, rng, lost, returned, ok = 100, random.Random(7), 0, 0, 0
    with Rig(tmp_path, seats=2) as rig:
        for _ in range(kills):
            first, second = rig.ready(2)
            size = range(rng.randrange(400))
            victims = [rig.make(chores.add, n, n, on=first, estimate_us=10) for n in size]
            others = [rig.make(chores.add, n, n, on=second, estimate_us=10) for n in range(50)]
            rig.executor.start([*victims, *others])
            until = time.monotonic() + rng.random() * 0.004
            while time.monotonic() < until:
                rig.poll()
            os.kill(first.pid, signal.SIGKILL)
            # Called back, on a busy machine, is not lost either.
            assert set(kinds(rig.wait(*[a.seq for a in others]))) <= {"ok", "returned"}
            seen = kinds(rig.wait(*[a.seq for a in victims]))
            wait_for(lambda w=first.worker: rig.poll() or w not in rig.executor._workers)
            # In order: those that had finished, at most one that was lost, those never begun.
            assert seen == sorted(seen, key=["ok", "lost", "returned"].index)
            assert seen.count("lost") <= 1
            ok, lost = ok + seen.count("ok"), lost + seen.count("lost")
            returned += seen.count("returned")
        assert rig.value(chores.add, 1, 2) == 3
    print(f"{kills} kills: {ok} finished, {lost} lost, {returned} returned, others unaffected")
    assert lost
    assert returned


def test_no_attempt_is_lost_twice_or_run_although_returned(tmp_path):
    """The tasks' own marks agree with the reports."""
    path = tmp_path / "notes"
    path.touch()
    with Rig(tmp_path, seats=1) as rig:
        attempts = []
        for _ in range(20):
            seat = rig.ready()[0]
            batch = [
                rig.make(chores.note, str(path), str(len(attempts) + n), on=seat, estimate_us=20)
                for n in range(200)
            ]
            attempts += batch
            rig.executor.start(batch)
            wait_for(lambda: rig.poll() or len(rig.reports) > len(attempts) - 190)
            with contextlib.suppress(ProcessLookupError):  # the one killed before, not yet buried
                os.kill(seat.pid, signal.SIGKILL)
            rig.wait(*[a.seq for a in batch])
    ran = path.read_text().split()
    assert len(ran) == len(set(ran))
    seen = dict(zip(map(str, range(len(attempts))), kinds([rig.reports[a.seq] for a in attempts])))
    assert {n for n in ran if seen[n] == "returned"} == set()
    assert {n for n, kind in seen.items() if kind == "ok"} <= set(ran)


def test_a_worker_killed_in_the_middle_of_a_long_report_costs_that_attempt(tmp_path):
    with Rig(tmp_path) as rig:
        number = rig.start(chores.flood_all_files)
        rig.begun(number)
        worker = next(iter(rig.executor._workers.values()))
        # The pipe is full, and the worker stands in the middle of its write.
        wait_for(lambda: b"pipe" in wchan(worker.pid), "the worker to block in its write")
        os.kill(worker.pid, signal.SIGKILL)
        assert kinds(rig.wait(number)) == ["lost"]
        assert rig.value(chores.add, 1, 1) == 2


def wchan(pid):
    """Where the kernel holds a process; as good as blocked in a pipe where it does not tell."""
    try:
        text = Path(f"/proc/{pid}/wchan").read_bytes()
    except OSError:
        return b"pipe"
    return b"pipe" if text in {b"", b"0"} else text


def test_a_large_result_is_a_file_that_the_worker_wrote(tmp_path):
    with Rig(tmp_path) as rig:
        report = rig.run(chores.big_text, 50_000_000)
        assert isinstance(report, Succeeded)
        assert report.value.file
        assert report.value.size > 50_000_000


def test_a_dead_fork_server_costs_nothing(tmp_path):
    with Rig(tmp_path) as rig:
        number = rig.start(chores.use_memory, 1, 0.5)
        rig.begun(number)
        parent = int(Path(f"/proc/{rig.ready_worker().pid}/stat").read_text().split()[3])
        os.kill(parent, signal.SIGKILL)
        assert kinds(rig.wait(number)) == ["ok"]
        assert rig.value(chores.add, 1, 1) == 2
        report = rig.run(chores.kill_me)
        assert kinds([report]) == ["lost"]
        assert rig.value(chores.add, 1, 1) == 2


# --- the engine dies ------------------------------------------------------------------------------

ENGINE = """
import sys
from pathlib import Path
import chores
from pool_rig import Rig
rig = Rig(Path(sys.argv[1]), seats=1, engine="e-" + sys.argv[2])
number = rig.start(getattr(chores, sys.argv[3]), sys.argv[4], *map(float, sys.argv[5:]))
rig.begun(number)
print(rig.executor._lifeline.pid, number, flush=True)
while True:
    rig.poll(1.0)
"""


def start_engine(tmp_path, name, *arguments):
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(TESTS), *sys.path]))
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    engine = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), name, *map(str, arguments)],
        env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    reaper, seq = map(int, engine.stdout.readline().split())
    engine.stdout.close()
    return engine, reaper, seq


def kill_engine(engine):
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait(10)


@pytest.mark.parametrize("round_", range(3))
def test_nothing_survives_an_engine_that_was_killed(tmp_path, round_):
    """The task computes in C holding the interpreter; a shell, its child, one that left for a
    session of its own, and a forked one that did the same run beside it."""
    path = tmp_path / "family"
    engine, reaper, _ = start_engine(tmp_path, "aaaa0001", "family", path)
    wait_for(lambda: Path(f"{path}.pid").exists(), "the family")
    pids = [int(pid) for pid in path.read_text().split()]
    assert len(pids) == 6
    assert all(processes.born(pid) for pid in [*pids, reaper])
    at = time.monotonic()
    kill_engine(engine)
    wait_for(lambda: not any(processes.born(pid) for pid in [*pids, reaper]), "the end of all")
    print(f"all gone {1000 * (time.monotonic() - at):.0f} ms after the engine's death")
    assert not is_held(tmp_path / "locks", "w-aaaa0001-1")


def test_without_the_reaper_a_task_in_c_survives_until_its_worker_is_cleared(tmp_path):
    """The positive control of the test above, and what the next engine does about it."""
    path = tmp_path / "family"
    engine, reaper, seq = start_engine(tmp_path, "aaaa0002", "family", path)
    wait_for(lambda: Path(f"{path}.pid").exists(), "the family")
    pids = [int(pid) for pid in path.read_text().split()]
    born = processes.born(pids[0])
    os.kill(reaper, signal.SIGKILL)
    wait_for(lambda: not processes.born(reaper), "the end of the reaper")
    kill_engine(engine)
    assert all(processes.born(pid) for pid in pids[2:])
    locks = tmp_path / "locks"
    assert is_held(locks, "w-aaaa0002-1")
    assert read_mark(locks, "w-aaaa0002-1") == seq
    assert clear_worker(locks, "w-aaaa0002-1", pids[0], born, 10.0)
    assert not any(processes.born(pid) for pid in pids)
    assert not is_held(locks, "w-aaaa0002-1")


def test_clearing_kills_no_stranger_that_has_the_number_of_the_worker(tmp_path):
    (tmp_path / "locks").mkdir()
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        born = processes.born(stranger.pid)
        assert clear_worker(tmp_path / "locks", "w-aaaa0003-1", stranger.pid, born + 1, 1.0)
        assert processes.born(stranger.pid) == born
        assert read_mark(tmp_path / "locks", "w-aaaa0003-1") == UNKNOWN
    finally:
        stranger.kill()
        stranger.wait(10)


def test_a_worker_whose_reaper_was_killed_gets_a_new_one(tmp_path):
    with Rig(tmp_path, seats=2) as rig:
        rig.ready()
        first = rig.executor._lifeline.pid
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not processes.born(first), "the end of the reaper")
        rig.ready(2)
        assert rig.executor._lifeline.pid != first
        assert processes.born(rig.executor._lifeline.pid)


# --- scripts --------------------------------------------------------------------------------------

SCRIPT = """
import sys
from pathlib import Path
from pool_rig import Rig

with open(LOADED, "a") as file:
    file.write(__name__ + ".")

def double(n):
    return helper(n) * factor

def helper(n):
    return n

factor = 2
rig = Rig(Path(sys.argv[1]))
print(rig.value(double, 21), rig.value(lambda n: helper(n) + 1, 1))
rig.executor.close(1.0)
"""


def test_a_script_needs_no_guard_and_is_not_run_again_in_a_worker(tmp_path):
    script = tmp_path / "script.py"
    note = tmp_path / "loaded"
    script.write_text(f"LOADED = {str(note)!r}\n{SCRIPT}")
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(TESTS), *sys.path]))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("42 2\n", 0), done.stderr
    assert note.read_text() == "__main__."


def test_an_engine_that_forgets_to_close_still_ends_and_leaves_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport chores\nfrom pool_rig import Rig\n"
        "rig = Rig(Path(sys.argv[1]))\nrig.start(chores.write_pid_and_sleep, sys.argv[2])\n"
        "from pool_rig import wait_for\nwait_for(Path(sys.argv[2]).exists)\n"
    )
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(TESTS), *sys.path]))
    path = tmp_path / "pid"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), str(path)],
        env=environment, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert processes.born(int(path.read_text())) == 0


def test_a_fork_of_the_engine_neither_hides_its_death_nor_closes_its_workers(tmp_path):
    with Rig(tmp_path) as rig:
        rig.run(chores.nothing)
        child = os.fork()
        if child == 0:
            code = 0
            try:
                rig.executor.close(0.0)
            except BaseException:
                code = 1
            os._exit(code)
        _, status = os.waitpid(child, 0)
        assert status == 0
        report = rig.run(chores.nothing)
        assert not isinstance(report, Failed)
