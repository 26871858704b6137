"""Workflows made by hand, without a builder or a file: judged before anything is written."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

import durable_wf as wf
from durable_wf.core.definition import FunctionRef, Task, Workflow


def work() -> int:
    return 5


FUNCTION = FunctionRef("work", __name__)
GOOD = Workflow("w", (Task("a", FUNCTION),), functions={"a": work})
BAD = attrs.evolve(
    GOOD,
    tasks=(
        Task("a", FUNCTION, timeout_s=math.nan, resources=wf.Resources(cpu=-1.0)),
        Task("b", FUNCTION, ("nowhere",), priority="high"),  # type: ignore[arg-type]
        Task("b", FUNCTION),
    ),
    deadline_s=-1e30,
)
WORDS = ("deadline_s", "timeout_s", "cpu must be", "'nowhere'", "priority", "2 tasks are called")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[wf.WorkflowEngine]:
    with wf.WorkflowEngine(tmp_path / "store", executor_type="sequential") as made:
        yield made


@pytest.mark.parametrize("call", ["run", "submit", "register"])
def test_one_that_is_not_sound_is_refused_with_all_its_problems(
    engine: wf.WorkflowEngine, tmp_path: Path, call: str
) -> None:
    with pytest.raises(wf.DefinitionError, match="workflow 'w' is not sound") as caught:
        getattr(engine, call)(BAD)
    assert all(any(word in text for text in caught.value.problems) for word in WORDS)
    assert not (tmp_path / "store").exists()


def test_a_sound_one_runs(engine: wf.WorkflowEngine) -> None:
    """The positive control."""
    assert engine.run(GOOD)["a"] == 5


@pytest.mark.parametrize("call", ["resume", "retry", "fork"])
def test_one_that_brings_the_code_of_a_run_is_judged_too(
    engine: wf.WorkflowEngine, call: str
) -> None:
    engine.run(GOOD, run_id="r")
    with pytest.raises(wf.DefinitionError, match="is not sound"):
        getattr(engine, call)("r", workflow=attrs.evolve(GOOD, deadline_s=math.nan))
    assert len(engine.history()) == 1
