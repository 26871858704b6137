"""An engine killed at every point of a run, and again while it recovers, loses and repeats nothing.

What must hold after each death: every mark that a task left was announced before, no task starts
after its recorded success, the log verifies; and in the end the run has the result of a calm one.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import durable_wf as wf
from tests.crash.dying import POINTS, Ending, check_log, check_marks, dying_at, in_child, mark
from tests.faults import scale

RUN = "r"


def diamond(marks: str) -> wf.Workflow:
    """Four tasks, two of them side by side."""

    def source() -> list[int]:
        mark(marks, "begin")
        return [1, 2, 3]

    def left(source: list[int]) -> int:
        mark(marks, "begin")
        return sum(source)

    def right(source: list[int]) -> int:
        mark(marks, "begin")
        return len(source)

    def both(left: int, right: int) -> int:
        mark(marks, "begin")
        return left * right

    return (
        wf.WorkflowBuilder("diamond")
        .add_task("source", source)
        .add_task("left", left)
        .depends_on("source")
        .add_task("right", right)
        .depends_on("source")
        .add_task("both", both)
        .depends_on("left", "right")
        .build()
    )


def run(store: Path, marks: Path) -> None:
    """Run the diamond, or go on with it; its result is checked in the process that has it."""
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        result = engine.run(diamond(str(marks)), run_id=RUN)
    assert result["both"] == 18


def run_dying(store: Path, marks: Path, point: str, number: int) -> Ending:
    """The same in a child that dies at the `number`-th time it meets `point`."""

    def action() -> None:
        with dying_at(point, number):
            run(store, marks)

    return in_child(action)


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_each_time_a_point_is_met_the_next_engine_finishes(
    point: str, tmp_path: Path
) -> None:
    deaths = 0
    for number in count(1):
        store, marks = tmp_path / f"{number}", tmp_path / f"{number}.marks"
        if "claim" in point or "judged" in point:  # these are met only by an engine that resumes
            assert run_dying(store, marks, "after attempts were handed over", number).killed
        ending = run_dying(store, marks, point, 1 if "claim" in point else number)
        check_marks(store, RUN, marks)
        if ending.killed:
            deaths += 1
            run(store, marks)
        check_log(store, RUN)
        assert check_marks(store, RUN, marks) >= 4
        if not ending.killed or (number == 3 and "claim" in point):
            break
    scale.say(f"engine killed {point}: {deaths} deaths, all finished by the next one")
    assert deaths >= 1


def test_killed_again_while_it_recovers_the_third_engine_finishes(tmp_path: Path) -> None:
    deaths = 0
    for first in range(1, 7):
        for point in POINTS:
            store = tmp_path / f"{first}-{point}"
            marks = tmp_path / f"{first}-{point}.marks"
            assert run_dying(store, marks, "after an append", first).killed
            check_marks(store, RUN, marks)
            deaths += run_dying(store, marks, point, 1).killed
            check_marks(store, RUN, marks)
            run(store, marks)
            check_log(store, RUN)
            check_marks(store, RUN, marks)

    scale.say(f"engine killed, and killed again in recovery: {deaths} second deaths")
    assert deaths >= 30


def test_an_engine_that_nobody_kills_runs_each_task_once(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    run(tmp_path / "store", marks)

    assert sorted(marks.read_text().splitlines()) == [
        "begin both 1", "begin left 1", "begin right 1", "begin source 1",
    ]  # fmt: skip


def test_the_judgement_notices_an_attempt_that_was_not_announced(tmp_path: Path) -> None:
    """The positive control of `check_marks`."""
    store, marks = tmp_path / "store", tmp_path / "marks"
    run(store, marks)
    with marks.open("a") as file:
        file.write("begin left 2\n")

    with pytest.raises(AssertionError, match="never announced"):
        check_marks(store, RUN, marks)
