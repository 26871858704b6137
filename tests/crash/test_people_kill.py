"""An engine killed at every step of a run that waits for people, signals and time: each question is
asked until it is answered, and each answer counts once, whoever was there to hear it.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.core.awaited import Awaited
from durable_wf.engine.people import People
from tests.crash.dying import Ending, check_log, dying_at, history, in_child
from tests.faults import scale

RUN = "r"
STEPS = ["before an append", "after an append", "after the commit was acted on"]


def reviewed() -> wf.Workflow:
    def publish(review: dict[str, object], paid: int) -> list[object]:
        return [review["approved"], paid]

    return (
        wf.WorkflowBuilder("reviewed")
        .add_task("build", lambda: 1)
        .add_task("review", wf.approval("publish?")).depends_on("build")
        .add_task("rest", wf.sleep(0.01)).after("review")
        .add_task("paid", wf.wait_for_signal("payment")).after("rest")
        .add_task("publish", publish).depends_on("review", "paid")
        .build()
    )  # fmt: skip


def answer(people: People, one: Awaited) -> None:
    """What is asked for is given."""
    if one.what == "approval":
        people.approve(RUN, one.task, "fine")
    elif one.what == "signal":
        people.signal(RUN, one.signal, 7)


def go_on(store: Path) -> None:
    """Run it, answering whatever it waits for, until it ends."""
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        while (result := engine.run(reviewed(), run_id=RUN)).waiting:
            for one in result.waiting:
                answer(engine, one)
    assert result["publish"] == [True, 7]


def die(store: Path, point: str, number: int) -> Ending:
    """The same in a child that dies at the `number`-th time it meets `point`."""

    def action() -> None:
        with dying_at(point, number):
            go_on(store)

    return in_child(action)


def counted(store: Path) -> dict[str, int]:
    """How often each kind of event stands in the history."""
    found = history(store, RUN)
    kinds = [type(recorded.event).__name__ for recorded in (found[1] if found else [])]
    return {kind: kinds.count(kind) for kind in kinds}


def answer_meanwhile(store: Path) -> bool:
    """With no engine alive; whether there was something to be answered."""
    if history(store, RUN) is None:
        return False
    engine = wf.WorkflowEngine(store)
    asked = [one for one in engine.waiting(RUN) if one.is_asked]
    for one in asked:
        answer(engine, one)
    return bool(asked)


@pytest.mark.parametrize("meanwhile", [False, True])
@pytest.mark.parametrize("point", STEPS)
def test_killed_at_each_step_it_goes_on_and_each_answer_counts_once(
    point: str, meanwhile: bool, tmp_path: Path
) -> None:
    deaths = answered = 0
    for number in count(1):
        store = tmp_path / f"{number}"
        ending = die(store, point, number)
        if ending.killed:
            deaths += 1
            if meanwhile:
                answered += answer_meanwhile(store)
            go_on(store)
        check_log(store, RUN)
        found = counted(store)
        assert found["OperatorDecided"] == found["SignalReceived"] == 1
        assert found["TaskWaiting"] == found["TaskCompleted"] == 3
        assert found["RunSucceeded"] == 1
        if not ending.killed:
            break
    scale.say(f"a run that waits, killed {point}: {deaths} deaths, {answered} answered meanwhile")
    assert deaths >= 6
    assert bool(answered) is meanwhile
