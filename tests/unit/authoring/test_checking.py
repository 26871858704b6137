"""Definitions that were read, not built: their limits are as sound as those of a builder."""

from __future__ import annotations

import attrs
import pytest
from strategies import task, workflow

from durable_wf.authoring.checking import check
from durable_wf.errors import DefinitionError

LIMITS = ("timeout_s", "deadline_s", "heartbeat_s")


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9 + 1, 1e300])
def test_a_limit_of_a_task_that_is_none_is_refused(name, seconds):
    with pytest.raises(DefinitionError, match="is not sound") as caught:
        check(workflow(task("a", **{name: seconds})))
    (problem,) = caught.value.problems
    assert problem.startswith(f"task 'a': {name} must be more than 0 and at most 1e+09 seconds")


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e300])
def test_a_deadline_of_a_workflow_that_is_none_is_refused(seconds):
    with pytest.raises(DefinitionError, match="deadline_s must be more than 0"):
        check(attrs.evolve(workflow(task("a")), deadline_s=seconds))


@pytest.mark.parametrize("seconds", [0.001, 1.0, 1e9])
def test_limits_as_people_set_them_are_sound(seconds):
    tasks = workflow(task("a", **dict.fromkeys(LIMITS, seconds)))
    sound = attrs.evolve(tasks, deadline_s=seconds)
    assert check(sound) is sound
