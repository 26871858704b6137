"""Signals to a process that runs an engine: the first ends in order, the second at once."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import pytest
from engine_rig import DEADLINE_S, Gate, dwf, finish, gated, kinds, run_python, script, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def signals_are_heard():
    """Who runs these tests may ignore signals, as nohup and background jobs of a shell do; and what
    is ignored here would be ignored in each script that is started.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        heard = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, heard)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


SCRIPT = """
import sys, threading, time
from pathlib import Path
import durable_wf as wf

store, folder, executor, grace = sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4])

def wait():
    with (folder / "came").open("a") as file:
        file.write("came\\n")
    deadline = time.monotonic() + 50
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return 1

workflow = (
    wf.WorkflowBuilder("w")
    .add_task("first", wait)
    .add_task("second", lambda first: first + 1).depends_on("first")
    .build()
)
with wf.WorkflowEngine(store, workers=1, executor_type=executor, grace_s=grace) as engine:
    print(engine.run(workflow, run_id="r")["second"])
"""


def history(store: Path) -> list[str]:
    with wf.WorkflowEngine(store) as engine:
        return kinds(engine.history("r"))  # type: ignore[arg-type]


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_second_interrupt_does_not_wait_for_the_grace_period(
    executor: str, tmp_path: Path
) -> None:
    """Its attempt stays open in the log, so that the next engine knows of it; it is no failure."""
    store = tmp_path / "s"
    with script(tmp_path, SCRIPT, store, tmp_path, executor, 500) as process:
        wait_for((tmp_path / "came").exists)
        process.send_signal(signal.SIGINT)
        if executor == "parallel":
            assert process.stderr is not None
            assert "interrupted" in process.stderr.readline()
        else:
            wait_for(lambda: _pending_signals(process.pid) == 0)
        process.send_signal(signal.SIGINT)
        code, _, errors = finish(process)

    assert code == INTERRUPTED
    assert "dwf resume r" in errors
    assert "AttemptFailed" not in history(store)
    (tmp_path / "go").touch()
    resumed = dwf(store, "resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert history(store).count("AttemptStarted") == 3
    with wf.WorkflowEngine(store) as engine:
        failed = [r.event for r in engine.history("r") if isinstance(r.event, e.AttemptFailed)]  # type: ignore[union-attr]
    assert [event.fault.kind.value for event in failed] == ["in_doubt"]


def _pending_signals(pid: int) -> int:
    """Signals that wait to be taken by the process (Linux); 0 elsewhere."""
    status = Path(f"/proc/{pid}/status")
    found = re.search(r"ShdPnd:\s*(\w+)", status.read_text()) if status.exists() else None
    return int(found[1], 16) if found else 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_one_signal_lets_the_running_task_finish_and_the_script_say_how_to_go_on(
    executor: str, number: signal.Signals, tmp_path: Path
) -> None:
    """In one line, without a traceback."""
    store = tmp_path / "s"
    with script(tmp_path, SCRIPT, store, tmp_path, executor, 50) as process:
        wait_for((tmp_path / "came").exists)
        process.send_signal(number)
        wait_for(lambda: _pending_signals(process.pid) == 0)
        (tmp_path / "go").touch()
        code, _, errors = finish(process)

    assert code == INTERRUPTED
    assert errors.count("dwf resume r") == 1
    assert "Traceback" not in errors
    assert history(store)[3:] == ["AttemptStarted", "AttemptSucceeded", "RunReleased"]
    assert dwf(store, "resume", "r").returncode == 0


def submitting(rest: str) -> str:
    """The script, with the run in the background, and what becomes of it."""
    head, _, _ = SCRIPT.partition("with wf.")
    made = "engine = wf.WorkflowEngine(store, workers=1, executor_type=executor, grace_s=grace)\n"
    return f'{head}{made}handle = engine.submit(workflow, run_id="r")\n{rest}'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_waits_for_a_submitted_run_is_interrupted_as_who_runs_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    text = submitting("handle.result()")
    with script(tmp_path, text, store, tmp_path, "parallel", 50) as process:
        wait_for((tmp_path / "came").exists)
        process.send_signal(number)
        assert process.stderr is not None
        assert "interrupted" in process.stderr.readline()
        (tmp_path / "go").touch()
        code, _, errors = finish(process)

    assert code == INTERRUPTED
    assert "dwf resume r" in errors
    assert history(store)[3:] == ["AttemptStarted", "AttemptSucceeded", "RunReleased"]


def test_a_script_that_ends_before_its_run_is_told_of_it(tmp_path: Path) -> None:
    store = tmp_path / "s"
    text = submitting("while not (folder / 'came').exists(): time.sleep(0.01)")
    with script(tmp_path, text, store, tmp_path, "parallel", 0) as process:
        code, _, errors = finish(process)

    assert code == 0
    assert "r; continue with: dwf resume r" in errors
    (tmp_path / "go").touch()
    assert dwf(store, "resume", "r").returncode == 0


def test_a_script_that_leaves_a_question_is_not(tmp_path: Path) -> None:
    """Its run waits for people; nobody has to continue it before they have answered."""
    text = """
        import sys
        import durable_wf as wf
        workflow = wf.WorkflowBuilder("w").add_task("ask", wf.approval("ok?")).build()
        wf.WorkflowEngine(sys.argv[1]).run(workflow, run_id="r")
    """
    with script(tmp_path, text, tmp_path / "s") as process:
        code, _, errors = finish(process)

    assert (code, errors) == (0, "")


POOLS = """
import multiprocessing, os, sys, time
from pathlib import Path
import durable_wf as wf

store, folder, tasks = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])

def half(n):
    with (folder / "came").open("a") as file:
        file.write("came\\n")
    deadline = time.monotonic() + 50
    while not (folder / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return n // 2

def halves():
    with multiprocessing.get_context("fork").Pool(4) as pool:
        return pool.map(half, [2, 4])

builder = wf.WorkflowBuilder("w")
for number in range(tasks):
    builder.add_task(f"t{number}", halves)
with wf.WorkflowEngine(store, executor_type="sequential") as engine:
    result = engine.run(builder.build(), run_id="r")
    print(sum(sum(value) for value in result.values().values()))
"""


def test_pools_of_processes_in_sequential_tasks_end_with_their_task(tmp_path: Path) -> None:
    (tmp_path / "go").touch()
    with script(tmp_path, POOLS, tmp_path / "s", tmp_path, 20, alone=True) as process:
        assert finish(process) == (0, "60\n", "")


def test_ctrl_c_in_a_terminal_lets_the_task_finish_with_the_processes_of_its_pool(
    tmp_path: Path,
) -> None:
    """It is sent to all processes of the terminal."""
    with script(tmp_path, POOLS, tmp_path / "s", tmp_path, 2, alone=True) as process:
        wait_for((tmp_path / "came").exists)
        wait_for(lambda: len((tmp_path / "came").read_text().splitlines()) == 2)
        os.killpg(process.pid, signal.SIGINT)
        wait_for(lambda: _pending_signals(process.pid) == 0)
        (tmp_path / "go").touch()
        code, out, errors = finish(process)
    assert (code != 0, out) == (True, ""), errors
    assert "dwf resume r" in errors
    assert history(tmp_path / "s")[3:] == ["AttemptStarted", "AttemptSucceeded", "RunReleased"]


def test_a_hangup_that_is_ignored_stays_ignored(tmp_path: Path) -> None:
    """As nohup asks for it; a run without nohup, interrupted, is the control."""
    store = tmp_path / "s"
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + SCRIPT
    with script(tmp_path, ignoring, store, tmp_path, "parallel", 50) as process:
        wait_for((tmp_path / "came").exists)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: _pending_signals(process.pid) == 0)
        (tmp_path / "go").touch()
        code, out, errors = finish(process)

    assert (code, out.strip()) == (0, "2"), errors
    assert history(store)[-1] == "RunSucceeded"


