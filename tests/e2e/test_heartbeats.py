"""Heartbeats in the engine: a long task that is killed goes on from where it last said it was, and
one that falls silent is stopped.
"""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from random import Random

import attrs
import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, Gate, dwf, finish, script, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.errors import CallerError
from durable_wf.store.opening import open_store
from durable_wf.store.port import Beat

RUN = "r"
STEPS = 60


def counting(marks: Path, die_at: int, how: str = "", *, says: bool = True) -> wf.Workflow:
    """`count` takes step after step, leaves a mark of each and says how far it is; the first time
    that it comes to `die_at` it dies: raises, or kills its worker.
    """
    died = marks.with_suffix(".died")

    def count() -> int:
        me = wf.current()
        done = me.last_heartbeat or 0
        for step in range(done + 1, STEPS + 1):
            if step == die_at and not died.exists():
                died.touch()
                if how == "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                raise ConnectionError("gone")
            with marks.open("a") as file:
                file.write(f"{step}\n")
            if says:
                me.heartbeat(step)
        return step

    return wf.WorkflowBuilder("counting").add_task("count", count, retry=wf.retry(wait=0)).build()


def steps(marks: Path) -> list[int]:
    return [int(line) for line in marks.read_text().split()]


def beats(store: Path) -> dict[str, Beat]:
    """What the log has of the run's heartbeats."""
    opened = open_store(store, readonly=True)
    try:
        row = opened.log.row(RUN)
        return opened.log.beats(row.run) if row is not None else {}
    finally:
        opened.log.close()


def in_log(store: Path) -> str:
    beat = beats(store).get("count")
    return "" if beat is None else beat.detail


def started(result: wf.RunResult) -> list[e.AttemptStarted]:
    return [one.event for one in result.history() if isinstance(one.event, e.AttemptStarted)]


# --- the next attempt goes on ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "how"), [("parallel", "kill"), ("parallel", "raise"), ("sequential", "raise")]
)
def test_the_next_attempt_goes_on_where_the_last_one_died(
    executor: str, how: str, tmp_path: Path
) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
        result = engine.run(counting(tmp_path / "marks", 40, how), run_id=RUN)
    assert result["count"] == STEPS
    assert steps(tmp_path / "marks") == [*range(1, STEPS + 1)], "no step was taken twice"
    assert [one.detail for one in started(result)] == ["", "39"]
    assert beats(tmp_path / "s") == {}, "nothing is left of a task that has ended"


def test_a_task_that_says_nothing_begins_anew(tmp_path: Path) -> None:
    """The control: it is the heartbeats that make the difference."""
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(counting(tmp_path / "marks", 40, "kill", says=False), run_id=RUN)
    assert steps(tmp_path / "marks") == [*range(1, 40), *range(1, STEPS + 1)]
    assert [one.detail for one in started(result)] == ["", ""]


# --- so does a retry of the run -------------------------------------------------------------------


def once(marks: Path, die_at: int = 40) -> wf.Workflow:
    """`counting`, whose task is not tried again within the run."""
    flow = counting(marks, die_at)
    return attrs.evolve(flow, recovery={}, tasks=(attrs.evolve(flow.tasks[0], rules=()),))


@pytest.mark.parametrize("executor", ["parallel", "sequential"])
def test_a_retry_of_a_run_goes_on_where_its_task_had_failed(executor: str, tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
        engine.run(once(tmp_path / "marks"), run_id=RUN, check=False)
        result = engine.retry(RUN, workflow=once(tmp_path / "marks"))
    assert result["count"] == STEPS
    assert steps(tmp_path / "marks") == [*range(1, STEPS + 1)], "no step was taken twice"
    assert [one.detail for one in started(result)] == ["39"]


@pytest.mark.parametrize("how", ["fork", "retry --from"])
def test_a_fork_begins_anew_and_so_does_what_is_asked_for(how: str, tmp_path: Path) -> None:
    """The fork's idempotency key is another one: nothing was done under it yet."""
    flow = once(tmp_path / "marks")
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(flow, run_id=RUN, check=False)
        if how == "fork":
            result = engine.fork(RUN, workflow=flow)
        else:
            result = engine.retry(RUN, workflow=flow, from_="count")
    assert steps(tmp_path / "marks") == [*range(1, 40), *range(1, STEPS + 1)]
    assert [one.detail for one in started(result)] == [""]


def test_a_retry_goes_on_from_what_a_dead_engine_had_heard_last(tmp_path: Path) -> None:
    """The task was in doubt, and failed by its policy."""
    gate = Gate(tmp_path / "gate")

    def work() -> object:
        me = wf.current()
        if me.last_heartbeat is None:
            me.heartbeat({"page": 316})
            gate.pass_through()
        return me.last_heartbeat

    builder = wf.WorkflowBuilder("w").add_task("count", work, in_doubt="fail")
    with wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=0) as engine:
        engine.submit(builder.build(), run_id=RUN)
        gate.wait_for_one()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        failed = engine.resume(RUN, workflow=builder.build(), check=False)
        assert failed.status is RunStatus.FAILED
        assert engine.retry(RUN, workflow=builder.build())["count"] == {"page": 316}


