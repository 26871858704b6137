"""recorded: what of a run stays as it was, whoever brings its code."""

from __future__ import annotations

import attrs
import pytest
from histories_of import CLAIMED, CREATED, STARTED
from loop_rig import put
from strategies import task, workflow

from durable_wf.core.definition import FunctionRef, Literal, Undo, Upstream, WaitFor
from durable_wf.core.digests import inputs_digest, structure_digest
from durable_wf.core.status import WaitKind
from durable_wf.engine.recorded import called_as, found_as, in_order_of, undone_as, waiting_as
from durable_wf.errors import RunConflict
from durable_wf.store.memory import MemoryLog

UNDO = Undo("jobs:undo", (Upstream("a"),), (("fee", Literal("5")),))


def names(found):
    return [one.name for one in found.tasks]


def row_of(recorded):
    row, _ = put(MemoryLog(), CREATED, CLAIMED, STARTED, workflow=recorded)
    digests = {"structure": structure_digest(recorded), "inputs": inputs_digest(recorded)}
    return attrs.evolve(row, **digests)


def test_a_compensation_is_called_as_it_was_recorded():
    other = attrs.evolve(UNDO, function="x:undo", args=(), kwargs=(("fee", Literal("6")),))
    assert undone_as(task("a", undo=other), UNDO).undo == attrs.evolve(UNDO, function="x:undo")
    assert undone_as(task("a", undo=other), None).undo == other
    assert undone_as(task("a"), UNDO).undo is None


def test_tasks_stand_in_the_order_of_the_run():
    recorded = workflow(task("a"), task("b", "a"))
    assert names(in_order_of(recorded, workflow(task("b", "a"), task("a")))) == ["a", "b"]


def test_a_wait_stays_what_people_have_read():
    asked = WaitFor(WaitKind.APPROVAL, question="publish?")
    given = workflow(task("a", wait=attrs.evolve(asked, question="really?")), task("b", "a"))
    found = waiting_as(workflow(task("a", wait=asked), task("b", "a")), given)
    assert found.tasks == (task("a", wait=asked), task("b", "a"))


def test_code_stays_where_it_was_found_and_tuning_is_that_of_today():
    moved = FunctionRef("work", "elsewhere")
    given = workflow(attrs.evolve(task("a", priority=3), function=moved))
    assert found_as(workflow(task("a")), given).tasks == (task("a", priority=3),)


def test_values_stay_those_that_the_run_was_given():
    """As of a retry with other values; with the same ones nothing is changed."""
    recorded = workflow(task("a", kwargs=(("day", Literal("2")),)))
    given = workflow(task("a", kwargs=(("day", Literal("1")),)))
    row = row_of(recorded)
    assert called_as(row, recorded, given).tasks == recorded.tasks
    assert called_as(row, recorded, recorded) is recorded


def test_other_tasks_are_another_run():
    recorded = workflow(task("a"))
    with pytest.raises(RunConflict, match="run r has other tasks:\n  - task 'a' is gone"):
        called_as(row_of(recorded), recorded, workflow(task("b")))
