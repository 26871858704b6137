"""Real engines with more runs that wait than they keep awake: answers, timers, crashes, code."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, finish, kinds, script, wait_for

import durable_wf as wf
from durable_wf.core.status import RunStatus, Verdict
from durable_wf.engine import control, resting
from durable_wf.engine.commands import answer_body
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb

COUNT = 5


@pytest.fixture(autouse=True)
def one_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs but one are put to rest, however soon they are due."""
    monkeypatch.setattr(resting, "KEPT", 1)
    monkeypatch.setattr(resting, "SOON_US", 0)


def asking(offset: int) -> wf.Workflow:
    """Its functions are this test's own, closures too."""

    def add(build: int, review: dict[str, object]) -> list[object]:
        return [build + offset, review["comment"]]

    return (
        wf.WorkflowBuilder("asking")
        .add_task("build", lambda: 1)
        .add_task("review", wf.approval("now?")).depends_on("build")
        .add_task("add", add).depends_on("build", "review")
        .build()
    )  # fmt: skip


def approve(store: Path, run_id: str, comment: str) -> None:
    """As another process does."""
    opened = open_store(store)
    body = answer_body("review", Verdict.APPROVE)
    try:
        assert control.send(opened, run_id, Verb.ANSWER, "ann", comment, more=body).accepted
    finally:
        opened.close()


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_runs_at_rest_go_on_with_the_functions_they_were_started_with(
    executor: str, tmp_path: Path
) -> None:
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, executor_type=executor, workers=1) as engine:
        handles = [engine.submit(asking(10 * n), run_id=f"r{n}") for n in range(COUNT)]
        for handle in handles:
            wait_for(handle.waiting)
        assert engine._sessions.current is not None
        rest = engine._sessions.current.loop.rest
        wait_for(lambda: len(rest) == COUNT - 1, "all but one to rest")
        for n in range(COUNT):
            approve(store, f"r{n}", f"c{n}")
        results = [handle.result(DEADLINE_S) for handle in handles]
    assert [result["add"] for result in results] == [[10 * n + 1, f"c{n}"] for n in range(COUNT)]
    for n in range(COUNT):
        check_log(store, f"r{n}")


def test_each_of_them_is_woken_by_its_timer(tmp_path: Path) -> None:
    sleeping = (
        wf.WorkflowBuilder("sleeping")
        .add_task("nap", wf.sleep(0.5))
        .add_task("after", lambda: 7).after("nap")
        .build()
    )  # fmt: skip
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handles = [engine.submit(sleeping) for _ in range(COUNT)]
        assert [handle.result(DEADLINE_S)["after"] for handle in handles] == [7] * COUNT


