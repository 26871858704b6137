"""The sequential executor runs attempts inside poll, and looks like a worker to recovery."""

from __future__ import annotations

import os
import threading
import time

import pytest

from durable_wf.core.inputs import Failed, Returned, Succeeded
from durable_wf.core.status import FaultKind
from durable_wf.errors import DiskFull
from durable_wf.execute import calls, mark, processes, sequential
from durable_wf.execute.context import current, leave
from durable_wf.execute.port import Assignment, Given, Places, RunCode
from durable_wf.execute.sequential import SequentialExecutor
from durable_wf.store import locks

WORKER = "w-0badcafe-0"


@pytest.fixture
def places(tmp_path):
    for name in ("locks", "output", "payloads"):
        (tmp_path / name).mkdir()
    return Places(tmp_path / "locks", tmp_path / "output", tmp_path / "payloads")


@pytest.fixture(autouse=True)
def long_turns(monkeypatch):
    """However busy the machine is, a poll runs all that is queued."""
    monkeypatch.setattr(sequential, "TURN_NS", 10**12)


@pytest.fixture
def executor(places):
    made = SequentialExecutor(places, "e-0badcafe")
    yield made
    made.close(1.0)


def prepare(executor, *functions):
    names = [function.__name__ for function in functions]
    executor.prepare(RunCode(7, "run-7", "flow", "run-7", functions, names))


def assignment(seq, index=0, function=0, args=()):
    return Assignment(seq, WORKER, 7, index, 1, f"t{index}", function, args, estimate_us=10)


def test_without_room_for_its_mark_there_is_no_executor_until_there_is_some(places, monkeypatch):
    def full(*_, **__):
        raise DiskFull("no space is left")

    with monkeypatch.context() as patch:
        patch.setattr(sequential, "BegunMark", full)
        with pytest.raises(DiskFull):
            SequentialExecutor(places, "e-0badcafe")
    assert list(places.locks.iterdir()) == []
    SequentialExecutor(places, "e-0badcafe").close(0.0)


