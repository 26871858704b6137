"""One engine and many threads; an engine that is closed, used after it, or inherited by a fork."""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from engine_rig import DEADLINE_S, Gate, gated, kinds, wait_for

import durable_wf as wf
from durable_wf.core.status import RunStatus
from durable_wf.engine.progress import Progress
from durable_wf.store.locks import is_held
from durable_wf.store.opening import open_store
from durable_wf.store.verify import verify


def adds(k: int) -> wf.Workflow:
    return (
        wf.WorkflowBuilder(f"adds{k}")
        .add_task("a", lambda x: x, parameters={"x": k})
        .add_task("b", lambda a: a + 1)
        .depends_on("a")
        .build()
    )


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_threads_that_run_at_once_on_a_fresh_engine_share_one_session(
    executor: str, tmp_path: Path
) -> None:
    """Ten threads begin together, before the engine has opened its store."""
    together = threading.Barrier(10)

    def run(k: int) -> int:
        together.wait(DEADLINE_S)
        value: int = engine.run(adds(k), run_id=f"r{k}")["b"]
        return value

    with (
        wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=2) as engine,
        ThreadPoolExecutor(10) as pool,
    ):
        values = [future.result(DEADLINE_S) for future in [pool.submit(run, k) for k in range(10)]]

    assert values == [k + 1 for k in range(10)]
    engines = {path.name for path in (tmp_path / "s" / "locks").glob("e-*")}
    assert len(engines) <= 1


def test_threads_may_submit_and_run_side_by_side(tmp_path: Path) -> None:
    def submit(k: int) -> int:
        value: int = engine.submit(adds(k)).result(DEADLINE_S)["b"]
        return value

    def run(k: int) -> int:
        value: int = engine.run(adds(k))["b"]
        return value

    with (
        wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine,
        ThreadPoolExecutor(8) as pool,
    ):
        futures = [pool.submit(submit if k % 2 else run, k) for k in range(40)]
        values = [future.result(DEADLINE_S) for future in futures]

    assert values == [k + 1 for k in range(40)]


@pytest.mark.parametrize("way", ["run", "submit"])
def test_closing_ends_the_waits_of_other_threads(way: str, tmp_path: Path) -> None:
    """The attempt that runs may finish; what comes after it is left to another engine."""
    gate = Gate(tmp_path / "gate")
    engine = wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=DEADLINE_S)

    def wait() -> wf.RunResult:
        if way == "run":
            return engine.run(gated(gate), run_id="r")
        return engine.submit(gated(gate), run_id="r").result(DEADLINE_S)

    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(wait)
        gate.wait_for_one()
        session = engine._sessions.current
        assert session is not None
        closing = pool.submit(engine.close)
        wait_for(session.driver._stopping.is_set, "the closing to begin")
        gate.open()
        with pytest.raises(wf.DurableWorkflowError, match="let go unfinished"):
            waiting.result(DEADLINE_S)
        closing.result(DEADLINE_S)

    with wf.WorkflowEngine(tmp_path / "s", workers=1) as other:
        result = other.run(gated(gate), run_id="r")
    assert result["second"] == 2
    assert kinds(result).count("AttemptStarted") == 2


@pytest.mark.parametrize(
    "use",
    [
        lambda engine: engine.run(adds(1)),
        lambda engine: engine.submit(adds(1)),
        lambda engine: engine.resume("r0"),
        lambda engine: engine.recover(),
    ],
)
def test_a_closed_engine_says_so(
    use: Callable[[wf.WorkflowEngine], object], tmp_path: Path
) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(adds(0), run_id="r0")
    engine.close()

    with pytest.raises(wf.CallerError, match="closed") as caught:
        use(engine)

    assert "WorkflowEngine" in str(caught.value)
    assert len(engine.history()) == 1, "reading needs no engine"


def test_an_engine_never_used_closes_without_making_a_store(tmp_path: Path) -> None:
    wf.WorkflowEngine(tmp_path / "s").close()

    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_after_closing_nothing_holds_a_lock_and_no_workers_files_are_left(
    executor: str, tmp_path: Path
) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=2) as engine:
        engine.run(adds(0))
        held = [name for name in os.listdir(tmp_path / "s" / "locks") if name.startswith("e-")]
        assert [is_held(tmp_path / "s" / "locks", name) for name in held] == [True], "the control"

    locks = tmp_path / "s" / "locks"
    assert not any(is_held(locks, name) for name in os.listdir(locks))
    assert not [name for name in os.listdir(locks) if name.startswith("w-")]


def test_engines_leave_no_open_files_behind(tmp_path: Path) -> None:
    def live() -> int:
        for executor in ("sequential", "parallel"):
            with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
                engine.run(adds(0))
        return len(os.listdir("/proc/self/fd"))

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs Linux")
    live()  # the fork server stays, once
    before = live()

    assert live() <= before


