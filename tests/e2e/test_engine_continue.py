"""Continuing a run: in another order of tasks, with other tuning, after a wait was given up."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.core.status import RunStatus
from durable_wf.execute.port import Assignment
from durable_wf.execute.sequential import SequentialExecutor

DEADLINE_S = 30.0


def wait_for(look: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)


@contextmanager
def paused(store: Path, workflow: wf.Workflow, started: Path, go: Path) -> Iterator[wf.RunHandle]:
    """A run `r` whose first task has ended and which is paused before the others."""
    with wf.WorkflowEngine(store, workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        wait_for(started.exists)
        engine.pause("r")
        go.touch()
        assert handle.result(DEADLINE_S).status is RunStatus.PAUSED
        yield handle


def letters(names: str, started: Path, go: Path, priority: int = 0) -> wf.Workflow:
    """A task that waits to be let go, then one for each letter, which returns it doubled."""

    def first() -> None:
        started.touch()
        wait_for(go.exists)

    def a() -> str:
        return "aa"

    def b() -> str:
        return "bb"

    def c() -> str:
        return "cc"

    functions = {"a": a, "b": b, "c": c}
    builder = wf.WorkflowBuilder("letters")
    builder.add_task("first", first)
    for name in names:
        builder.add_task(name, functions[name]).after("first").priority(priority)
    return builder.build()


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
def test_tasks_added_in_another_order_keep_their_own_functions(names: str, tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    with paused(tmp_path / "s", letters("abc", started, go), started, go):
        pass
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        result = engine.run(letters(names, started, go), run_id="r")

    assert {name: result[name] for name in "abc"} == {"a": "aa", "b": "bb", "c": "cc"}


def test_other_tuning_is_no_other_definition(tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    with paused(tmp_path / "s", letters("abc", started, go), started, go):
        pass
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        result = engine.run(letters("abc", started, go, priority=9), run_id="r")

    assert result.status is RunStatus.SUCCEEDED


def test_resume_with_a_workflow_of_another_structure_is_refused(tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    with paused(tmp_path / "s", letters("abc", started, go), started, go):
        pass
    with (
        wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine,
        pytest.raises(wf.RunConflict, match="'c' is gone"),
    ):
        engine.resume("r", workflow=letters("ab", started, go))


def test_running_a_paused_run_of_this_engine_continues_it(tmp_path: Path) -> None:
    started, go = tmp_path / "started", tmp_path / "go"
    workflow = letters("abc", started, go)
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        wait_for(started.exists)
        engine.pause("r")
        go.touch()
        assert handle.result(DEADLINE_S).status is RunStatus.PAUSED
        assert engine.run(workflow, run_id="r")["c"] == "cc"


def test_a_run_that_was_submitted_is_in_the_log_at_once(tmp_path: Path) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        rows = engine.history()
        assert [row.run_id for row in rows] == ["r"]
        assert handle.result(DEADLINE_S)["one"] == 1


def test_two_submissions_of_one_run_id_share_the_run(tmp_path: Path) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("one", lambda: 1).build()
    found: list[wf.RunHandle] = []
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        threads = [
            threading.Thread(target=lambda: found.append(engine.submit(workflow, run_id="r")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        assert [handle.result(DEADLINE_S)["one"] for handle in found] == [1] * 4
        assert len(engine.history()) == 1


def test_who_gives_up_waiting_can_wait_again(tmp_path: Path) -> None:
    go = tmp_path / "go"

    def first() -> int:
        wait_for(go.exists)
        return 1

    workflow = wf.WorkflowBuilder("w").add_task("first", first).build()

    async def main(engine: wf.WorkflowEngine) -> int:
        handle = engine.submit(workflow)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(handle, 0.05)
        go.touch()
        value: int = (await asyncio.wait_for(handle, DEADLINE_S))["first"]
        return value

    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        assert asyncio.run(main(engine)) == 1


def test_a_worker_is_given_attempts_in_the_order_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker's begun mark is the highest seq it began, whatever runs the attempts belong to."""
    seen: list[int] = []
    start = SequentialExecutor.start

    def noting(executor: SequentialExecutor, assignments: Sequence[Assignment]) -> None:
        seen.extend(a.seq for a in assignments)
        start(executor, assignments)

    monkeypatch.setattr(SequentialExecutor, "start", noting)

    def build(name: str, priority: int) -> wf.Workflow:
        builder = wf.WorkflowBuilder(name)
        for k in range(200):
            builder.add_task(f"t{k}", lambda: None).priority(priority * (k % 3))
        return builder.build()

    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        handles = [engine.submit(build("one", 1)), engine.submit(build("two", -1))]
        for handle in handles:
            handle.result(DEADLINE_S)

    assert len(seen) >= 400
    assert seen == sorted(seen)


def test_a_script_with_a_module_beside_it_is_resumed_from_elsewhere(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tasksmod.py").write_text(
        "import os, time\n"
        "def first():\n"
        "    open('started', 'w').close()\n"
        "    while not os.path.exists('go'):\n"
        "        time.sleep(0.01)\n"
        "    return 20\n"
        "def second(first):\n"
        "    return first + 1\n"
    )
    (project / "run.py").write_text(
        "import durable_wf as wf, tasksmod\n"
        "w = (wf.WorkflowBuilder('w').add_task('first', tasksmod.first)\n"
        "     .add_task('second', tasksmod.second).depends_on('first').build())\n"
        f"wf.WorkflowEngine({str(tmp_path / 's')!r}, workers=1).run(w, run_id='r')\n"
    )
    process = subprocess.Popen([sys.executable, "run.py"], cwd=project)
    try:
        wait_for((project / "started").exists)
    finally:
        process.kill()
        process.wait(DEADLINE_S)
    (project / "go").touch()
    resumed = subprocess.run(
        [sys.executable, "-m", "durable_wf", "--store", str(tmp_path / "s"), "resume", "r"],
        cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip

    assert resumed.returncode == 0, resumed.stderr
    with wf.WorkflowEngine(tmp_path / "s") as engine:
        assert engine.history()[0].status is RunStatus.SUCCEEDED
