"""Large runs: they end, and what an engine keeps for each task does not depend on how many."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from recordings import text

import durable_wf as wf
from durable_wf.authoring.wfformat import Replay, from_wfformat
from durable_wf.core.status import RunStatus

pytestmark = pytest.mark.slow

BYTES_PER_TASK = 3 * 1024
"""What an engine may keep at its peak for each task of a run, definition and history included."""


def number(k: int) -> int:
    return k


def fan_out(tasks: int) -> wf.Workflow:
    builder = wf.WorkflowBuilder("fan")
    for k in range(tasks):
        builder.add_task(f"t{k}", number, parameters={"k": k})
    return builder.build()


def chain(tasks: int) -> wf.Workflow:
    builder = wf.WorkflowBuilder("chain").add_task("t0", lambda: 0)
    step: Callable[[int], int] = lambda x: x + 1
    for k in range(1, tasks):
        builder.add_task(f"t{k}", step).depends_on(f"t{k - 1}")
    return builder.build()


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def peak_of(action: Callable[[], object]) -> int:
    """Bytes at the peak of `action`, over what there was before it."""
    gc.collect()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    action()
    return tracemalloc.get_traced_memory()[1] - before


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_fan_out_of_ten_thousand_tasks_ends_with_flat_memory_per_task(
    executor: str, tmp_path: Path
) -> None:
    def run(tasks: int) -> None:
        result = engine.run(workflows[tasks])
        assert result.row.counts.succeeded == tasks

    workflows = {tasks: fan_out(tasks) for tasks in (500, 2_500, 10_000)}
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=2) as engine:
        run(500)  # what is made once
        small = peak_of(lambda: run(2_500))
        large = peak_of(lambda: run(10_000))

    each = (large - small) / 7_500
    print(f"{executor}: {small / 2_500:.0f} then {each:.0f} bytes a task")
    assert each <= BYTES_PER_TASK
    assert each <= 1.3 * small / 2_500, "a task costs no more in a larger run"


@pytest.mark.usefixtures("tracing")
def test_an_engine_keeps_nothing_of_runs_that_have_ended(tmp_path: Path) -> None:
    workflow = fan_out(50)
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        for _ in range(20):
            engine.run(workflow)
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(40):
            engine.run(workflow)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()

    assert (after - before) / 40 < 1024, "bytes a run"


@pytest.mark.parametrize("shape", ["levels", "fork"])
def test_two_thousand_recorded_tasks_run_to_the_end(shape: str, tmp_path: Path) -> None:
    replay = Replay(time_scale=0.0001, cores=2)
    workflow = from_wfformat(text(2_000, seed=7, shape=shape), replay)
    with wf.WorkflowEngine(tmp_path / "s", workers=2, cpus=2) as engine:
        result = engine.run(workflow)

    assert result.status is RunStatus.SUCCEEDED
    assert result.row.counts.succeeded == len(workflow.tasks) >= 2_000


def test_a_chain_of_three_thousand_steps_hands_its_value_through(tmp_path: Path) -> None:
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        assert engine.run(chain(3_000))["t2999"] == 2_999


def test_a_thousand_equal_results_of_ten_kilobytes_are_kept_once(tmp_path: Path) -> None:
    builder = wf.WorkflowBuilder("same")
    for k in range(1_000):
        builder.add_task(f"t{k}", lambda: "x" * 10_000)
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        result = engine.run(builder.build())

    assert result.row.counts.succeeded == 1_000
    assert result["t999"] == "x" * 10_000
    assert sum(path.stat().st_size for path in (tmp_path / "s").glob("log.db*")) < 4 << 20
