"""Heartbeats of attempts in worker processes: the last one is known, and silence has an end."""

from __future__ import annotations

import time

import beaters
import pytest
from pool_rig import Rig, kinds, wait_for

from durable_wf.core.reports import Failed
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.execute.port import Assignment, Limits

SILENCE = Limits(heartbeat_s=0.5)


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("store")) as rig:
        yield rig


@pytest.fixture(autouse=True)
def nothing_of_other_tests(rig):
    rig.executor.beats()


def details(rig):
    return {beat.index: beat.detail for beat in rig.executor.beats()}


def start(rig, function, *args, detail="", **more):
    a = rig.make(function, *args, **more)
    a = Assignment(
        a.seq, a.worker, a.run, a.index, a.attempt, a.task, a.function, a.args,
        limits=a.limits, estimate_us=a.estimate_us, detail=detail,
    )  # fmt: skip
    rig.executor.start([a])
    return a.seq


# --- handing over ---------------------------------------------------------------------------------


def test_a_running_attempt_tells_its_last_heartbeat_once(rig, tmp_path):
    path = str(tmp_path / "go")
    before = time.time_ns() // 1000
    number = rig.start(beaters.beat_until, path, {"row": 41})
    (beat,) = wait_for(rig.executor.beats, "a heartbeat")
    assert (beat.index, beat.attempt, beat.detail) == (number, 1, '{"row":41}')
    assert before <= beat.at <= time.time_ns() // 1000
    assert rig.executor.beats() == []
    (tmp_path / "go").touch()
    assert kinds(rig.wait(number)) == ["ok"]
    assert rig.executor.beats() == []


def test_an_attempt_whose_result_finds_no_room_is_told_of_once(rig, tmp_path, caplog):
    """The worker says it in its mark."""
    path = str(tmp_path / "go")
    number = rig.start(beaters.beat_until, path, 1)
    rig.begun(number)
    mark = BegunMark(path_of(rig.executor._places.locks, rig.ready_worker().name), create=False)
    mark.wait_for_room(True)
    rig.executor.beats()
    rig.executor.beats()
    mark.wait_for_room(False)
    mark.close()
    rig.executor.beats()
    (tmp_path / "go").touch()
    assert kinds(rig.wait(number)) == ["ok"]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "no space is left on the disk for the result of task" in told[0]


def test_a_success_leaves_no_heartbeat_behind(rig):
    assert kinds([rig.run(beaters.beat, 1)]) == ["ok"]
    assert rig.executor.beats() == []


def test_the_heartbeat_of_the_attempt_before_is_not_told_of_the_next(rig):
    rig.run(beaters.beat, 1)
    number = rig.start(beaters.silent, 0.3)
    rig.begun(number)
    assert rig.executor.beats() == []
    assert kinds(rig.wait(number)) == ["ok"]


def test_without_heartbeats_there_is_nothing_to_tell(rig):
    assert kinds([rig.run(beaters.fail), rig.run(beaters.silent, 0.0)]) == ["error", "ok"]
    assert rig.executor.beats() == []


def test_each_failure_in_a_batch_keeps_its_own_last_detail(rig):
    seat = rig.ready()[0]
    batch = [rig.make(beaters.beat_and_fail, n, n * 10, on=seat, estimate_us=9) for n in range(50)]
    rig.executor.start(batch)
    seen = kinds(rig.wait(*[a.seq for a in batch]))
    failed = [a for a, kind in zip(batch, seen, strict=True) if kind == "error"]
    assert set(seen) <= {"error", "returned"}  # called back by a machine that is slow
    assert details(rig) == {a.seq: a.args[1].value for a in failed}
    assert failed


def test_the_last_word_of_an_attempt_that_died_is_known(rig):
    number = rig.start(beaters.beat_and_die, "first", "last")
    assert kinds(rig.wait(number)) == ["lost"]
    assert details(rig) == {number: '"last"'}


def test_of_a_million_heartbeats_the_last_one_counts(rig):
    number = start(rig, beaters.beat_many, 1_000_000, detail="[7]")
    (report,) = rig.wait(number)
    assert report.value == "[7]"
    worker = rig.ready_worker()
    assert worker.mark.last_beat().detail == "999999"


