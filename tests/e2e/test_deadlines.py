"""Deadlines in the engine: of a task over all its attempts, and of a run."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, Gate, dwf, finish, kinds, script, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.errors import CallerError

RUN = "r"
EXECUTORS = pytest.mark.parametrize("executor", ["sequential", "parallel"])


def events(result: wf.RunResult, kind: type) -> list[e.Event]:
    return [one.event for one in result.history() if isinstance(one.event, kind)]


# --- of a task ------------------------------------------------------------------------------------


def test_an_attempt_that_runs_into_its_tasks_deadline_is_killed_and_says_so(tmp_path: Path) -> None:
    """Rules that would try again find no time left."""

    def work() -> None:
        left = wf.current().deadline
        assert left is not None
        assert left.remaining_s < 1.0
        time.sleep(60)

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("work", work, deadline=0.5, timeout=30, retry=wf.retry(wait=0))
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, check=False)
    (failed,) = events(result, e.AttemptFailed)
    assert failed.fault.kind.value == "timeout"
    assert failed.fault.message.startswith(
        "the attempt ran into its task's deadline of 0.5 s over all attempts; worker"
    )
    (gave_up,) = events(result, e.TaskFailed)
    assert gave_up.rule == "deadline"
    assert "its deadline has passed or comes before the next attempt" in result.row.cause


def test_after_the_deadline_a_fallback_is_asked_for_which_it_begins_anew(tmp_path: Path) -> None:
    def work() -> str:
        time.sleep(60)
        return "late"

    def instead() -> str:
        time.sleep(0.6)  # what is left of the deadline is nothing
        return "instead"

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("work", work, deadline=1, retry=wf.retry(wait=0), fallback=instead)
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        assert engine.run(workflow)["work"] == "instead"


def test_a_fallback_that_hangs_is_stopped_like_the_task(tmp_path: Path) -> None:
    def hangs() -> None:
        time.sleep(60)

    workflow = wf.WorkflowBuilder("w").add_task("work", hangs, deadline=0.5, fallback=hangs).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, check=False)
    assert [one.fault.message.partition(";")[0] for one in events(result, e.AttemptFailed)] == [
        "the attempt ran into its task's deadline of 0.5 s over all attempts",
        "the attempt ran longer than 0.5 s, which is its task's deadline, begun anew",
    ]


def test_a_task_that_is_done_in_time_notices_nothing(tmp_path: Path) -> None:
    """The control."""
    workflow = wf.WorkflowBuilder("w").add_task("work", int, deadline=60, retry=3).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow)
    assert result["work"] == 0
    assert not events(result, e.AttemptFailed)


# --- of a run -------------------------------------------------------------------------------------


def slow(gate: Gate) -> wf.Workflow:
    """`first` ends at once, `second` never by itself, `third` waits for it."""

    def second() -> None:
        gate.pass_through()

    return (
        wf.WorkflowBuilder("slow")
        .add_task("first", int)
        .add_task("second", second).after("first")
        .add_task("third", int).after("second")
        .build()
    )  # fmt: skip


def test_a_run_fails_at_its_deadline_and_what_runs_is_stopped(tmp_path: Path) -> None:
    workflow = slow(Gate(tmp_path / "gate"))
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        began = time.monotonic()
        with pytest.raises(wf.RunFailed, match="the run's deadline has passed"):
            engine.run(workflow, run_id=RUN, deadline=1.5)
        assert time.monotonic() - began >= 1.0
        result = engine.run(workflow, run_id=RUN, check=False)
    assert result.status is RunStatus.FAILED
    (draining,) = events(result, e.RunDraining)
    assert draining.cause == "the run's deadline has passed"
    assert "AttemptSucceeded" in kinds(result)
    assert kinds(result)[-1] == "RunFailed"
    check_log(tmp_path / "s", RUN)


@pytest.mark.parametrize(("own", "given", "fails"), [(1.0, None, True), (1.0, 3600, False)])
def test_who_starts_a_run_knows_better_than_its_workflow(
    own: float, given: float | None, fails: bool, tmp_path: Path
) -> None:
    def nap() -> str:
        time.sleep(2.0)
        return "slept"

    workflow = wf.WorkflowBuilder("w", deadline=own).add_task("nap", nap).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, run_id=RUN, deadline=given, check=False)
    assert (result.status is RunStatus.FAILED) == fails


def test_a_sequential_run_is_looked_at_between_its_tasks(tmp_path: Path) -> None:
    def nap() -> None:
        time.sleep(0.6)

    workflow = (
        wf.WorkflowBuilder("w", deadline=0.5)
        .add_task("first", nap).add_task("second", nap).after("first").build()
    )  # fmt: skip
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        result = engine.run(workflow, check=False)
    assert result.status is RunStatus.FAILED
    assert [one.task for one in events(result, e.AttemptStarted)] == ["first"]


@EXECUTORS
def test_a_run_that_ends_in_time_notices_nothing(executor: str, tmp_path: Path) -> None:
    """The control."""
    workflow = wf.WorkflowBuilder("w", deadline="1h").add_task("a", int).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor) as engine:
        assert engine.run(workflow, deadline="2h").status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("deadline", [0, -1, "soon", True, float("inf"), 1e300])
def test_a_deadline_that_is_no_time_is_refused_before_anything_is_written(
    deadline: object, tmp_path: Path
) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("a", int).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        for start in (engine.run, engine.submit):
            with pytest.raises(CallerError, match="deadline=.* is "):
                start(workflow, run_id=RUN, deadline=deadline)  # type: ignore[arg-type]
    assert not (tmp_path / "s").exists()


# --- over a crash, and while paused ---------------------------------------------------------------

ENGINE = """
    import sys, time
    from pathlib import Path
    import durable_wf as wf

    folder = Path(sys.argv[1])

    def work():
        (folder / "began").touch()
        time.sleep(60)

    workflow = wf.WorkflowBuilder("w").add_task("work", work).build()
    engine = wf.WorkflowEngine(folder / "s", workers=1)
    engine.run(workflow, run_id="r", deadline=float(sys.argv[2]))
    """


def test_an_engine_that_comes_back_after_the_deadline_fails_the_run_at_once(tmp_path: Path) -> None:
    with script(tmp_path, ENGINE, tmp_path, 5.0) as process:
        wait_for((tmp_path / "began").exists, "the task")
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
    shown = json.loads(dwf(tmp_path / "s", "show", RUN, "--json").stdout)
    assert shown["status"] == "interrupted"
    assert "deadline" in dwf(tmp_path / "s", "show", RUN).stdout
    wait_for(lambda: _now() > shown["deadline_at"], "the deadline")
    resumed = dwf(tmp_path / "s", "resume", RUN)
    assert resumed.returncode == 1
    assert "the run's deadline has passed" in resumed.stdout
    with wf.WorkflowEngine(tmp_path / "s") as engine:
        history = engine.history(RUN)
    assert kinds(history).count("AttemptStarted") == 1, "nothing was begun again"  # type: ignore[arg-type]
    check_log(tmp_path / "s", RUN)


def test_an_engine_that_comes_back_in_time_keeps_to_the_deadline(tmp_path: Path) -> None:
    """The control, and more: it is still the deadline of the beginning."""
    with script(tmp_path, ENGINE, tmp_path, 6.0) as process:
        wait_for((tmp_path / "began").exists, "the task")
        os.kill(process.pid, signal.SIGKILL)
        finish(process)
    (tmp_path / "began").unlink()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.resume(RUN, check=False)
    assert (tmp_path / "began").exists(), "it went on"
    assert result.row.cause == "the run's deadline has passed"
    (created,) = events(result, e.RunCreated)
    assert result.ended_at is not None
    assert created.deadline_at <= result.ended_at


def test_while_paused_a_run_waits_and_its_deadline_too(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(slow(gate), run_id=RUN, deadline=3.0)
        gate.wait_for_one()
        engine.pause(RUN)
        gate.open()
        paused = handle.result(DEADLINE_S)
        assert paused.status is RunStatus.PAUSED
        (created,) = events(paused, e.RunCreated)
        wait_for(lambda: time.time_ns() // 1000 > created.deadline_at, "the deadline")
        assert engine.history(RUN)[-1].event.__class__ is not e.RunFailed  # type: ignore[union-attr]
        result = engine.resume(RUN, check=False)
    assert result.row.cause == "the run's deadline has passed"
    assert "third" not in {one.task for one in events(result, e.AttemptStarted)}


# --- on the command line --------------------------------------------------------------------------

TARGET = """
import time
import durable_wf as wf