ENGINE = """
    import sys, time
    from pathlib import Path
    import durable_wf as wf

    folder = Path(sys.argv[1])

    def count():
        me = wf.current()
        done = me.last_heartbeat or 0
        for step in range(done + 1, 101):
            while step > 70 and not (folder / "go").exists():
                time.sleep(0.01)
            with (folder / "marks").open("a") as file:
                file.write(f"{step}\\n")
            me.heartbeat(step)
            while step == 70 and not (folder / "go").exists():
                (folder / "waits").touch()
                time.sleep(0.01)
        return done

    workflow = wf.WorkflowBuilder("counting").add_task("count", count).build()
    engine = wf.WorkflowEngine(folder / "s", executor_type=sys.argv[2], workers=1, crash_limit=0)
    result = engine.run(workflow, run_id="r")
    print("went on after", result["count"])
    """


def kill_at_70(folder: Path, executor: str, *, recorded: bool) -> None:
    """Run the script until its task has taken 70 steps, then kill the engine."""
    with script(folder, ENGINE, folder, executor) as process:
        wait_for((folder / "waits").exists, "step 70")
        if recorded:
            wait_for(lambda: in_log(folder / "s") == "70", "the heartbeat in the log")
        os.kill(process.pid, signal.SIGKILL)
        finish(process)


@pytest.mark.parametrize("executor", ["parallel", "sequential"])
def test_after_the_death_of_the_engine_the_task_goes_on_where_it_was(
    executor: str, tmp_path: Path
) -> None:
    kill_at_70(tmp_path, executor, recorded=False)
    (tmp_path / "go").touch()
    with script(tmp_path, ENGINE, tmp_path, executor) as process:
        code, out, errors = finish(process)
    assert (code, out) == (0, "went on after 70\n"), errors
    assert steps(tmp_path / "marks") == [*range(1, 101)]
    check_log(tmp_path / "s", RUN)


def test_after_a_loss_of_power_the_task_goes_on_from_what_is_in_the_log(tmp_path: Path) -> None:
    """The marks of workers are worth nothing after a new start of the machine."""
    kill_at_70(tmp_path, "parallel", recorded=True)
    for mark in (tmp_path / "s" / "locks").glob("*.begun"):
        mark.unlink()
    (tmp_path / "go").touch()
    with script(tmp_path, ENGINE, tmp_path, "parallel") as process:
        code, out, errors = finish(process)
    assert (code, out) == (0, "went on after 70\n"), errors


def test_a_detail_outlives_several_engines_that_say_nothing(tmp_path: Path) -> None:
    """Each claim is killed before the task has taken another step."""
    kill_at_70(tmp_path, "parallel", recorded=False)
    for times in (1, 2):
        with script(tmp_path, ENGINE, tmp_path, "parallel") as process:
            wait_for(lambda n=times: attempts(tmp_path / "s") == n + 1, "the next attempt")
            os.kill(process.pid, signal.SIGKILL)
            finish(process)
    (tmp_path / "go").touch()
    with script(tmp_path, ENGINE, tmp_path, "parallel") as process:
        code, out, errors = finish(process)
    assert code == 0, errors
    done = int(out.split()[-1])
    assert done >= 70
    assert steps(tmp_path / "marks")[:70] == [*range(1, 71)]
    assert min(steps(tmp_path / "marks")[70:]) >= 71


KILLED = """
    import sys, time
    from pathlib import Path
    import durable_wf as wf

    folder = Path(sys.argv[1])

    def count():
        me = wf.current()
        for step in range((me.last_heartbeat or 0) + 1, 201):
            with (folder / "marks").open("a") as file:
                file.write(f"{step}\\n")
            me.heartbeat(step)
            time.sleep(0.005)
        return 200

    workflow = wf.WorkflowBuilder("counting").add_task("count", count).build()
    wf.WorkflowEngine(folder / "s", workers=1, crash_limit=0).run(workflow, run_id="r")
    """


def test_whenever_the_engine_is_killed_no_more_than_the_step_in_hand_is_taken_again(
    tmp_path: Path,
) -> None:
    rng, marks, kills = Random(4), tmp_path / "marks", 0
    while True:
        with script(tmp_path, KILLED, tmp_path) as process:
            before = len(steps(marks)) if marks.exists() else 0
            until = before + rng.randint(20, 60)

            def far_enough(process=process, until=until) -> bool:  # type: ignore[no-untyped-def]
                ended = process.poll() is not None
                return ended or (marks.exists() and len(steps(marks)) >= until)

            wait_for(far_enough, "some more steps")
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            code, _, errors = finish(process)
            if code == 0:
                break
            assert code == -signal.SIGKILL, errors
    taken = steps(marks)
    assert sorted(set(taken)) == [*range(1, 201)]
    assert len(taken) <= 200 + kills
    assert kills >= 3
    check_log(tmp_path / "s", RUN)
    checked = dwf(tmp_path / "s", "db", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def attempts(store: Path) -> int:
    opened = open_store(store, readonly=True)
    try:
        row = opened.log.row(RUN)
        assert row is not None
        found = [one.event for one in opened.log.history(row.run)]
        return sum(isinstance(event, e.AttemptStarted) for event in found)
    finally:
        opened.log.close()


def test_an_engine_that_is_closed_keeps_what_its_tasks_have_said(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    def work() -> object:
        me = wf.current()
        if me.last_heartbeat is None:
            me.heartbeat({"file": "a.csv", "row": 41})
            gate.pass_through()
        return me.last_heartbeat

    workflow = wf.WorkflowBuilder("w").add_task("work", work).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=0.0) as engine:
        engine.submit(workflow, run_id=RUN)
        gate.wait_for_one()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, run_id=RUN)
    assert result["work"] == {"file": "a.csv", "row": 41}