def test_a_run_at_rest_is_commanded_and_asked_for_like_any_other(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        for n in range(COUNT):
            assert engine.run(asking(n), run_id=f"r{n}").waiting
        assert engine.run(asking(0), run_id="r0").waiting, "the run, not a new one"
        assert engine.resume("r1").waiting
        assert engine.cancel("r2").accepted
        assert engine.pause("r3").accepted
        assert engine.history("r3")[-1].event.actor  # type: ignore[union-attr]
        assert engine.approve("r3", "review").accepted
        assert engine.resume("r3")["add"] == [4, ""]
        with pytest.raises(wf.WrongState, match="answered by"):
            engine.reject("r3", "review")
        rows = {row.run_id: row.status for row in engine.history()}  # type: ignore[union-attr]
    assert rows["r2"] is RunStatus.CANCELLED
    for n in range(COUNT):
        check_log(tmp_path / "s", f"r{n}")


SCRIPT = """
import sys
import durable_wf as wf

def build():
    return 1

def add(build, review):
    return build + {number}

workflow = (
    wf.WorkflowBuilder("w")
    .add_task("build", build)
    .add_task("review", wf.approval("now?")).depends_on("build")
    .add_task("add", add).depends_on("build", "review")
    .build()
)
if __name__ == "__main__":
    engine = wf.WorkflowEngine(sys.argv[1], workers=1)
    handles = [engine.submit(workflow, run_id=f"r{{n}}") for n in range(5)]
    for handle in handles:
        handle.result()
"""


def killed(folder: Path) -> Path:
    """A store with runs that wait, whose engine was killed."""
    store = folder / "s"
    with script(folder, SCRIPT.format(number=1), store) as process:
        wait_for(store.exists)

        def all_wait() -> bool:
            try:
                opened = open_store(store, readonly=True)
            except wf.DurableWorkflowError:
                return False
            try:
                rows = opened.log.rows()
                return len(rows) == COUNT and all(row.counts.waiting for row in rows)
            finally:
                opened.close()

        wait_for(all_wait, "all runs to wait")
        process.send_signal(signal.SIGKILL)
        finish(process)
    return store


def test_after_a_crash_they_are_taken_over_without_their_code_and_go_on_with_it(
    tmp_path: Path,
) -> None:
    """The script is loaded when one is to go on, for each alone: its call is where its code is."""
    store = killed(tmp_path)
    script_file = tmp_path / "script.py"
    counted = f"with open({str(tmp_path / 'loaded')!r}, 'a') as file:\n    file.write('x')\n"
    script_file.write_text(counted + script_file.read_text())
    with wf.WorkflowEngine(store, workers=1) as engine:
        results = engine.recover()
        assert [[one.task for one in result.waiting] for result in results] == [["review"]] * COUNT
        assert not (tmp_path / "loaded").exists()
        for n in range(COUNT):
            approve(store, f"r{n}", "fine")
        for n in range(COUNT):
            wait_for(lambda n=n: ended(store, f"r{n}"), f"r{n} to end")
    assert (tmp_path / "loaded").read_text() == "x" * COUNT
    for n in range(COUNT):
        with wf.WorkflowEngine(store) as engine:
            found = kinds(engine.history(f"r{n}"))  # type: ignore[arg-type]
        assert found.count("AttemptStarted") == 2, "nothing that had ended ran again"
        assert found[-1] == "RunSucceeded"
        check_log(store, f"r{n}")


def ended(store: Path, run_id: str) -> bool:
    opened = open_store(store, readonly=True)
    try:
        row = opened.log.row(run_id)
        return row is not None and row.ended_at is not None
    finally:
        opened.close()


def test_one_whose_code_has_changed_keeps_its_answer_and_is_left_to_who_accepts_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = killed(tmp_path)
    (tmp_path / "script.py").write_text(SCRIPT.format(number=5))
    with wf.WorkflowEngine(store, workers=1) as engine:
        engine.recover()
        approve(store, "r1", "fine")
        wait_for(lambda: "run r1 cannot go on" in caplog.text)
        wait_for(lambda: kinds(engine.history("r1"))[-1] == "RunReleased")  # type: ignore[arg-type]
        with pytest.raises(wf.CodeChanged):
            engine.resume("r1")
        result = engine.resume("r1", accept_changes=True)
        assert result["add"] == 6
        assert result["review"]["comment"] == "fine"
    with wf.WorkflowEngine(store, workers=1) as engine:
        engine.recover(accept_changes=True)
        approve(store, "r2", "fine")
        wait_for(lambda: ended(store, "r2"))
        assert "CodeAccepted" in kinds(engine.history("r2"))  # type: ignore[arg-type]
    check_log(store, "r1")
    check_log(store, "r2")


def test_an_engine_that_is_closed_lets_go_of_runs_at_rest(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handles = [engine.submit(asking(n), run_id=f"r{n}") for n in range(COUNT)]
        for handle in handles:
            wait_for(handle.waiting)
    for n, handle in enumerate(handles):
        with pytest.raises(wf.DurableWorkflowError, match="let go unfinished"):
            handle.result(DEADLINE_S)
        with wf.WorkflowEngine(tmp_path / "s") as engine:
            assert kinds(engine.history(f"r{n}"))[-1] == "RunReleased"  # type: ignore[arg-type]
        check_log(tmp_path / "s", f"r{n}")
