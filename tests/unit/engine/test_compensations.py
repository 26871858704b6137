"""A run that takes back what it did, in the hands of the loop."""

from __future__ import annotations

from loop_rig import Rig, live_of
from strategies import task, workflow

from durable_wf.core import inputs as i
from durable_wf.core.definition import Undo, Upstream
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus
from durable_wf.execute.port import Given


def undoing(**fields):
    """A run whose second task has failed, with the compensation of its first one under way."""
    undo = Undo("jobs:undo", (Upstream("a"),))
    rig = Rig()
    live = rig.enter(workflow(task("a", undo=undo, **fields), task("b", "a")))
    rig.turn()
    rig.executor.ends("a", "7")
    rig.turn()
    rig.executor.breaks("b")
    rig.turn()
    return rig, live


def test_compensations_run_as_tasks_that_the_run_has_come_to_have():
    rig, live = undoing()
    given = rig.executor.given("a~undo")
    assert (given.index, given.attempt, given.args) == (2, 1, (Given("7", producer=0, task="a"),))
    assert live.state.status is RunStatus.DRAINING
    rig.executor.ends("a~undo")
    rig.turn()
    assert live.state.status is RunStatus.FAILED
    assert rig.log.kinds()[-6:] == [
        "TaskFailed", "RunDraining", "TasksAdded", "AttemptStarted", "AttemptSucceeded",
        "RunFailed",
    ]  # fmt: skip


def test_the_retry_of_a_compensation_is_waited_for_while_the_run_drains():
    rig, live = undoing()
    live.judge = lambda state, index: i.Retry(index, "rule", "again", 5_000_000)
    rig.executor.breaks("a~undo")
    rig.turn()
    assert rig.executor.given("a~undo").attempt == 1
    rig.clock.us += 5_000_000
    rig.clock.s += 5.0
    rig.turn()
    assert rig.executor.given("a~undo").attempt == 2


def test_a_run_taken_over_while_it_takes_back_goes_on_with_that():
    rig, live = undoing()
    state = replay(RunState.of("r", live.workflow), rig.log.history(live.run))
    other = Rig(rig.log.shelf, engine="e-2")
    row = other.log.row("r")
    taken = live_of(state, key=1, run=row.run, committed_n=row.n)
    other.loop.adopt(taken)
    other.loop.give(taken, i.Claim("e-2", "recover"))
    other.loop.give(taken, i.Returned(1, 2, 1))
    other.turn()
    assert other.executor.tasks() == ["a~undo"]


def test_other_code_for_what_takes_back_is_accepted_on_the_record():
    rig, live = undoing()
    rig.loop.give(live, i.AcceptCode("ann", "d-2", "c-2", ("a",)))
    rig.turn()
    assert rig.log.kinds()[-1] == "CodeAccepted"
    assert rig.log.row("r").definition == "d-2"
    rig.executor.ends("a~undo")
    rig.turn()
    assert live.state.status is RunStatus.FAILED
