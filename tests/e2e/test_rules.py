"""Recovery rules in the engine: what the log, the results and the tasks downstream see of them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine_clock import FakeClock
from walks import snapshot

import durable_wf as wf
from durable_wf.cli.main import dwf
from durable_wf.core import events as e
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.engine import judging, session
from durable_wf.engine.session import reader_of
from durable_wf.engine.timers import JUMP_S
from durable_wf.engine.view import load_state
from durable_wf.engine.watchdog import Watchdog

DEADLINE_S = 60


@pytest.fixture
def clock(monkeypatch):
    """Hours pass in no time: each look at the clock takes two minutes."""
    fake = FakeClock(step_s=120.0)
    monkeypatch.setattr(session, "SystemClock", lambda: fake)
    return fake


@pytest.fixture(params=["sequential", "parallel"])
def engine(request, tmp_path):
    with wf.WorkflowEngine(tmp_path / "store", executor_type=request.param, workers=2) as made:
        yield made


@pytest.fixture
def quick(tmp_path):
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as made:
        yield made


class Busy(ConnectionError):
    retry_after = 1800


def bad() -> None:
    raise ValueError("no such table")


def failing(times: int, path: Path, error: type[BaseException] = ConnectionError):
    """A function that fails so many times and then returns how often it was called."""

    def flaky() -> int:
        with path.open("a") as file:
            file.write("x")
        calls = len(path.read_text())
        if calls <= times:
            raise error(f"call {calls}")
        return calls

    return flaky


def decisions(result):
    found = (recorded.event for recorded in result.history())
    return [event for event in found if hasattr(event, "rule")]


def one(function, **options):
    return wf.WorkflowBuilder("w").add_task("a", function, **options).build()


# --- retries ---


def test_a_flaky_task_succeeds_in_the_end(engine, clock, tmp_path):
    """After the waits that its rule asks for, which nobody sits through here."""
    builder = wf.WorkflowBuilder("w").add_task("a", failing(2, tmp_path / "calls"))
    result = engine.run(builder.retry(3, wait=wf.exponential("10m")).build())

    assert result["a"] == 3
    assert [event.reason for event in decisions(result)] == [
        "attempt 1 of 3 failed (ConnectionError); again in 600 s",
        "attempt 2 of 3 failed (ConnectionError); again in 1200 s",
    ]
    waits = [
        (event.until - recorded.at) / 1e6
        for recorded in result.history()
        if isinstance(event := recorded.event, e.TaskRetryScheduled)
    ]
    assert waits == [600, 1200]
    assert dict(decisions(result)[1].facts) == {"faults": 2, "run_retries": 1, "attempts": 3}
    starts = [r.at for r in result.history() if isinstance(r.event, e.AttemptStarted)]
    assert (starts[1] - starts[0]) / 1e6 >= 600
    assert (starts[2] - starts[1]) / 1e6 >= 1200


def test_what_the_exception_asks_for_is_honoured(engine, clock, tmp_path):
    result = engine.run(one(failing(1, tmp_path / "calls", Busy), retry=wf.retry(2, wait=1)))
    assert "again in 1800 s, as the exception asked" in decisions(result)[0].reason


def test_a_task_that_goes_on_failing_fails_with_its_last_error(quick, clock):
    result = quick.run(one(bad, retry=3), check=False)
    assert result.status is wf.RunStatus.FAILED
    assert [type(event) for event in decisions(result)] == [
        e.TaskRetryScheduled, e.TaskRetryScheduled, e.TaskFailed,
    ]  # fmt: skip
    assert decisions(result)[-1].rule == "default"


def test_a_worker_that_is_lost_is_not_counted_as_an_attempt(tmp_path):
    path = tmp_path / "calls"

    def dies_twice() -> int:
        with path.open("a") as file:
            file.write("x")
        if len(path.read_text()) <= 2:
            os.kill(os.getpid(), 9)
        return len(path.read_text())

    with wf.WorkflowEngine(tmp_path / "store", workers=1) as made:
        result = made.run(one(dies_twice, retry=1))
    assert result["a"] == 3
    assert [dict(event.facts)["losses"] for event in decisions(result)] == [1, 2]


# --- who is asked ---


def test_the_task_is_asked_before_the_workflow_and_the_engine(tmp_path):
    def named(name):
        return wf.rule(name)(lambda history, fault: wf.recovery.Skip(f"{name}: {fault.message}"))

    @wf.rule
    def silent(history, fault):
        return None

    def run(task=None, workflow=(), engine=()):
        builder = wf.WorkflowBuilder("w", rules=workflow).add_task("a", bad).on_fault(silent)
        if task:
            builder.on_fault(task)
        store = tmp_path / "store"
        with wf.WorkflowEngine(store, executor_type="sequential", rules=engine) as made:
            return decisions(made.run(builder.build(), check=False))[0].rule

    assert run(named("t"), [named("w")], [named("e")]) == "t"
    assert run(None, [named("w")], [named("e")]) == "w"
    assert run(None, (), [named("e")]) == "e"
    assert run() == "default"


def divides(history, fault):
    return 1 / 0


def exits(history, fault):
    sys.exit("no more")


@pytest.mark.parametrize(
    ("rule", "said"),
    [(divides, "ZeroDivisionError: division by zero"), (exits, "SystemExit: no more")],
)
def test_a_rule_that_raises_fails_the_task_and_not_the_engine(engine, rule, said):
    """The error stands in the log, and the next run is none the worse for it."""
    result = engine.run(one(bad, on_fault=rule), check=False)
    assert decisions(result)[-1].rule == rule.__name__
    assert decisions(result)[-1].reason == f"rule {rule.__name__!r} raised {said}"
    assert f"raised {said}" in result.row.cause
    assert engine.run(one(lambda: 7))["a"] == 7


def test_a_rule_that_does_not_return_is_named_meanwhile(quick, monkeypatch, caplog):
    """It returns as soon as it reads its own name in the log."""
    named = threading.Event()
    monkeypatch.setattr(judging, "_WATCHDOG", Watchdog(0.01))

    class Reader(logging.Handler):
        def emit(self, record):
            if "'stuck'" in record.getMessage():
                named.set()

    @wf.rule("stuck")
    def stuck(history, fault):
        assert named.wait(DEADLINE_S)
        return wf.recovery.Skip("it was named")

    reader = Reader()
    logging.getLogger("durable_wf").addHandler(reader)
    try:
        result = quick.run(one(bad, on_fault=stuck))
    finally:
        logging.getLogger("durable_wf").removeHandler(reader)
    assert decisions(result)[-1].reason == "it was named"


def test_a_slow_rule_is_named(quick, monkeypatch, caplog):
    fake = FakeClock()
    monkeypatch.setattr(session, "SystemClock", lambda: fake)

    @wf.rule("sleepy")
    def sleepy(history, fault):
        fake.pass_(1.5)

    with caplog.at_level(logging.WARNING, "durable_wf"):
        quick.run(one(bad, on_fault=sleepy), check=False)
    assert "rule 'sleepy' took 1.5 s to decide about task 'a'" in caplog.text


# --- instead of a result ---


def instead(count: int) -> str:
    return f"{count} instead"


def fails_with(count: int) -> str:
    raise ValueError(count)


def test_a_fallback_value_and_a_skip_are_seen_downstream(engine):
    result = engine.run(
        wf.WorkflowBuilder("w")
        .add_task("value", bad).fallback({"rate": 1.5})
        .add_task("gone", bad).on_fault(wf.skip("nobody needs it"))
        .add_task("after", lambda value, gone: [value, bool(gone), gone.kind, gone.message])
        .depends_on("value", "gone")
        .build()
    )  # fmt: skip
    assert result["after"] == [{"rate": 1.5}, False, "skipped", "nobody needs it"]
    assert result["value"] == {"rate": 1.5}
    assert result["gone"] == wf.Missing(task="gone", kind="skipped", message="nobody needs it")
    assert result.values().keys() == {"value", "after"}
    assert result.failures() == {}


def test_a_fallback_function_runs_as_an_attempt_with_the_same_arguments(engine):
    builder = wf.WorkflowBuilder("w").add_task("a", fails_with, parameters={"count": 4})
    result = engine.run(builder.fallback(instead).build())
    assert result["a"] == "4 instead"
    attempts = [r.event.attempt for r in result.history() if isinstance(r.event, e.AttemptStarted)]
    assert attempts == [1, 2]


def test_a_fallback_function_that_fails_too_fails_the_task(engine):
    result = engine.run(one(bad, fallback=bad), check=False)
    assert result.status is wf.RunStatus.FAILED
    assert len([1 for r in result.history() if isinstance(r.event, e.AttemptFailed)]) == 2


def test_keep_going_does_all_that_does_not_depend_on_the_failure(engine):
    result = engine.run(
        wf.WorkflowBuilder("w", rules=[wf.keep_going()])
        .add_task("bad", bad)
        .add_task("cut", lambda bad: bad).depends_on("bad")
        .add_task("off", lambda cut: cut).depends_on("cut")
        .add_task("first", lambda: 1)
        .add_task("second", lambda first: first + 1).depends_on("first")
        .build(),
        check=False,
    )  # fmt: skip
    assert result.status is wf.RunStatus.FAILED
    assert result.values() == {"first": 1, "second": 2}
    assert (result.row.counts.failed, result.row.counts.skipped) == (1, 2)
    assert "task 'bad' failed" in result.row.cause


# --- waiting, and being killed ---


def test_a_run_that_only_waits_can_be_left_and_taken_up_again(tmp_path, clock):
    workflow = one(failing(1, tmp_path / "calls"), retry=wf.retry(2, wait="2h"))
    store = tmp_path / "store"
    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        left = made.run(workflow, run_id="r", wait="1h")
        again = made.run(workflow, run_id="r", wait=0)
    assert left.status is again.status is wf.RunStatus.RUNNING
    assert left.row.counts.waiting == 1
    assert left.row.wake_at > clock.now_us()

    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        assert made.run(workflow, run_id="r")["a"] == 2
    ends = [r for r in made.history("r") if isinstance(r.event, e.TaskWoken)]
    assert ends[0].at >= left.row.wake_at


def test_after_a_restart_the_wall_clock_counts(tmp_path, clock):
    workflow = one(failing(1, tmp_path / "calls"), retry=wf.retry(2, wait="2h"))
    store = tmp_path / "store"
    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        made.run(workflow, run_id="r", wait=0)
    clock.jump(3 * 3600 + JUMP_S)
    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        assert made.run(workflow, run_id="r", wait=0)["a"] == 2


SCRIPT = """
import os, sys
from pathlib import Path
import durable_wf as wf