def test_an_attempt_is_run_and_reported(executor):
    prepare(executor, lambda n: n + 1)
    executor.start([assignment(1, args=(Given("41"),))])
    (report,) = executor.poll(1.0)
    assert isinstance(report, Succeeded)
    assert (report.run, report.index, report.attempt, report.value) == (7, 0, 1, "42")
    assert abs(report.began_at - time.time_ns() // 1000) < 60_000_000
    assert report.wall_us >= 0


def test_a_failure_is_a_report(executor):
    def bad():
        raise ValueError("no")

    prepare(executor, bad)
    executor.start([assignment(1)])
    (report,) = executor.poll(1.0)
    assert isinstance(report, Failed)
    assert (report.fault.message, report.fault.exception) == ("no", "ValueError")


def test_a_task_never_gets_the_object_that_another_returned(executor):
    made, taken = [], []

    def make():
        made.append([1])
        return made[0]

    prepare(executor, make, taken.append)
    executor.start([assignment(1)])
    (report,) = executor.poll(1.0)
    executor.start([assignment(2, 1, 1, (Given(report.value, producer=0),))])
    executor.poll(1.0)
    assert taken == made
    assert taken[0] is not made[0]


def test_a_task_can_ask_who_it_is(executor):
    prepare(executor, lambda: [current().run_id, current().task, current().workflow])
    executor.start([assignment(1, 3)])
    assert executor.poll(1.0)[0].value == '["run-7","t3","flow"]'


def test_its_seat_looks_like_a_worker_to_recovery(executor, places):
    (seat,) = executor.seats(5)
    assert (seat.worker, seat.pid, seat.born) == (WORKER, os.getpid(), processes.born(os.getpid()))
    assert locks.is_held(places.locks, WORKER)
    assert mark.read_mark(places.locks, WORKER) == 0


def test_the_mark_says_what_has_begun_before_the_code_runs(executor, places):
    seen = []
    prepare(executor, lambda: seen.append(mark.read_mark(places.locks, WORKER)))
    executor.start([assignment(11), assignment(12)])
    executor.poll(1.0)
    assert seen == [11, 12]


def test_a_poll_runs_a_batch_but_goes_back_to_commit(executor, monkeypatch):
    prepare(executor, int)
    executor.start([assignment(n, n) for n in range(1, 101)])
    assert executor.seats(1)[0].queued == 100
    monkeypatch.setattr(sequential, "TURN_NS", 0)
    assert len(executor.poll(0)) == 1
    assert executor.seats(1)[0].queued == 99
    monkeypatch.setattr(sequential, "TURN_NS", 10**12)
    assert [report.index for report in executor.poll(0)] == list(range(2, 101))
    seat = executor.seats(1)[0]
    assert (seat.queued, seat.queued_us) == (0, 0)


def test_queued_attempts_can_be_given_back(executor):
    prepare(executor, int)
    executor.start([assignment(1, 1), assignment(2, 2)])
    executor.cancel(7, 2, 1, 1.0)
    executor.cancel(7, 9, 1, 1.0)
    reports = executor.poll(0)
    assert Returned(7, 2, 1) in reports
    assert {report.index for report in reports} == {1, 2}


def test_attempts_of_a_forgotten_run_come_back(executor):
    prepare(executor, int)
    executor.start([assignment(1)])
    executor.forget(7)
    assert executor.poll(0) == [Returned(7, 0, 1)]


def test_wake_ends_a_wait(executor):
    timer = threading.Timer(0.05, executor.wake)
    timer.start()
    began = time.monotonic()
    assert executor.poll(30.0) == []
    assert time.monotonic() - began < 20
    timer.join(10)


def test_reports_are_not_lost_to_an_exception_between_attempts(executor, monkeypatch):
    prepare(executor, int)
    executor.start([assignment(1, 1), assignment(2, 2)])
    begin = executor._mark.begin

    def interrupted(seq, *rest):
        if seq == 2:
            raise KeyboardInterrupt
        begin(seq, *rest)

    monkeypatch.setattr(executor._mark, "begin", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.poll(0)
    monkeypatch.undo()
    assert [report.index for report in executor.poll(0)] == [1, 2]


def test_an_attempt_whose_outcome_an_exception_took_is_lost(executor, monkeypatch):
    prepare(executor, lambda: print("printed"))
    executor.start([assignment(1, 1)])

    def interrupted(*left):
        leave(*left)
        raise KeyboardInterrupt

    monkeypatch.setattr(sequential, "leave", interrupted)
    with pytest.raises(KeyboardInterrupt):
        executor.poll(0)
    (report,) = executor.poll(0)
    assert report.output.length == len("printed\n")
    assert report.fault.kind is FaultKind.LOST


def test_closing_gives_back_what_is_queued_and_frees_the_lock(executor, places):
    prepare(executor, int)
    executor.start([assignment(1)])
    executor.close(1.0)
    executor.close(1.0)
    assert executor.poll(0) == [Returned(7, 0, 1)]
    assert not locks.is_held(places.locks, WORKER)
    assert not executor.seats(1)[0].open


def test_limits_are_not_enforced_here_and_it_says_so(executor):
    assert not executor.supports_limits
    assert executor.max_seats == 1


# --- heartbeats -----------------------------------------------------------------------------------


def test_the_last_heartbeat_of_a_failure_is_handed_over_and_given_to_the_next_attempt(executor):
    seen = []

    def beat():
        seen.append(current().last_heartbeat)
        current().heartbeat([1, 2])
        raise ValueError("no")

    prepare(executor, beat)
    before = time.time_ns() // 1000
    executor.start([assignment(1)])
    executor.poll(1.0)
    (beat,) = executor.beats()
    assert (beat.run, beat.index, beat.attempt, beat.detail) == (7, 0, 1, "[1,2]")
    assert before <= beat.at <= time.time_ns() // 1000
    assert executor.beats() == []
    executor.start([Assignment(2, WORKER, 7, 0, 2, "t0", 0, detail=beat.detail)])
    executor.poll(1.0)
    assert seen == [None, [1, 2]]


def test_successes_and_silent_failures_leave_no_heartbeat(executor):
    def fail():
        raise ValueError("no")

    prepare(executor, lambda: current().heartbeat("done"), fail)
    executor.start([assignment(1), assignment(2, 1, 1)])
    while not executor.poll(0.0):
        pass
    executor.poll(0.0)
    assert executor.beats() == []


def test_the_heartbeats_of_a_running_attempt_can_be_read_from_its_mark(executor, places):
    found = []

    def beat():
        current().heartbeat("now")
        found.append(mark.read_beat(places.locks, WORKER))

    prepare(executor, beat)
    executor.start([assignment(3)])
    executor.poll(1.0)
    assert (found[0].seq, found[0].detail) == (3, '"now"')


def test_a_result_that_finds_no_room_is_told_of(executor, monkeypatch, caplog):
    def write(*given):
        monkeypatch.undo()
        raise DiskFull("no space is left")

    def large():
        return "x" * 200_000

    monkeypatch.setattr(calls, "ROOM_PERIOD_S", 0.0)
    monkeypatch.setattr(calls, "write_file", write)
    monkeypatch.setattr(sequential, "TURN_NS", 10**12)
    prepare(executor, large)
    executor.start([assignment(1)])
    (report,) = executor.poll(1.0)
    assert isinstance(report, Succeeded)
    assert "for the result of task 't0'" in caplog.text
