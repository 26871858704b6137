"""Commands from another process: answered by a living engine, busy or idle, exactly once; decided
by the sender where no engine is alive.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, Gate, dwf, finish, gated, kinds, script, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.engine import control
from durable_wf.store.opening import open_store
from durable_wf.store.port import Answer, Verb

RUN = "r"


def history(store: Path) -> list[str]:
    """The kinds of the run's events."""
    with wf.WorkflowEngine(store) as engine:
        return kinds(engine.history(RUN))  # type: ignore[arg-type]


def send(store: Path, verb: Verb, run_id: str = RUN) -> Answer:
    """As another process would, with a store of its own."""
    opened = open_store(store)
    try:
        return control.send(opened, run_id, verb, "ann@test")
    finally:
        opened.close()


def inbox(store: Path) -> list[tuple[str, str | None]]:
    """Every command ever sent: (verb, answer)."""
    connection = sqlite3.connect(f"file:{store}/log.db?mode=ro", uri=True)
    try:
        found: list[tuple[str, str | None]] = connection.execute(
            "SELECT verb, answer FROM inbox ORDER BY id"
        ).fetchall()
    finally:
        connection.close()
    return found


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def test_a_busy_engine_answers_pause_resume_and_cancel_of_another_process(
    gate: Gate, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        ended = [dwf(store, verb, RUN) for verb in ("pause", "resume", "cancel")]
        result = handle.result(DEADLINE_S)

    assert [process.returncode for process in ended] == [0, 0, 0], [p.stderr for p in ended]
    assert result.status is RunStatus.CANCELLED
    for kind in ("RunPaused", "RunResumed", "RunDraining", "RunCancelled"):
        assert kinds(result).count(kind) == 1
    assert [(v, a is not None) for v, a in inbox(store)] == [
        ("pause", True), ("resume", True), ("cancel", True),
    ]  # fmt: skip
    check_log(store, RUN)


def test_an_engine_that_only_holds_a_paused_run_answers_too(gate: Gate, tmp_path: Path) -> None:
    """Nobody waits for anything in its process, as in a notebook between two cells."""
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine, ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.run, gated(gate), run_id=RUN)
        gate.wait_for_one()
        engine.pause(RUN)
        gate.open()
        assert running.result(DEADLINE_S).status is RunStatus.PAUSED

        assert send(store, Verb.RESUME).accepted
        wait_for(lambda: engine.history()[0].status is RunStatus.SUCCEEDED)  # type: ignore[union-attr]
    check_log(store, RUN)


def test_commands_that_come_at_once_are_each_obeyed_once(gate: Gate, tmp_path: Path) -> None:
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine, ThreadPoolExecutor(8) as pool:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        answers = [pool.submit(send, store, Verb.PAUSE) for _ in range(8)]
        assert all(answer.result(DEADLINE_S).accepted for answer in answers)
        assert send(store, Verb.RESUME).accepted
        gate.open()
        result = handle.result(DEADLINE_S)

    assert kinds(result).count("RunPaused") == 1
    assert kinds(result).count("RunResumed") == 1
    assert len(inbox(store)) == 9
    assert all(answer for _, answer in inbox(store))