STORE, CALLS, DEATHS = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def flaky(k):
    with CALLS.open("a") as file:
        file.write(f"{k}\\n")
    calls = CALLS.read_text().split()
    if len(calls) in range(3, 3 + 4 * DEATHS, 4):
        os.kill(os.getpid(), 9)
    if calls.count(str(k)) <= 2:
        raise ConnectionError(f"{k} down")
    return k

builder = wf.WorkflowBuilder("flaky", rules=[wf.retry(9, wait=0.01, losses=50)])
for k in range(4):
    builder.add_task(f"t{k}", flaky, parameters={"k": k})
builder.add_task("bad", lambda: 1 / 0).fallback(lambda: "instead")
workflow = builder.build()
with wf.WorkflowEngine(STORE, executor_type="sequential") as engine:
    print(sorted(engine.run(workflow, run_id="r").values().items(), key=str))
"""


def test_flaky_tasks_survive_the_death_of_their_engine_time_and_again(tmp_path):
    """The rules come back with the script; nothing that succeeded runs again."""
    script, store, calls = tmp_path / "flow.py", tmp_path / "store", tmp_path / "calls"
    script.write_text(SCRIPT)
    codes = []
    for _ in range(9):
        done = subprocess.run(
            [sys.executable, str(script), str(store), str(calls), "3"],
            capture_output=True, text=True, timeout=DEADLINE_S, check=False,
        )  # fmt: skip
        codes.append(done.returncode)
        if done.returncode == 0:
            break
    assert codes == [-9, -9, -9, 0], done.stderr
    assert "('t0', 0), ('t1', 1), ('t2', 2), ('t3', 3)" in done.stdout
    assert "('bad', 'instead')" in done.stdout

    with wf.WorkflowEngine(store) as made:
        events = [recorded.event for recorded in made.history("r")]
    ended = [event.task for event in events if isinstance(event, e.AttemptSucceeded)]
    assert sorted(ended) == ["bad", "t0", "t1", "t2", "t3"]
    losses = [event for event in events if "losses" in dict(getattr(event, "facts", ()))]
    assert len(losses) >= 3  # each death is told as what it was


def test_a_resume_by_id_finds_the_rules_again(tmp_path):
    script, store, calls = tmp_path / "flow.py", tmp_path / "store", tmp_path / "calls"
    script.write_text(SCRIPT)
    dead = subprocess.run(
        [sys.executable, str(script), str(store), str(calls), "1"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert dead.returncode == -9
    resumed = subprocess.run(
        [sys.executable, "-m", "durable_wf", "--store", str(store), "resume", "r"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr


def test_decisions_in_the_log_are_not_taken_again_when_rules_change(tmp_path, clock):
    """A run begun under one rule goes on under another, which is not asked about what was decided:
    the history stands, and so does the state that it comes to.
    """
    store, asked = tmp_path / "store", []

    @wf.rule("another")
    def another(history, fault):
        asked.append(history.task)
        return wf.recovery.Fail("no more")

    def build(rule, times=1):
        return one(failing(times, tmp_path / "calls"), on_fault=rule)

    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        made.run(build(wf.retry(2, wait="2h")), run_id="r", wait=0)
        before = made.history("r")
        state = snapshot(load_state(reader_of(store)(), "r"))
    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        made.run(build(another), run_id="r", accept_changes=True, wait=0)
        resumed = made.history("r")
        assert resumed[: len(before)] == before
        assert not [r for r in resumed[len(before) :] if getattr(r.event, "rule", "")]
        then = replay(RunState.of("r", load_state(reader_of(store)(), "r").workflow), before)
        assert snapshot(then) == state
        assert asked == []
        assert made.run(build(another), run_id="r", accept_changes=True)["a"] == 2
        assert asked == []
        made.run(build(another, times=9), run_id="s", check=False)  # the control: a new fault
        assert asked == ["a"]


# --- the command line ---


@pytest.fixture
def told(tmp_path):
    """A store with two runs, and a script with other rules."""
    store = tmp_path / "store"
    with wf.WorkflowEngine(store, executor_type="sequential") as made:
        made.run(one(failing(1, tmp_path / "calls"), retry=wf.retry(2, wait=0)), run_id="good")
        made.run(one(bad), run_id="bad", check=False)
    script = tmp_path / "other.py"
    script.write_text(
        "import durable_wf as wf\n"
        "workflow = (wf.WorkflowBuilder('w', rules=[wf.keep_going()])\n"
        "    .add_task('a', lambda: 1).retry(2, wait=0).build())\n"
    )

    def run(*args):
        return CliRunner().invoke(dwf, ["--store", str(store), *args])

    return run, f"{script}:workflow"


def test_dwf_rules_show(told):
    run, target = told
    shown = run("rules", "show", target)
    assert shown.exit_code == 0, shown.output
    assert "retry up to 2 attempts (version 1)" in shown.output
    assert "keep going (version 1)" in shown.output
    document = json.loads(run("rules", "show", target, "--json").stdout)
    assert document["tasks"]["a"] == [{"name": "retry up to 2 attempts", "version": "1"}]


def test_dwf_rules_explain(told):
    run, _ = told
    shown = run("rules", "explain", "good", "a")
    assert shown.exit_code == 0, shown.output
    assert "attempt 1: error ConnectionError: call 1" in shown.output
    assert "by retry up to 2 attempts (version 1)" in shown.output
    assert "faults 1" in shown.output
    document = json.loads(run("rules", "explain", "bad", "a", "--json").stdout)
    assert document["decisions"][0]["rule"] == "default"
    assert run("rules", "explain", "bad", "b").exit_code == 3


def test_dwf_rules_backtest(told):
    run, target = told
    shown = run("rules", "backtest", target)
    assert shown.exit_code == 0, shown.output
    assert "unknown     1" in shown.output
    document = json.loads(run("rules", "backtest", target, "--since", "1d", "--json").stdout)
    assert (document["runs"], document["faults"], document["same"]) == (2, 2, 1)
    assert document["differences"][0]["candidate"] == "retry in 0 s"
    assert run("rules", "backtest", target, "--since", "soon").exit_code == 2
