"""Results: what an engine says of a run from memory is what stands in its store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.store.opening import open_store


def count(word: str) -> int:
    return len(word)


def boom() -> None:
    raise ValueError("no such table")


def counting() -> wf.WorkflowBuilder:
    builder = wf.WorkflowBuilder("counting")
    return builder.add_task("count", count, parameters={"word": "abc"})


def failing() -> wf.WorkflowBuilder:
    return wf.WorkflowBuilder("failing").add_task("boom", boom)


def sleeping() -> wf.WorkflowBuilder:
    return counting().add_task("nap", wf.sleep("1h")).after("count")


@pytest.mark.parametrize("make", [counting, failing, sleeping])
def test_what_a_result_says_of_its_run_is_what_stands_in_the_store(
    tmp_path: Path, make: Callable[[], wf.WorkflowBuilder]
) -> None:
    """Of runs that succeeded, failed and rest; also of one that is made like the one before."""
    workflow = make().build()
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as engine:
        results = [engine.run(workflow, check=False, wait=0) for _ in range(2)]
        store = open_store(tmp_path / "store", readonly=True)
        known = [store.log.row(result.run_id) for result in results]
        store.close()
    assert [result.row for result in results] == known
