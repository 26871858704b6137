"""fitting: what an engine could never run, or could not hold to its limits."""

from __future__ import annotations

import pytest
from strategies import task, workflow

from durable_wf.core.compensation import with_added
from durable_wf.core.definition import Undo
from durable_wf.core.resources import Capacity, Resources
from durable_wf.engine.fitting import misfits, refuse_misfits
from durable_wf.engine.settings import ExecutorType
from durable_wf.errors import CallerError

SMALL = Capacity(cpu=1.0)
BIG = Undo("jobs:undo", resources=Resources(cpu=4.0))


def told(flow, *, enforces=True):
    return misfits(flow, SMALL, ExecutorType.PARALLEL, lambda _: enforces)


def test_what_needs_more_than_there_is_is_told():
    assert told(workflow(task("a", resources=Resources(cpu=2.0)), task("b"))) == [
        "task 'a' needs 2 cpu of 1"
    ]


def test_a_compensation_that_needs_more_than_there_is_is_told_before_it_is_needed():
    flow = workflow(task("a", undo=BIG))
    assert told(flow) == ["task 'a~undo' needs 4 cpu of 1"]
    assert told(with_added(flow, (("a~undo", "a"),))) == ["task 'a~undo' needs 4 cpu of 1"]
    with pytest.raises(CallerError, match="a~undo"):
        refuse_misfits(flow, SMALL, ExecutorType.PARALLEL, lambda _: True)


def test_a_limit_of_a_compensation_that_nobody_would_enforce_is_told():
    flow = workflow(task("a", undo=Undo("jobs:undo", timeout_s=5.0)))
    assert told(flow) == []
    (words,) = told(flow, enforces=False)
    assert words.startswith("task 'a~undo' has a timeout, which the parallel executor cannot")