def test_a_progress_callback_may_cancel_its_run(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    def give_up(progress: Progress) -> None:
        if progress.running:
            engine.cancel("r", "seen enough")

    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(gated(gate), run_id="r", on_progress=give_up)
        result = handle.result(DEADLINE_S)

    assert result.status is RunStatus.CANCELLED
    assert result.row.cause == "seen enough"


def test_a_sequential_task_that_runs_its_own_engine_is_told_instead_of_waiting_for_ever(
    tmp_path: Path,
) -> None:
    def nested() -> str:
        try:
            engine.run(adds(1))
        except wf.CallerError as error:
            return str(error)
        return "it ran"

    workflow = wf.WorkflowBuilder("outer").add_task("nested", nested).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        told = engine.run(workflow)["nested"]

    assert "another WorkflowEngine" in told


def test_a_sequential_task_may_use_another_engine(tmp_path: Path) -> None:
    def nested() -> int:
        with wf.WorkflowEngine(tmp_path / "inner", executor_type="sequential") as inner:
            value: int = inner.run(adds(1))["b"]
            return value

    workflow = wf.WorkflowBuilder("outer").add_task("nested", nested).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        assert engine.run(workflow)["nested"] == 2


def test_a_sequential_task_that_waits_for_a_run_of_its_own_engine_is_told_instead(
    tmp_path: Path,
) -> None:
    """It stands inside the turn that would have to end first."""
    handles: list[wf.RunHandle] = []

    def impatient() -> str:
        try:
            handles[0].result(DEADLINE_S)
        except wf.CallerError as error:
            return str(error)
        return "waited"

    workflow = wf.WorkflowBuilder("w").add_task("impatient", impatient).build()
    asking = wf.WorkflowBuilder("asking").add_task("ask", wf.approval("ok?")).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handles.append(engine.submit(asking, run_id="asks"))
        said = engine.run(workflow)["impatient"]
        assert "cannot wait for the engine it runs in" in said


# --- forks ----------------------------------------------------------------------------------------


def in_fork(action: Callable[[], None], *, through_exit: bool = False) -> int:
    """Do `action` in a forked child; its exit code. `through_exit`: with what runs at exit."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        if through_exit and not code:
            import atexit

            atexit._run_exitfuncs()
        os._exit(code)
    ended: list[int] = []

    def look() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            ended.append(os.waitstatus_to_exitcode(status))
        return bool(done)

    wait_for(look, "the child to end")
    return ended[0]


def test_a_fork_of_the_process_neither_holds_nor_ends_its_parents_engine(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    locks = tmp_path / "s" / "locks"
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(gated(gate), run_id="r")
        gate.wait_for_one()
        before = kinds(engine.history("r"))  # type: ignore[arg-type]

        assert in_fork(engine.close, through_exit=True) == 0
        assert in_fork(lambda: None, through_exit=True) == 0

        assert kinds(engine.history("r")) == before  # type: ignore[arg-type]
        gate.open()
        assert handle.result(DEADLINE_S)["second"] == 2
        assert kinds(handle.result(0)).count("AttemptStarted") == 2
    assert not any(is_held(locks, name) for name in os.listdir(locks))
    store = open_store(tmp_path / "s", readonly=True)
    assert verify(store).sound
    store.close()


def test_a_fork_that_asks_for_the_outcome_of_its_parents_run_is_told_where_to_ask(
    tmp_path: Path,
) -> None:
    """It must not drive an engine that is its parent's."""
    gate = Gate(tmp_path / "gate")
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(gated(gate), run_id="r")
        gate.wait_for_one()

        def child() -> None:
            with pytest.raises(wf.CallerError, match="forked"):
                handle.result(DEADLINE_S)

        assert in_fork(child) == 0
        gate.open()
        assert handle.result(DEADLINE_S)["second"] == 2
    store = open_store(tmp_path / "s", readonly=True)
    try:
        assert verify(store, "r").sound
    finally:
        store.close()


def test_a_child_that_lives_on_keeps_no_lock_of_its_parents_engine(tmp_path: Path) -> None:
    child_may_end = tmp_path / "end"
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        engine.run(adds(0), run_id="r")
        pid = os.fork()
        if pid == 0:
            try:
                wait_for(child_may_end.exists)
            finally:
                os._exit(0)
    locks = tmp_path / "s" / "locks"
    try:
        assert not any(is_held(locks, name) for name in os.listdir(locks))
        with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as other:
            assert other.run(adds(5))["b"] == 6
    finally:
        child_may_end.touch()
        os.waitpid(pid, 0)


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_forked_child_may_use_the_engine_object_with_a_session_of_its_own(
    executor: str, tmp_path: Path
) -> None:
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        engine.run(adds(0), run_id="parent", executor_type=executor)

        def child() -> None:
            assert engine.run(adds(1), run_id="child", executor_type=executor)["b"] == 2
            engine.close()

        assert in_fork(child) == 0
        assert engine.run(adds(2), run_id="again", executor_type=executor)["b"] == 3
        assert [row.run_id for row in engine.history()] == ["again", "child", "parent"]  # type: ignore[union-attr]
    store = open_store(tmp_path / "s", readonly=True)
    assert verify(store).sound
    store.close()
