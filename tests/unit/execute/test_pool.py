"""The parallel executor: what it promises about starting, ending, limits and output."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import chores
import pytest
from pool_rig import Rig, kinds, wait_for

from durable_wf.core.inputs import Failed, Returned, Succeeded
from durable_wf.execute import processes, supervisor
from durable_wf.execute.mark import read_mark
from durable_wf.execute.port import Limits
from durable_wf.store.locks import identity, is_held
from durable_wf.store.payload_files import read_file

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("store")) as rig:
        yield rig


# --- running ------------------------------------------------------------------------------------


def test_a_report_gives_the_value_the_begin_and_what_it_cost(rig):
    rig.ready()
    before = time.time_ns() // 1000
    report = rig.run(chores.add, 2, 3)
    assert isinstance(report, Succeeded)
    assert report.value == "5"
    assert before <= report.began_at <= time.time_ns() // 1000
    assert 0 <= report.wall_us < 5_000_000
    assert report.rss_kib == 0 or report.wall_us > 1_000  # too short to be measured


def test_a_longer_attempt_tells_its_memory_and_the_cpu_of_its_children(rig):
    report = rig.run(chores.use_memory, 5, 0.01)
    assert isinstance(report, Succeeded)
    assert report.wall_us >= 10_000
    assert report.rss_kib > 5_000


def test_a_batch_is_run_in_order_and_reported_once_each(rig):
    seat = rig.ready()[0]
    batch = [rig.make(chores.add, n, n, on=seat, estimate_us=10) for n in range(3000)]
    rig.executor.start(batch)
    assert seat.queued == 3000
    assert seat.queued_us == 30_000
    reports = rig.wait(*[a.seq for a in batch])
    assert [r.value for r in reports] == [str(2 * n) for n in range(3000)]
    assert (seat.queued, seat.queued_us, seat.open) == (0, 0, True)
    assert reports == sorted(reports, key=lambda r: r.began_at)


def test_arguments_larger_than_any_pipe_reach_the_worker_without_blocking(rig):
    text = "x" * 5_000_000
    number = rig.start(chores.say, text)
    report = rig.wait(number)[0]
    assert report.output.length == len(text) + 1


@pytest.mark.parametrize("size", [10, 1000, 30_000, 60_000, 70_000])
def test_results_of_every_size_come_back(rig, size):
    report = rig.run(chores.big_text, size)
    assert isinstance(report, Succeeded)
    if isinstance(report.value, str):
        assert report.value == json.dumps("x" * size)
        return
    file = read_file(rig.places.payloads, report.value.digest) if report.value.file else None
    assert (report.payload or file) == json.dumps("x" * size).encode()


def test_an_attempt_for_a_worker_that_is_gone_is_returned(tmp_path):
    with Rig(tmp_path) as rig:
        a = rig.make(chores.nothing)
        os.kill(rig.ready()[0].pid, signal.SIGKILL)
        wait_for(lambda: rig.poll(0.1) or not rig.executor._workers, "the death of the worker")
        rig.executor.start([a])
        assert kinds(rig.wait(a.seq)) == ["returned"]


def test_a_seat_is_closed_until_its_worker_is_ready_and_holds_its_lock(tmp_path):
    with Rig(tmp_path) as rig:
        seat = rig.executor.seats(1)[0]
        assert not seat.open
        assert rig.ready()[0] is seat
        assert is_held(rig.places.locks, seat.worker)
        assert read_mark(rig.places.locks, seat.worker) == 0
        assert (seat.pid, seat.born) == (seat.pid, processes.born(seat.pid))


def test_seats_never_exceed_the_maximum(tmp_path):
    with Rig(tmp_path, seats=2) as rig:
        assert len(rig.executor.seats(5)) == 2
        assert len(rig.executor.seats(0)) == 2


# --- what a task sees of its process --------------------------------------------------------------


@linux_only
def test_a_worker_has_the_environment_and_folder_of_the_engine_and_nothing_else(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("OF_THE_ENGINE", "yes")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    secret = (tmp_path / "secret").open("w")
    with Rig(tmp_path) as rig:
        seen = rig.value(chores.about_here)
        seat = rig.ready()[0]
        assert seen["env"]["OF_THE_ENGINE"] == "yes"
        assert seen["env"]["OMP_NUM_THREADS"] == "1"
        assert seen["env"][processes.MARKER] == processes.marker(
            seat.worker, identity(rig.places.locks, seat.worker)
        )
        assert seen["cwd"] == str(tmp_path)
        assert seen["stdin"] == ""
        assert seen["group"] == seen["pid"] == seat.pid
        assert seen["group"] != os.getpgid(0)
        ours = {
            str(tmp_path / name)
            for name in (
                f"locks/{seat.worker}", f"locks/{seat.worker}.begun", f"output/{seat.worker}.log"
            )
        }  # fmt: skip
        files = {name for name in seen["files"] if str(tmp_path) in name}
        assert files == ours
    secret.close()


def test_cpu_and_gpus_are_in_the_environment_of_that_attempt_only(rig):
    env = rig.value(chores.about_here, limits=Limits(cpu=3.0, gpus=(1, 4)))["env"]
    assert (env["OMP_NUM_THREADS"], env["CUDA_VISIBLE_DEVICES"]) == ("3", "1,4")
    env = rig.value(chores.about_here)["env"]
    assert env["OMP_NUM_THREADS"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in env


def test_an_interrupt_from_the_terminal_does_not_reach_a_task(rig, tmp_path):
    path = str(tmp_path / "begun")
    number = rig.start(chores.write_pid_and_sleep, path, 0.3)
    wait_for(lambda: os.path.exists(path), "the task")
    os.kill(int(Path(path).read_text()), signal.SIGINT)
    assert kinds(rig.wait(number)) == ["ok"]


# --- output ---------------------------------------------------------------------------------------


def test_output_of_python_c_children_and_logging_is_kept_with_its_attempt(rig):
    rig.run(chores.say, "before")
    report = rig.run(chores.say_in_all_ways)
    text = rig.output(report.output)
    for part in ("python", "stderr", "descriptor", "from C", "from a child", "no newline"):
        assert part in text, text
    assert "INFO chore: logged" in text
    assert "before" not in text


def test_a_silent_attempt_has_no_output_and_a_silent_worker_leaves_no_file(tmp_path):
    with Rig(tmp_path) as rig:
        assert rig.run(chores.nothing).output is None
    assert list((tmp_path / "output").iterdir()) == []


def test_output_can_be_followed_and_is_kept_when_the_attempt_is_killed(tmp_path):
    with Rig(tmp_path) as rig:
        rig.run(chores.say, "earlier")
        report = rig.run(chores.segfault)
        text = rig.output(report.output)
        assert "earlier" not in text
        assert "in segfault" in text  # where it crashed


def test_a_closed_stdout_does_not_silence_the_next_attempt(rig):
    rig.run(chores.close_output)
    assert rig.output(rig.run(chores.say, "heard").output) == "heard\n"


@pytest.mark.parametrize("seconds", [0.0, 0.01])
def test_what_an_attempt_did_to_its_process_does_not_reach_the_next(rig, seconds):
    rig.run(chores.go_elsewhere, seconds)
    rig.run(chores.close_stderr)
    assert rig.value(chores.where) == os.getcwd()
    assert rig.output(rig.run(chores.complain).output) == "complaint\n"


# --- recall, cancel, timeout ----------------------------------------------------------------------


def test_what_waits_behind_a_long_attempt_is_called_back(rig, tmp_path):
    seat = rig.ready()[0]
    first = rig.make(chores.write_pid_and_sleep, str(tmp_path / "x"), 0.5, on=seat, estimate_us=10)
    rest = [rig.make(chores.nothing, on=seat, estimate_us=10) for _ in range(50)]
    rig.executor.start([first, *rest])
    reports = rig.wait(*[a.seq for a in rest])
    assert set(kinds(reports)) == {"returned"}
    assert first.seq not in rig.reports
    assert not seat.open
    assert kinds(rig.wait(first.seq)) == ["ok"]
    assert seat.open


def test_a_cancelled_attempt_gets_an_exception_in_its_sleep_and_keeps_its_worker(rig, tmp_path):
    path = str(tmp_path / "begun")
    number = rig.start(chores.stay_until_cancelled, path)
    rig.begun(number)
    wait_for(lambda: os.path.exists(path), "the task")
    pid = next(iter(rig.executor._workers.values())).pid
    rig.executor.cancel(rig.started[number].run, number, 1, 10.0)
    report = rig.wait(number)[0]
    assert isinstance(report, Failed)
    assert report.fault.kind.value == "lost"
    assert report.fault.exception.endswith("Cancelled")
    assert Path(path + ".seen").read_text() == "Cancelled\n"
    assert rig.ready()[0].pid == pid


def test_an_attempt_that_ignores_its_cancellation_is_killed_after_the_grace(rig, tmp_path):
    path = str(tmp_path / "begun")
    number = rig.start(chores.ignore_cancel, path)
    wait_for(lambda: os.path.exists(path), "the task")
    rig.executor.cancel(rig.started[number].run, number, 1, 0.2)
    report = rig.wait(number)[0]
    assert isinstance(report, Failed)
    assert (report.fault.kind.value, "cancelled" in report.fault.message) == ("lost", True)
    assert Path(path + ".seen").read_text() == "swallowed\n"
    assert rig.value(chores.add, 1, 1) == 2


def test_a_cancelled_attempt_that_waits_is_returned_and_the_front_one_goes_on(rig, tmp_path):
    seat = rig.ready()[0]
    path = str(tmp_path / "x")
    first = rig.make(chores.write_pid_and_sleep, path, 0.3, on=seat, estimate_us=1)
    second = rig.make(chores.nothing, on=seat, estimate_us=1)
    rig.executor.start([first, second])
    rig.executor.cancel(second.run, second.index, 1, 0.0)
    assert kinds(rig.wait(second.seq, first.seq)) == ["returned", "ok"]


def test_a_cancellation_does_not_wait_for_a_task_that_holds_the_interpreter(rig, tmp_path):
    path = str(tmp_path / "begun")
    number = rig.start(chores.hold_the_gil, path, 30.0)
    wait_for(lambda: os.path.exists(path), "the task")
    rig.executor.cancel(rig.started[number].run, number, 1, 0.1)
    assert kinds(rig.wait(number)) == ["lost"]


@pytest.mark.parametrize("how", ["sleeps", "holds the interpreter", "is stopped"])
def test_a_timeout_kills_whatever_the_attempt_does(rig, tmp_path, how):
    limits = Limits(timeout_s=0.3)
    path = str(tmp_path / "begun")
    number = {
        "sleeps": lambda: rig.start(chores.write_pid_and_sleep, path, limits=limits),
        "holds the interpreter": lambda: rig.start(chores.hold_the_gil, path, 30.0, limits=limits),
        "is stopped": lambda: rig.start(chores.stop_me, limits=limits),
    }[how]()
    report = rig.wait(number)[0]
    assert isinstance(report, Failed)
    assert report.fault.kind.value == "timeout"
    assert "0.3 s" in report.fault.message
    assert report.wall_us >= 300_000


def test_a_deadline_counts_from_the_begin_of_its_attempt_not_from_its_turn_in_the_queue(
    rig, tmp_path
):
    limits = Limits(timeout_s=0.2)
    for _ in range(20):
        seat = rig.ready()[0]
        front = [rig.make(chores.use_memory, 1, 0.01, on=seat, estimate_us=1) for _ in range(30)]
        last = rig.make(chores.nothing, on=seat, limits=limits, estimate_us=1)
        rig.executor.start([*front, last])
        seen = kinds(rig.wait(*[a.seq for a in front], last.seq))
        assert set(seen) <= {"ok", "returned"}
        if set(seen) == {"ok"}:
            return
        # A slow machine: one took so long that the others were called back.
    raise AssertionError("called back each time")


SLOW_IN_A_WORKER = """
import os, time
if "DURABLE_WF_WORKER" in os.environ:
    time.sleep({seconds})