# --- silence --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sleeps", "is stopped"])
def test_a_task_that_falls_silent_is_stopped_and_goes_on_in_its_next_attempt(
    how: str, tmp_path: Path
) -> None:
    def work() -> int:
        me = wf.current()
        if me.last_heartbeat is None:
            me.heartbeat(41)
            if how == "is stopped":
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(60)
        return int(me.last_heartbeat)

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("work", work, heartbeat=0.5, retry=wf.retry(2, wait=0))
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, run_id=RUN)
    assert result["work"] == 41
    (failed,) = [one.event for one in result.history() if isinstance(one.event, e.AttemptFailed)]
    assert failed.fault.kind.value == "timeout"
    assert "sent no heartbeat for 0.5 s (the last one came after" in failed.fault.message
    assert "s: 41)" in failed.fault.message


def test_a_task_that_beats_may_take_longer_than_any_silence(tmp_path: Path) -> None:
    """The control."""

    def work() -> str:
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            wf.current().heartbeat()
            time.sleep(0.05)
        return "done"

    workflow = wf.WorkflowBuilder("w").add_task("work", work, heartbeat=2.5).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        assert engine.run(workflow, run_id=RUN)["work"] == "done"


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ({"heartbeat": "30s"}, "a limit of its silence (heartbeat), which the sequential"),
        ({"deadline": "2h"}, "a deadline, which the sequential executor cannot enforce"),
    ],
)
def test_what_nobody_would_enforce_is_refused(
    limit: dict[str, str], words: str, tmp_path: Path
) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("a", dict, **limit).build()  # type: ignore[arg-type]
    with (
        wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine,
        pytest.raises(CallerError, match="cannot run on this engine") as caught,
    ):
        engine.run(workflow)
    assert words in str(caught.value)


def test_a_detail_that_cannot_be_kept_fails_the_task_with_the_reason(tmp_path: Path) -> None:
    def work() -> None:
        wf.current().heartbeat("x" * 10_000)

    workflow = wf.WorkflowBuilder("w").add_task("work", work, retry=5).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        result = engine.run(workflow, check=False)
    assert result.status is RunStatus.FAILED
    assert "10,002 bytes, and the limit is 8,192" in result.row.cause
    assert len(started(result)) == 1, "another attempt would not make it smaller"


# --- what is shown --------------------------------------------------------------------------------


def test_show_tells_how_far_a_running_task_is(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    def work() -> None:
        wf.current().heartbeat({"row": 41})
        gate.pass_through()

    def quiet() -> None:
        gate.pass_through()

    workflow = wf.WorkflowBuilder("w").add_task("beats", work).add_task("quiet", quiet).build()
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=2) as engine:
        handle = engine.submit(workflow, run_id=RUN)
        wait_for(lambda: gate.came() == 2, "both tasks")
        shown = dwf(store, "show", RUN).stdout
        alone = dwf(store, "show", RUN, "--task", "beats").stdout
        document = json.loads(dwf(store, "show", RUN, "--json").stdout)
        gate.open()
        handle.result(DEADLINE_S)
        after = json.loads(dwf(store, "show", RUN, "--json").stdout)

    (line,) = [line for line in shown.splitlines() if line.startswith("beats")]
    assert "heartbeat " in line
    assert '{"row":41}' in line
    assert "heartbeat" not in next(x for x in shown.splitlines() if x.startswith("quiet"))
    assert 'ago: {"row":41}' in alone
    beat = document["task_states"]["beats"]["heartbeat"]
    assert (beat["attempt"], beat["detail"]) == (1, '{"row":41}')
    assert beat["at"] >= document["created_at"]
    assert "heartbeat" not in document["task_states"]["quiet"]
    assert "heartbeat" not in after["task_states"]["beats"]


def test_show_tells_how_far_a_task_was_when_its_engine_died(tmp_path: Path) -> None:
    kill_at_70(tmp_path, "parallel", recorded=False)
    shown = dwf(tmp_path / "s", "show", RUN).stdout
    (line,) = [line for line in shown.splitlines() if line.startswith("count")]
    assert "interrupted" in line
    assert "ago: 70" in line
