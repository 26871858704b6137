"""An engine killed at every point of a retry, and of the resume of that retry.

What must hold after each death: there is at most one retry, what it took over never ran again, by
the tasks' own marks, and whoever asks by the run's id next brings it to its end.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.core.status import RunStatus
from tests.crash.dying import POINTS, Ending, check_log, check_marks, dying_at, in_child, mark
from tests.faults import scale

RUN, RETRY = "r", "r.2"


def flow(marks: str) -> wf.Workflow:
    """Two tasks that succeed at once, then one that fails until it is repaired, and one more."""

    def does() -> str:
        mark(marks, "begin")
        return "done" * 1_000

    def fails(b: str) -> int:
        mark(marks, "begin")
        if Path(f"{marks}.broken").exists():
            raise ValueError("no")
        return len(b)

    return (
        wf.WorkflowBuilder("flow")
        .add_task("a", does)
        .add_task("b", does).after("a")
        .add_task("c", fails).depends_on("b")
        .add_task("d", does).after("c")
        .build()
    )  # fmt: skip


@pytest.fixture(scope="module")
def failed(tmp_path_factory) -> Path:
    """A store with a run that failed in `c`."""
    folder = tmp_path_factory.mktemp("failed")
    marks = folder / "marks"
    Path(f"{marks}.broken").touch()
    with wf.WorkflowEngine(folder / "store", executor_type="sequential") as engine:
        result = engine.run(flow(str(marks)), run_id=RUN, check=False)
    assert result.status is RunStatus.FAILED
    return folder / "store"


def run(store: Path, marks: Path) -> None:
    """Retry the run, or go on with its retry; the result is checked in the process that has it."""
    workflow = flow(str(marks))
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        result = engine.run(workflow, run_id=RUN, accept_changes=True, check=False)
        if result.run_id == RUN:
            result = engine.retry(RUN, workflow=workflow, accept_changes=True)
    assert (result.run_id, result.status) == (RETRY, RunStatus.SUCCEEDED)
    assert (result["c"], result["a"]) == (4_000, "done" * 1_000)


def run_dying(store: Path, marks: Path, point: str, number: int) -> Ending:
    def action() -> None:
        with dying_at(point, number):
            run(store, marks)

    return in_child(action)


def check_tasks(tasks: list[str]) -> list[str]:
    """What ran, in order: nothing that was taken over, and `c` not after its success."""
    assert set(tasks) <= {"c", "d"}, f"taken over, and run again: {tasks}"
    assert tasks == sorted(tasks), f"run again after its success: {tasks}"
    return tasks


def check_all(store: Path, marks: Path) -> list[str]:
    """Marks and log agree, what was taken over did not run, and there is one retry at most."""
    check_marks(store, RETRY, marks)
    lines = marks.read_text().splitlines() if marks.exists() else []
    tasks = check_tasks([line.split()[1] for line in lines])
    with wf.WorkflowEngine(store) as engine:
        runs = [row.run_id for row in engine.history()]
    assert runs in ([RETRY, RUN], [RUN])
    return tasks


def copies(failed: Path, folder: Path) -> Iterator[tuple[int, Path, Path]]:
    """A fresh copy of the store, and where the marks of its tasks go, for each number."""
    for number in count(1):
        store = folder / f"{number}"
        shutil.copytree(failed, store)
        yield number, store, folder / f"{number}.marks"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_time_a_point_is_met_the_next_one_ends_the_retry(
    point: str, failed: Path, tmp_path: Path
) -> None:
    deaths = 0
    in_recovery = "claim" in point or "judged" in point  # met only by an engine that resumes
    for number, store, marks in copies(failed, tmp_path):
        if in_recovery:
            before = run_dying(store, marks, "after attempts were handed over", number)
            if not before.killed:
                break
        ending = run_dying(store, marks, point, 1 if in_recovery else number)
        check_all(store, marks)
        if not ending.killed:
            break
        deaths += 1
        run(store, marks)
        check_log(store, RETRY)
        check_log(store, RUN)
        assert check_all(store, marks)[-1] == "d"
    scale.say(f"engine of a retry killed {point}: {deaths} deaths")
    assert deaths >= 2


def test_nobody_kills_it_and_each_task_runs_once(failed: Path, tmp_path: Path) -> None:
    shutil.copytree(failed, tmp_path / "store")
    run(tmp_path / "store", tmp_path / "marks")
    assert check_all(tmp_path / "store", tmp_path / "marks") == ["c", "d"]


@pytest.mark.parametrize(("tasks", "words"), [("acd", "taken over"), ("cdc", "after its success")])
def test_the_judgement_notices_what_is_wrong(tasks: str, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_tasks([*tasks])