@pytest.fixture
def engine(tmp_path: Path):
    with wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=0.0) as made:
        yield made


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in SIGNALS]


def test_handlers_stand_while_a_run_is_waited_for_and_are_restored_after_it(tmp_path: Path) -> None:
    seen: list[list[object]] = []
    workflow = wf.WorkflowBuilder("w").add_task("look", lambda: seen.append(handlers())).build()
    failing = wf.WorkflowBuilder("w").add_task("bad", lambda: 1 // 0).build()
    before = handlers()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(workflow)
        assert handlers() == before
        with pytest.raises(wf.RunFailed):
            engine.run(failing)
        assert handlers() == before

    assert len(seen) == 1
    assert all(one != other for one, other in zip(seen[0], before, strict=True))


def test_off_the_main_thread_no_handler_is_touched(tmp_path: Path) -> None:
    seen: list[list[object]] = []
    workflow = wf.WorkflowBuilder("w").add_task("look", lambda: seen.append(handlers())).build()

    def run() -> None:
        with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
            engine.run(workflow)

    before = handlers()
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(DEADLINE_S)

    assert seen == [before]


def interrupt_when(gate: Gate) -> threading.Thread:
    """Ctrl-C as soon as a task has come to the gate."""

    def press() -> None:
        gate.wait_for_one()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    return thread


def test_an_interrupted_engine_can_go_on_as_in_a_notebook(
    engine: wf.WorkflowEngine, tmp_path: Path
) -> None:
    gate = Gate(tmp_path / "gate")
    pressing = interrupt_when(gate)
    with pytest.raises(wf.Interrupted, match="dwf resume r"):
        engine.run(gated(gate), run_id="r")
    pressing.join(DEADLINE_S)
    gate.open()

    assert engine.run(gated(gate), run_id="r")["second"] == 2


def test_an_interrupt_ends_also_what_the_background_thread_drives(
    engine: wf.WorkflowEngine, tmp_path: Path
) -> None:
    """All runs of the engine are released, in the log, not only the one that was waited for."""
    other, gate = Gate(tmp_path / "other"), Gate(tmp_path / "gate")
    submitted = engine.submit(gated(other), run_id="other")
    other.wait_for_one()
    pressing = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    pressing.start()
    with pytest.raises(wf.Interrupted):
        engine.run(gated(gate), run_id="r")
    pressing.join(DEADLINE_S)

    with pytest.raises(wf.DurableWorkflowError, match="let go unfinished: interrupted"):
        submitted.result(DEADLINE_S)
    assert [kinds(engine.history(run))[-1] for run in ("other", "r")] == ["RunReleased"] * 2  # type: ignore[arg-type]


def test_an_interrupt_without_handlers_leaves_the_engine_usable(tmp_path: Path) -> None:
    """Ctrl-C in the short time before a run is waited for."""
    engine = wf.WorkflowEngine(tmp_path / "s", executor_type="sequential")
    workflow = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
    engine.run(workflow)
    session = engine._sessions.current
    assert session is not None

    def press() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        session.driver.call(press)

    assert engine.run(workflow)["one"] == 1
    engine.close()


def test_ctrl_c_between_two_runs_is_not_kept_for_the_next(tmp_path: Path) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(workflow)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert engine.run(workflow).status is RunStatus.SUCCEEDED


def test_the_interpreters_end_closes_a_forgotten_engine_in_order(tmp_path: Path) -> None:
    text = """
import sys, durable_wf as wf
engine = wf.WorkflowEngine(sys.argv[1], workers=1)
engine.run(wf.WorkflowBuilder("w").add_task("one", lambda: 1).build())
"""
    ended = run_python("-c", text, tmp_path / "s")

    assert (ended.returncode, ended.stderr) == (0, "")
    assert os.listdir(tmp_path / "s" / "locks") == ["writer"]