def nap():
    time.sleep({seconds})

workflow = wf.WorkflowBuilder("w").add_task("nap", nap).build()
"""


def test_dwf_run_takes_a_deadline_and_show_tells_it(tmp_path: Path) -> None:
    target = tmp_path / "napping.py"
    target.write_text(TARGET.format(seconds=0))
    done = dwf(tmp_path / "s", "run", f"{target}:workflow", "--id", "in-time", "--deadline", "2h")
    assert done.returncode == 0, done.stderr
    target.write_text(TARGET.format(seconds=60))
    late = dwf(tmp_path / "s", "run", f"{target}:workflow", "--id", RUN, "--deadline", "1.5s")
    assert late.returncode == 1, late.stderr
    assert "the run's deadline has passed" in late.stdout + late.stderr
    document = json.loads(dwf(tmp_path / "s", "show", RUN, "--json").stdout)
    assert document["deadline_at"] > document["created_at"]
    assert document["cause"] == "the run's deadline has passed"


@pytest.mark.parametrize("deadline", ["0", "-5", "soon", "", "9999999w"])
def test_dwf_run_refuses_a_deadline_that_is_no_time(deadline: str, tmp_path: Path) -> None:
    target = tmp_path / "napping.py"
    target.write_text(TARGET.format(seconds=0))
    refused = dwf(tmp_path / "s", "run", f"{target}:workflow", f"--deadline={deadline}")
    assert refused.returncode == 2
    assert "--deadline" in refused.stderr
    assert not (tmp_path / "s").exists()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