def nap(seconds=0.0):
    time.sleep(seconds)
    return "slept"
"""


@pytest.fixture
def slow_module(tmp_path, monkeypatch):
    """A module that takes as long to import in a worker as the test says."""

    def make(name, seconds):
        (tmp_path / f"{name}.py").write_text(SLOW_IN_A_WORKER.format(seconds=seconds))
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name)

    return make


def test_imports_do_not_count_for_the_timeout_of_the_first_attempt(tmp_path, slow_module):
    module = slow_module("slow_to_import", 0.6)
    with Rig(tmp_path) as rig:
        report = rig.run(module.nap, limits=Limits(timeout_s=0.3))
        assert kinds([report]) == ["ok"]
        assert report.wall_us < 300_000


def test_a_timeout_holds_after_long_imports(tmp_path, slow_module):
    module = slow_module("slow_to_import_too", 0.4)
    with Rig(tmp_path) as rig:
        report = rig.run(module.nap, 30.0, limits=Limits(timeout_s=0.3))
        assert kinds([report]) == ["timeout"]
        assert "its timeout of 0.3 s" in report.fault.message


def test_an_import_that_hangs_is_ended_by_a_limit_of_its_own(tmp_path, slow_module, monkeypatch):
    monkeypatch.setattr(supervisor, "LOADING_S", 0.3)
    module = slow_module("hangs_in_import", 60.0)
    with Rig(tmp_path) as rig:
        report = rig.run(module.nap)
        assert kinds([report]) == ["timeout"]
        assert "importing its code" in report.fault.message
        assert rig.value(chores.add, 1, 2) == 3


def test_code_that_cannot_be_imported_does_not_lift_the_timeout_of_others(tmp_path, slow_module):
    module = slow_module("fails_to_import", "'no number'")
    with Rig(tmp_path) as rig:
        assert kinds([rig.run(module.nap)]) == ["error"]
        rig.value(chores.nothing)
        report = rig.run(chores.write_pid_and_sleep, str(tmp_path / "x"), limits=Limits(0.2))
        assert kinds([report]) == ["timeout"]
        assert "its timeout" in report.fault.message


def test_an_attempt_within_its_timeout_succeeds(rig):
    assert rig.value(chores.add, 1, 2, limits=Limits(timeout_s=30.0)) == 3


def test_the_children_of_a_lost_attempt_are_dead_before_it_is_reported(rig):
    path = rig.places.output / "family"
    number = rig.start(chores.family, str(path))
    wait_for(Path(f"{path}.pid").exists, "the family")
    rig.executor.cancel(rig.started[number].run, number, 1, 0.0)
    assert kinds(rig.wait(number)) == ["lost"]
    pids = [int(pid) for pid in path.read_text().split()]
    assert len(pids) == 6
    assert [pid for pid in pids if processes.born(pid)] == []


@linux_only
def test_a_program_that_shed_its_environment_and_session_dies_with_its_attempt(rig):
    path = rig.places.output / "stray"
    assert kinds([rig.run(chores.stray_and_die, str(path))]) == ["lost"]
    kept, numbers = path.read_text().splitlines()
    assert kept == "kept"
    *pids, code = map(int, numbers.split())
    assert code == 0
    assert [pid for pid in pids if processes.born(pid)] == []


def test_programs_can_be_started_after_every_descriptor_was_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "HANG_UP_S", 6.0)  # the program shall start before the end
    with Rig(tmp_path) as rig:
        number = rig.start(chores.note_subprocess_after_closing, str(tmp_path / "seen"))
        seen = tmp_path / "seen"
        wait_for(lambda: seen.exists() and seen.read_text(), "the program")
        assert seen.read_text() == "0\n"
        assert kinds(rig.wait(number)) == ["lost"]


def test_a_file_that_a_task_opens_after_closing_ours_is_not_taken_for_ours(tmp_path, monkeypatch):
    """Its result cannot be sent, and is found in the mark."""
    monkeypatch.setattr(supervisor, "HANG_UP_S", 20.0)  # the worker shall end by itself
    path = tmp_path / "own"
    with Rig(tmp_path) as rig:
        assert kinds([rig.run(chores.open_after_closing, str(path))]) == ["ok"]
        assert rig.value(chores.add, 1, 2) == 3
    assert path.read_bytes() == b""


# --- ending ---------------------------------------------------------------------------------------


def test_close_lets_attempts_finish_within_the_grace_and_can_be_repeated(tmp_path):
    rig = Rig(tmp_path)
    number = rig.start(chores.use_memory, 1, 0.2)
    rig.executor.close(10.0)
    rig.poll()
    assert kinds([rig.reports[number]]) == ["ok"]
    rig.executor.close(10.0)
    assert rig.executor.poll(0.0) == []
    assert list((tmp_path / "locks").iterdir()) == []


def test_close_kills_what_does_not_finish_and_returns_what_never_began(tmp_path):
    rig = Rig(tmp_path)
    seat = rig.ready()[0]
    first = rig.make(chores.hold_the_gil, str(tmp_path / "x"), 30.0, on=seat, estimate_us=1)
    second = rig.make(chores.nothing, on=seat, estimate_us=1)
    rig.executor.start([first, second])
    rig.begun(first.seq)
    rig.executor.close(0.1)
    rig.poll()
    assert kinds([rig.reports[first.seq], rig.reports[second.seq]]) == ["lost", "returned"]
    assert processes.born(seat.pid) == 0


def test_close_ends_the_reaper_too(tmp_path):
    rig = Rig(tmp_path)
    rig.run(chores.nothing)
    reaper = rig.executor._lifeline.pid
    assert processes.born(reaper)
    rig.executor.close(1.0)
    assert processes.born(reaper) == 0


def test_wake_ends_a_poll_in_another_thread(rig):
    timer = threading.Timer(0.05, rig.executor.wake)
    timer.start()
    before = time.monotonic()
    assert rig.executor.poll(DEADLINE) == []
    assert time.monotonic() - before < DEADLINE
    timer.join(5.0)


DEADLINE = 15.0


def test_code_is_sent_once_and_forgotten_with_its_run(rig):
    rig.run(chores.nothing)
    run = rig.run_of(chores.nothing)
    worker = next(iter(rig.executor._workers.values()))
    assert worker.knows(run)
    rig.executor.forget(run)
    assert not worker.knows(run)
    del rig._runs[chores.nothing]
    assert rig.value(chores.nothing) is None


@linux_only
def test_no_descriptor_is_left_behind_by_workers_that_came_and_went(tmp_path):
    Rig(tmp_path).__exit__()  # whatever is opened once for the process
    with Rig(tmp_path) as rig:
        rig.run(chores.kill_me)
        inside, before = rig.value(chores.count_fds), len(chores.fds())
        for _ in range(10):
            rig.run(chores.kill_me)
        assert rig.value(chores.count_fds) == inside
        assert len(chores.fds()) == before


def test_a_run_of_bad_starts_is_an_error_that_names_where_to_look(tmp_path, monkeypatch):
    rig = Rig(tmp_path)
    (tmp_path / "output").rmdir()  # no worker can open its spool
    with pytest.raises(Exception, match="before they could take work"):
        rig.ready()
    rig.executor.close(0.0)
    assert json.dumps(sorted(p.name for p in tmp_path.iterdir())) == '["locks", "payloads"]'


def test_returned_is_what_a_dead_worker_had_not_begun(tmp_path):
    with Rig(tmp_path) as rig:
        seat = rig.ready()[0]
        done = [rig.make(chores.nothing, on=seat, estimate_us=1) for _ in range(5)]
        death = rig.make(chores.kill_me, on=seat, estimate_us=1)
        rest = [rig.make(chores.nothing, on=seat, estimate_us=1) for _ in range(5)]
        rig.executor.start([*done, death, *rest])
        assert kinds(rig.wait(*[a.seq for a in done])) == ["ok"] * 5
        assert kinds(rig.wait(death.seq)) == ["lost"]
        reports = rig.wait(*[a.seq for a in rest])
        assert all(isinstance(r, Returned) for r in reports)
