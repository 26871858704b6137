"""An engine killed at every point of a run that takes back what it did, and again in recovery.

What must hold after each death, by the tasks' own marks: nothing is taken back before the last of
the run's own tasks has ended; each task is taken back at least once, the last completed first, and
never again after the one before it has begun; in the end the run has failed as it would have.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.core.status import RunStatus, TaskStatus
from tests.crash.dying import POINTS, Ending, check_log, check_marks, dying_at, in_child, mark
from tests.faults import scale

RUN = "r"
TAKEN_BACK = ["c~undo", "b~undo", "a~undo"]


def saga(marks: str) -> wf.Workflow:
    """Three tasks that can be taken back, one after the other, and one that fails."""

    def does() -> str:
        mark(marks, "begin")
        return "done"

    def undo(result: str) -> None:
        assert result == "done"
        mark(marks, "begin")

    def fails() -> None:
        mark(marks, "begin")
        raise ValueError("no")

    builder = wf.WorkflowBuilder("saga")
    for name, before in (("a", []), ("b", ["a"]), ("c", ["b"])):
        builder.add_task(name, does, compensate=undo).after(*before)
    return builder.add_task("d", fails).after("c").build()


def run(store: Path, marks: Path) -> None:
    """Run the saga, or go on with it; its result is checked in the process that has it."""
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        result = engine.run(saga(str(marks)), run_id=RUN, check=False)
    assert result.status is RunStatus.FAILED
    assert result.row.cause == "task 'd' failed: ValueError: no"
    assert result.compensations() == dict.fromkeys("cba", TaskStatus.SUCCEEDED)


def run_dying(store: Path, marks: Path, point: str, number: int) -> Ending:
    def action() -> None:
        with dying_at(point, number):
            run(store, marks)

    return in_child(action)


def check_order(marks: Path, *, whole: bool) -> int:
    """What the marks say: first the run's own tasks, then what takes them back, in its order.
    Returns how many attempts to take back began.
    """
    lines = marks.read_text().splitlines() if marks.exists() else []
    tasks = [line.split()[1] for line in lines]
    undone = [task for task in tasks if task.endswith("~undo")]
    assert tasks[len(tasks) - len(undone) :] == undone, f"taken back too early: {tasks}"
    order = [TAKEN_BACK.index(task) for task in undone]
    assert order == sorted(order), f"taken back in another order: {undone}"
    if whole:
        assert set(undone) == set(TAKEN_BACK), f"not taken back: {undone}"
    return len(undone)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_time_a_point_is_met_the_next_engine_takes_the_rest_back(
    point: str, tmp_path: Path
) -> None:
    deaths = while_undoing = 0
    in_recovery = "claim" in point or "judged" in point  # met only by an engine that resumes
    for number in count(1):
        store, marks = tmp_path / f"{number}", tmp_path / f"{number}.marks"
        if in_recovery:
            before = run_dying(store, marks, "after attempts were handed over", number)
            if not before.killed:
                break
        ending = run_dying(store, marks, point, 1 if in_recovery else number)
        check_marks(store, RUN, marks)
        while_undoing += bool(check_order(marks, whole=False))
        if not ending.killed:
            break
        deaths += 1
        run(store, marks)
        check_log(store, RUN)
        check_marks(store, RUN, marks)
        check_order(marks, whole=True)
    scale.say(f"engine killed {point}: {deaths} deaths, {while_undoing} of them while undoing")
    assert deaths >= 5
    assert while_undoing >= 2


def test_killed_again_while_it_recovers_the_third_engine_takes_the_rest_back(
    tmp_path: Path,
) -> None:
    deaths = 0
    for first in range(5, 8):  # the appends in which it drains and takes back
        for point in POINTS:
            store, marks = tmp_path / f"{first}-{point}", tmp_path / f"{first}-{point}.marks"
            assert run_dying(store, marks, "after an append", first).killed
            check_order(marks, whole=False)
            deaths += run_dying(store, marks, point, 1).killed
            check_order(marks, whole=False)
            run(store, marks)
            check_log(store, RUN)
            check_marks(store, RUN, marks)
            check_order(marks, whole=True)

    scale.say(f"engine killed while undoing, and killed again in recovery: {deaths} second deaths")
    assert deaths >= 20


def test_an_engine_that_nobody_kills_takes_each_task_back_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    run(tmp_path / "store", marks)

    lines = [line.split()[1] for line in marks.read_text().splitlines()]
    assert lines == ["a", "b", "c", "d", *TAKEN_BACK]


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("a b c~undo d", "too early"),
        ("a b c d b~undo c~undo", "another order"),
        ("a b c d c~undo b~undo", "not taken back"),
    ],
)
def test_the_judgement_notices_what_is_wrong(tasks: str, words: str, tmp_path: Path) -> None:
    """The positive control of `check_order`."""
    marks = tmp_path / "marks"
    marks.write_text("".join(f"begin {task} 1\n" for task in tasks.split()))

    with pytest.raises(AssertionError, match=words):
        check_order(marks, whole=True)
