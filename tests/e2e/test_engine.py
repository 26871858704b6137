"""The engine from the outside: what `run`, `submit`, `resume`, `pause` and `cancel` promise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_rig import DEADLINE_S, Gate, gated, kinds

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.store.opening import open_store
from durable_wf.store.verify import verify


def extract(source: str) -> list[int]:
    return [len(source), 2, 3]


def double(rows: list[int]) -> list[int]:
    return [2 * row for row in rows]


def add_up(double: list[int]) -> int:
    return sum(double)


def boom() -> None:
    raise ValueError("no such table")


def chain() -> wf.Workflow:
    return (
        wf.WorkflowBuilder("chain")
        .add_task("extract", extract, parameters={"source": "database"})
        .add_task("double", double)
        .depends_on("extract")
        .add_task("add_up", add_up)
        .depends_on("double")
        .build()
    )


@pytest.fixture(params=["sequential", "parallel"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[wf.WorkflowEngine]:
    with wf.WorkflowEngine(tmp_path / "store", executor_type=request.param, workers=2) as made:
        yield made


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[wf.WorkflowEngine]:
    """An engine for what does not depend on the executor."""
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as made:
        yield made


def test_a_chain_hands_each_result_to_the_next_task(engine: wf.WorkflowEngine) -> None:
    result = engine.run(chain())

    assert result.status is RunStatus.SUCCEEDED
    assert result["add_up"] == 2 * (8 + 2 + 3)
    assert result.values() == {"extract": [8, 2, 3], "double": [16, 4, 6], "add_up": 26}


def test_a_plain_success_costs_two_events_a_task(quick: wf.WorkflowEngine) -> None:
    result = quick.run(chain())

    assert kinds(result) == [
        "RunCreated", "RunClaimed", "RunStarted",
        *["AttemptStarted", "AttemptSucceeded"] * 3,
        "RunSucceeded",
    ]  # fmt: skip


def test_the_log_of_a_run_verifies(engine: wf.WorkflowEngine, tmp_path: Path) -> None:
    result = engine.run(chain())
    engine.close()

    store = open_store(tmp_path / "store", readonly=True)
    try:
        verdict = verify(store, result.run_id)
    finally:
        store.close()

    assert verdict.sound


def test_a_failed_task_fails_the_run_and_skips_what_never_started(
    engine: wf.WorkflowEngine,
) -> None:
    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("bad", boom)
        .add_task("never", lambda bad: bad)
        .depends_on("bad")
        .build()
    )

    with pytest.raises(wf.RunFailed, match="no such table") as caught:
        engine.run(workflow)

    result = caught.value.result
    assert result.status is RunStatus.FAILED
    assert result.row.counts.skipped == 1
    fault = result.failures()["bad"]
    assert fault.exception == "ValueError"
    assert "boom" in fault.traceback


def test_without_check_a_failed_run_is_returned(quick: wf.WorkflowEngine) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("bad", boom).build()

    assert quick.run(workflow, check=False).status is RunStatus.FAILED


def test_a_failed_optional_task_leaves_a_missing_in_its_place(engine: wf.WorkflowEngine) -> None:
    def describe(shaky: object) -> tuple[bool, str]:
        return bool(shaky), getattr(shaky, "message", "")

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("shaky", boom)
        .optional()
        .add_task("describe", describe)
        .depends_on("shaky")
        .build()
    )

    result = engine.run(workflow)

    assert result.status is RunStatus.SUCCEEDED
    assert result["describe"] == (False, "no such table")
    assert isinstance(result["shaky"], wf.Missing)


def test_a_run_id_makes_running_again_give_the_recorded_outcome(
    quick: wf.WorkflowEngine, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"

    def once() -> str:
        with marks.open("a") as file:
            file.write("ran\n")
        return "done"

    workflow = wf.WorkflowBuilder("w").add_task("once", once).build()
    first = quick.run(workflow, run_id="daily")
    second = quick.run(workflow, run_id="daily")

    assert (first["once"], second["once"]) == ("done", "done")
    assert marks.read_text() == "ran\n"


def test_a_run_id_with_other_inputs_is_refused_and_shows_the_difference(
    quick: wf.WorkflowEngine,
) -> None:
    def build(source: str) -> wf.Workflow:
        builder = wf.WorkflowBuilder("w")
        return builder.add_task("extract", extract, parameters={"source": source}).build()

    quick.run(build("a"), run_id="same")

    with pytest.raises(wf.RunConflict, match='source was "a" and is "b"'):
        quick.run(build("b"), run_id="same")


def test_a_run_id_with_another_graph_is_refused(quick: wf.WorkflowEngine) -> None:
    quick.run(chain(), run_id="same")
    other = wf.WorkflowBuilder("chain").add_task("else", lambda: 1).build()

    with pytest.raises(wf.RunConflict, match="'extract' is gone"):
        quick.run(other, run_id="same")


@pytest.mark.parametrize("bad", [" ", "a/b", "..", "-x", "x" * 129, "a b"])
def test_a_run_id_that_could_not_stand_in_a_path_is_refused(
    quick: wf.WorkflowEngine, bad: str
) -> None:
    with pytest.raises(wf.CallerError, match="is not usable"):
        quick.run(chain(), run_id=bad)


def test_what_no_capacity_could_admit_is_refused_before_anything_is_written(
    quick: wf.WorkflowEngine, tmp_path: Path
) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("big", boom).resources(cpu=4096).build()

    with pytest.raises(wf.CallerError, match="'big' needs 4096 cpu"):
        quick.run(workflow)

    assert quick.history() == []


def test_limits_that_an_executor_cannot_enforce_are_refused(quick: wf.WorkflowEngine) -> None:
    workflow = wf.WorkflowBuilder("w").add_task("slow", boom).timeout("10s").build()

    with pytest.raises(wf.CallerError, match="use executor_type='parallel'"):
        quick.run(workflow)


def test_a_function_that_cannot_be_sent_is_named_before_anything_runs(tmp_path: Path) -> None:
    lock = threading.Lock()

    def holds_a_lock() -> bool:
        return lock.locked()

    workflow = wf.WorkflowBuilder("w").add_task("holder", holds_a_lock).build()

    with wf.WorkflowEngine(tmp_path / "s") as engine:
        with pytest.raises(wf.NotSendable, match="holder"):
            engine.run(workflow)
        assert engine.history() == []


def test_pausing_starts_nothing_more_until_resumed(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    workflow = gated(gate)
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        engine.pause("r", "lunch")
        gate.open()
        paused = handle.result(DEADLINE_S)
        resumed = engine.resume("r")

    assert paused.status is RunStatus.PAUSED
    assert (paused.row.counts.pending, paused.row.cause) == (1, "lunch")
    assert (resumed.status, resumed["second"]) == (RunStatus.SUCCEEDED, 2)


def test_cancelling_stops_what_runs_and_ends_the_run(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    def endless() -> None:
        gate.pass_through()

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("endless", endless)
        .add_task("after", lambda endless: endless)
        .depends_on("endless")
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow)
        gate.wait_for_one()
        handle.cancel("not needed any more")
        result = handle.result(DEADLINE_S)

    assert result.status is RunStatus.CANCELLED
    assert result.row.cause == "not needed any more"
    assert result.row.counts.cancelled == 2


def test_a_handle_can_be_awaited(engine: wf.WorkflowEngine) -> None:
    async def main() -> tuple[int, int]:
        one, two = engine.submit(chain()), engine.submit(chain())
        return (await one)["add_up"], (await two)["add_up"]

    assert asyncio.run(main()) == (26, 26)


def test_run_works_inside_a_running_event_loop(engine: wf.WorkflowEngine) -> None:
    async def cell() -> int:
        value: int = engine.run(chain())["add_up"]
        return value

    assert asyncio.run(cell()) == 26


def test_many_runs_share_one_engine(engine: wf.WorkflowEngine) -> None:
    handles = [engine.submit(chain()) for _ in range(20)]

    assert [handle.result(DEADLINE_S)["add_up"] for handle in handles] == [26] * 20
    assert len({handle.run_id for handle in handles}) == 20


def test_registered_workflows_run_by_name(quick: wf.WorkflowEngine) -> None:
    quick.register(chain())

    assert quick.run("chain")["add_up"] == 26
    with pytest.raises(wf.NotFound, match="did you mean 'chain'"):
        quick.run("chian")


def test_history_lists_runs_newest_first_and_events_in_order(quick: wf.WorkflowEngine) -> None:
    quick.run(chain(), run_id="one", tags=["nightly"], metadata={"ticket": "7"})
    quick.run(chain(), run_id="two")

    rows = quick.history(workflow="chain")
    events = quick.history("one")

    assert [row.run_id for row in rows] == ["two", "one"]
    assert [recorded.n for recorded in events] == list(range(1, len(events) + 1))
    created = events[0].event
    assert isinstance(created, e.RunCreated)
    assert (created.tags, created.metadata) == (("nightly",), (("ticket", "7"),))


def test_an_unknown_task_of_a_result_is_answered_with_the_nearest(
    quick: wf.WorkflowEngine,
) -> None:
    result = quick.run(chain())

    with pytest.raises(wf.NotFound, match="did you mean 'extract'"):
        result["extrakt"]


def test_closing_lets_go_of_unfinished_runs_which_another_engine_finishes(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    workflow = gated(gate)
    engine = wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=DEADLINE_S)
    handle = engine.submit(workflow, run_id="r")
    gate.wait_for_one()
    closing = threading.Thread(target=engine.close)
    closing.start()
    gate.open()
    closing.join(DEADLINE_S)

    with pytest.raises(wf.DurableWorkflowError, match="let go unfinished"):
        handle.result(DEADLINE_S)
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as other:
        result = other.run(workflow, run_id="r")
    assert result["second"] == 2
    assert kinds(result).count("AttemptStarted") == 2


def test_a_run_in_the_hands_of_a_living_engine_is_refused_to_others(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")
    workflow = gated(gate)
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        with wf.WorkflowEngine(tmp_path / "s", workers=1) as other:
            with pytest.raises(wf.OwnedElsewhere, match="alive"):
                other.run(workflow, run_id="r")
            assert other.recover() == []
        gate.open()
        assert handle.result(DEADLINE_S)["first"] == 1


def test_changed_code_of_an_unfinished_task_asks_before_it_goes_on(tmp_path: Path) -> None:
    gate = Gate(tmp_path / "gate")

    def first() -> int:
        gate.pass_through()
        return 1

    def build(step: Callable[[int], int]) -> wf.Workflow:
        return (
            wf.WorkflowBuilder("w")
            .add_task("first", first)
            .add_task("step", step)
            .depends_on("first")
            .build()
        )

    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(build(lambda x: x + 1), run_id="r")
        gate.wait_for_one()
        engine.pause("r")
        gate.open()
        assert handle.result(DEADLINE_S).status is RunStatus.PAUSED
    changed = build(lambda x: x + 100)
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        with pytest.raises(wf.CodeChanged, match="step") as caught:
            engine.run(changed, run_id="r")
        assert caught.value.tasks == ("step",)
        result = engine.run(changed, run_id="r", accept_changes=True)
    assert result["step"] == 101
    assert "CodeAccepted" in kinds(result)


def test_a_pool_is_shared_by_all_engines_of_a_store(tmp_path: Path) -> None:
    marks = tmp_path / "marks"

    def guarded(k: int) -> int:
        with marks.open("a") as file:
            file.write(f"begin {k}\n")
        threading.Event().wait(0.05)
        with marks.open("a") as file:
            file.write(f"end {k}\n")
        return k

    def build(offset: int) -> wf.Workflow:
        builder = wf.WorkflowBuilder(f"w{offset}")
        for k in range(offset, offset + 4):
            builder.add_task(f"t{k}", guarded, parameters={"k": k}).resources(pools={"db": 1})
        return builder.build()

    with (
        wf.WorkflowEngine(tmp_path / "s", workers=2, pools={"db": 1}) as one,
        wf.WorkflowEngine(tmp_path / "s", workers=2, pools={"db": 1}) as two,
    ):
        handles = [one.submit(build(0)), two.submit(build(10))]
        results = [handle.result(DEADLINE_S) for handle in handles]

    assert [result.status for result in results] == [RunStatus.SUCCEEDED] * 2
    lines = marks.read_text().split("\n")[:-1]
    assert len(lines) == 16
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert begin.replace("begin", "end") == end


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_run_resumed_elsewhere_works_in_the_folder_where_it_was_created(
    executor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, away = tmp_path / "home", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    (home / "data.txt").write_text("42")
    gate = Gate(tmp_path / "gate")

    def first() -> str:
        gate.pass_through()
        return Path("data.txt").read_text()

    def second(first: str) -> str:
        return first + Path("data.txt").read_text()

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("first", first)
        .add_task("second", second)
        .depends_on("first")
        .build()
    )
    monkeypatch.chdir(home)
    with wf.WorkflowEngine(tmp_path / "s", workers=1) as engine:
        handle = engine.submit(workflow, run_id="r")
        gate.wait_for_one()
        engine.pause("r")
        gate.open()
        assert handle.result(DEADLINE_S).status is RunStatus.PAUSED
    monkeypatch.chdir(away)
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor) as engine:
        result = engine.resume("r", workflow=workflow)

    assert result["second"] == "4242"
    assert Path.cwd() == away