@pytest.mark.parametrize("detail", ["", "41", '{"rows":[1,2]}', '"é"'])
def test_the_next_attempt_is_given_the_detail(rig, detail):
    number = start(rig, beaters.last, detail=detail)
    (report,) = rig.wait(number)
    assert report.value == (detail or "null")


def test_a_heartbeat_without_a_detail_keeps_the_one_before(rig):
    number = start(rig, beaters.beat_nothing_and_fail, detail="41")
    assert kinds(rig.wait(number)) == ["error"]
    number = start(rig, beaters.beat_for, 60, detail="42")
    (beat,) = wait_for(rig.executor.beats, "a heartbeat")
    assert beat.detail == "42"
    rig.executor.cancel(rig.started[number].run, number, 1, 5.0)
    assert kinds(rig.wait(number)) == ["lost"]


def test_what_is_no_plain_small_value_is_refused_with_the_reason(rig):
    large, thing, part = rig.value(beaters.beat_wrongly)
    assert large.startswith("NotStorable: run ")
    assert "9,002 bytes, and the limit is 8,192" in large
    assert "write it to a file" in large
    assert thing.startswith("NotStorable: detail: ")
    assert 'detail["rows"][1]' in part


def test_what_an_attempt_has_left_cannot_beat_for_the_next(rig):
    assert rig.value(beaters.leave_a_beater) is None
    said = rig.value(beaters.misuse)
    assert said.startswith("WrongState: run ")
    assert "has ended" in said


# --- silence --------------------------------------------------------------------------------------


def test_an_attempt_that_never_beats_is_killed(rig):
    report = rig.run(beaters.silent, 60, limits=SILENCE)
    assert isinstance(report, Failed)
    assert report.fault.kind.value == "timeout"
    assert "sent no heartbeat for 0.5 s (it never sent one); worker w-" in report.fault.message
    assert report.wall_us >= 500_000


@pytest.mark.parametrize("how", ["sleeps", "holds the interpreter", "is stopped"])
def test_an_attempt_that_falls_silent_is_killed_whatever_it_does(rig, how):
    number = rig.start(beaters.beat_then, how, {"row": 41}, limits=SILENCE)
    (report,) = rig.wait(number)
    assert report.fault.kind.value == "timeout"
    assert "sent no heartbeat for 0.5 s (the last one came after 0." in report.fault.message
    assert ': {"row":41}); worker w-' in report.fault.message
    assert details(rig) == {number: '{"row":41}'}


def test_the_heartbeats_of_the_attempt_before_do_not_count(rig):
    seat = rig.ready()[0]
    first = rig.make(beaters.beat, "mine", on=seat, estimate_us=9)
    second = rig.make(beaters.silent, 60, on=seat, limits=SILENCE, estimate_us=9)
    rig.executor.start([first, second])
    assert kinds(rig.wait(first.seq, second.seq)) == ["ok", "timeout"]
    assert "it never sent one" in rig.reports[second.seq].fault.message


def test_an_attempt_that_beats_runs_as_long_as_it_likes(rig):
    limits = Limits(heartbeat_s=2.0)
    report = rig.run(beaters.beat_for, 2.5, limits=limits)
    assert kinds([report]) == ["ok"]
    assert report.wall_us >= 2_500_000
    assert kinds([rig.run(beaters.silent, 60, limits=limits)]) == ["timeout"]


@pytest.mark.parametrize("function", [beaters.beat_in_a_thread, beaters.beat_in_a_child])
def test_threads_and_children_of_a_task_may_beat_for_it(rig, function):
    report = rig.run(function, 2.5, limits=Limits(heartbeat_s=2.0))
    assert kinds([report]) == ["ok"]


def test_the_timeout_holds_for_an_attempt_that_beats(rig):
    limits = Limits(timeout_s=0.5, heartbeat_s=10.0, timeout_text="came to the end of the day")
    report = rig.run(beaters.beat_for, 60, limits=limits)
    assert report.fault.kind.value == "timeout"
    assert report.fault.message.startswith("the attempt came to the end of the day; worker")