def test_a_command_that_the_state_does_not_allow_is_refused_with_the_reason(
    gate: Gate, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine:
        done = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
        engine.run(done, run_id="done", executor_type="sequential")
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        with pytest.raises(wf.WrongState, match="has ended: succeeded"):
            send(store, Verb.PAUSE, "done")
        with pytest.raises(wf.NotFound):
            send(store, Verb.PAUSE, "nowhere")
        gate.open()
        handle.result(DEADLINE_S)


def test_a_command_to_an_engine_that_ends_meanwhile_is_not_waited_for(
    gate: Gate, tmp_path: Path
) -> None:
    """The run ends, or its engine dies, between the sending and the reading of the command."""
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine, ThreadPoolExecutor(1) as pool:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        session = engine._sessions.current
        assert session is not None
        session.loop.inbox.look_no_more()
        sending = pool.submit(send, store, Verb.PAUSE)
        wait_for(lambda: inbox(store))
        gate.open()
        handle.result(DEADLINE_S)
        with pytest.raises(wf.WrongState, match="has ended"):
            sending.result(4.0)
    assert [verb for verb, answer in inbox(store) if answer is None] == []


def test_a_command_that_nobody_waits_for_any_more_is_answered_all_the_same(
    gate: Gate, tmp_path: Path
) -> None:
    """By the engine that ends its run, at the latest when it ends itself."""
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        session = engine._sessions.current
        assert session is not None
        session.loop.inbox.look_no_more()
        opened = open_store(store)
        opened.log.post(RUN, Verb.PAUSE, "ann@test", "k", 1, "{}")
        opened.close()
        gate.open()
        handle.result(DEADLINE_S)
    assert inbox(store) == [("pause", f"run {RUN} has ended: succeeded; the pause came too late")]


def test_or_by_the_next_engine_that_looks(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        done = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
        engine.run(done, run_id=RUN)
    opened = open_store(tmp_path / "s")
    opened.log.post(RUN, Verb.CANCEL, "ann@test", "k", 1, "{}")
    opened.close()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(done, run_id="another")
    told = f"run {RUN} has ended: succeeded; the cancel came too late"
    assert inbox(tmp_path / "s") == [("cancel", told)]


# --- with no engine alive -------------------------------------------------------------------------


@contextmanager
def orphan(tmp_path: Path) -> Iterator[Path]:
    """A store with a run whose engine was killed while `first` ran."""
    text = """
    import sys, time
    from pathlib import Path
    import durable_wf as wf

    folder = Path(sys.argv[2])

    def first():
        (folder / "came").touch()
        while not (folder / "go").exists():
            time.sleep(0.01)
        return 1

    builder = wf.WorkflowBuilder("w").add_task("first", first)
    builder.add_task("second", lambda first: first + 1).depends_on("first")
    wf.WorkflowEngine(sys.argv[1], workers=1).run(builder.build(), run_id="r")
    """
    with script(tmp_path, text, tmp_path / "s", tmp_path) as process:
        wait_for((tmp_path / "came").exists)
        process.send_signal(signal.SIGKILL)
        finish(process)
        (tmp_path / "go").touch()
        yield tmp_path / "s"


def test_without_an_engine_pause_is_decided_by_the_sender(tmp_path: Path) -> None:
    with orphan(tmp_path) as store:
        assert send(store, Verb.PAUSE).accepted
        assert history(store)[-2:] == ["RunPaused", "RunReleased"]
        check_log(store, RUN)
        recovered = dwf(store, "recover")
        assert recovered.returncode == 0
        assert history(store)[-1] == "RunReleased", "a paused run is nobody's to recover"
        resumed = dwf(store, "resume", RUN)

        assert resumed.returncode == 0, resumed.stderr
        assert history(store)[-1] == "RunSucceeded"
        assert inbox(store) == []
        check_log(store, RUN)


def test_without_an_engine_cancel_is_decided_by_the_sender(tmp_path: Path) -> None:
    with orphan(tmp_path) as store:
        cancelled = dwf(store, "cancel", RUN, "--reason", "too late")

        assert cancelled.returncode == 0, cancelled.stderr
        assert history(store)[-1] == "RunCancelled"
        shown = json.loads(dwf(store, "show", RUN, "--json").stdout)
        assert shown["status"] == "cancelled"
        check_log(store, RUN)
        assert [n for n in os.listdir(store / "locks") if n.startswith("e-")] != []
        with pytest.raises(wf.WrongState, match="cancelled"):
            send(store, Verb.CANCEL)


def test_without_an_engine_a_resume_waits_for_one_and_is_then_obeyed_once(tmp_path: Path) -> None:
    with orphan(tmp_path) as store:
        send(store, Verb.PAUSE)
        answer = send(store, Verb.RESUME)
        assert not answer.accepted
        assert "dwf resume r" in answer.text
        assert inbox(store) == [("resume", None)]

        assert dwf(store, "resume", RUN).returncode == 0
        assert history(store).count("RunResumed") == 1
        assert [verb for verb, told in inbox(store) if told] == ["resume"]


def test_a_command_left_for_an_engine_that_died_is_obeyed_by_the_one_that_takes_over(
    tmp_path: Path, gate: Gate
) -> None:
    """Also when the new engine has looked at the inbox before it took the run."""
    with orphan(tmp_path) as store:
        opened = open_store(store)
        opened.log.post(RUN, Verb.CANCEL, "ann@test", "k", 1, "{}")
        opened.close()
        (tmp_path / "go").unlink()
        with wf.WorkflowEngine(store, workers=2) as engine:
            other = engine.submit(gated(gate), run_id="other")
            gate.wait_for_one()
            session = engine._sessions.current
            assert session is not None
            wait_for(lambda: session.loop.inbox.has_looked, "the inbox to be looked at")
            result = engine.resume(RUN, check=False)
            gate.open()
            other.result(DEADLINE_S)

        assert result.status is RunStatus.CANCELLED
        assert inbox(store) == [("cancel", "cancel accepted")]
        check_log(store, RUN)


def test_a_stopped_engine_keeps_the_command_until_it_goes_on(tmp_path: Path, gate: Gate) -> None:
    """It is alive, so nobody decides in its place; the sender is told that the command waits."""
    text = """
    import sys
    from pathlib import Path
    import durable_wf as wf
    from engine_rig import Gate, gated
    result = wf.WorkflowEngine(sys.argv[1], workers=1).run(
        gated(Gate(Path(sys.argv[2]))), run_id="r", check=False
    )
    print(result.status.value)
    """
    store = tmp_path / "s"
    with script(tmp_path, text, store, gate.path) as process:
        gate.wait_for_one()
        process.send_signal(signal.SIGSTOP)
        opened = open_store(store)
        answer = control.send(opened, RUN, Verb.CANCEL, "ann@test", wait_s=0.3)
        opened.close()
        assert not answer.accepted
        assert "has not answered" in answer.text
        process.send_signal(signal.SIGCONT)
        code, out, errors = finish(process)

    assert (code, out.strip()) == (0, "cancelled"), errors
    assert inbox(store) == [("cancel", "cancel accepted")]


def test_who_commanded_stands_in_the_history(gate: Gate, tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        send(tmp_path / "s", Verb.CANCEL)
        events = [recorded.event for recorded in handle.result(DEADLINE_S).history()]

    (draining,) = [event for event in events if isinstance(event, e.RunDraining)]
    assert draining.actor == "ann@test"
