"""breakers: one circuit by key for all runs and engines of a store."""

from __future__ import annotations

import attrs
import pytest
from breaker_rig import COOLDOWN_S, PAY, STRICT, half_open, opened, pays, rows, story
from loop_rig import Rig
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import What
from durable_wf.core.past import MACHINE
from durable_wf.core.resources import Resources
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus
from durable_wf.store.memory import Shelf

# --- closed ---------------------------------------------------------------------------------------


def test_while_it_is_closed_everything_starts_and_every_end_is_kept():
    rig = Rig()
    rig.enter(pays("a", "b", "c"))
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    rig.executor.ends("b")
    rig.executor.breaks("a")
    rig.clock.pass_(1)
    rig.turn()
    assert rows(rig) == [("ok", "r/b/1"), ("failed", "r/a/1")]
    assert [row.began_at for row in rig.log.outcomes("pay")] == [1_000_000] * 2
    assert [row.at for row in rig.log.outcomes("pay")] == [2_000_000] * 2
    assert story(rig) == []


def test_an_outcome_is_in_the_commit_of_its_event():
    rig = Rig()
    rig.enter(pays("a"))
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    (batch,) = [batch for batch in rig.log.batches if batch.outcomes]
    assert type(batch.appends[0].events[0].event).__name__ == "AttemptFailed"


@pytest.mark.parametrize("kind", sorted(MACHINE, key=str))
def test_losses_of_the_machine_say_nothing_about_it(kind):
    rig = Rig()
    rig.enter(pays("a", "b"))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name, fault=e.Fault(kind, "gone"))
    rig.turn()
    assert rows(rig) == []


def test_a_result_that_cannot_be_stored_came_from_a_service_that_answers():
    rig = Rig()
    rig.enter(pays("a"))
    rig.turn()
    rig.executor.breaks("a", fault=e.Fault(FaultKind.NOT_STORABLE, "a socket"))
    rig.turn()
    assert rows(rig) == [("ok", "r/a/1")]


def test_what_was_stopped_with_its_run_says_nothing_about_it():
    rig = Rig()
    live = rig.enter(pays("a"))
    rig.turn()
    rig.loop.give(live, i.Cancel("ann"))
    rig.turn()
    rig.executor.breaks("a")
    rig.turn()
    assert live.state.status is RunStatus.CANCELLED
    assert rows(rig) == []


PICKY = attrs.evolve(PAY, on=("builtins.ConnectionError",))
REFUSED = e.Fault(FaultKind.ERROR, "no", "ConnectionRefusedError", ("ConnectionError", "OSError"))
BAD_INPUT = e.Fault(FaultKind.ERROR, "no number", "ValueError", ("Exception",))


def test_what_is_none_of_its_exceptions_says_nothing_about_it():
    """Neither does it open the circuit, nor does it end a row of failures."""
    rig = Rig(seats=5)
    rig.enter(pays("a", "b", "c", "d", "e", breaker=PICKY))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name, fault=BAD_INPUT)
    rig.turn()
    assert (rows(rig), story(rig)) == ([], [])
    for name, fault in (("c", REFUSED), ("d", BAD_INPUT), ("e", REFUSED)):
        rig.executor.breaks(name, fault=fault)
    rig.turn()
    assert rows(rig)[:2] == [("failed", "r/c/1"), ("failed", "r/e/1")]
    assert story(rig) == ["BreakerOpened"]


def test_a_probe_that_fails_for_its_own_reasons_leaves_the_question_to_the_next():
    rig = Rig(seats=2)
    rig.enter(pays("a", "b", "c", "d", breaker=PICKY))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name, fault=REFUSED)
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    rig.executor.breaks("c", fault=BAD_INPUT)
    rig.turn()
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c", "d"]
    assert story(rig) == ["BreakerOpened", "ProbeTaken", "ProbeTaken"]
    rig.executor.ends("d")
    rig.turn()
    assert story(rig)[-1] == "BreakerClosed"


def test_a_report_of_an_attempt_that_is_over_says_nothing_about_it():
    rig = Rig()
    rig.enter(pays("a"))
    rig.turn()
    rig.executor.ends("a")
    rig.executor.breaks("a")
    rig.turn()
    assert rows(rig) == [("ok", "r/a/1")]


def test_nor_does_one_of_the_attempt_before():
    rig = Rig()
    live = rig.enter(pays("a"))
    live.judge = lambda state, index: i.Retry(index, "rule", "reason", 0)
    rig.turn()
    rig.executor.breaks("a")
    rig.executor.breaks("a")
    rig.turn()
    rig.turn()
    assert rig.executor.given("a").attempt == 2
    stale = i.Failed(1, 0, 1, e.Fault(FaultKind.ERROR, "boom"))
    rig.loop.breakers.note(live, stale, 5)
    assert rows(rig) == [("failed", "r/a/1")]
    assert len(rig.loop.breakers.recent("pay")) == 1


def test_a_function_that_a_task_has_fallen_back_to_is_not_behind_its_breaker():
    rig = opened()
    live = rig.enter(pays("x"), "s", 2)
    live.judge = lambda state, index: i.FallBackTo(index, "rule", "reason", "other")
    live.fallback_of = {("x", "other"): 0}
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert rig.executor.tasks()[2:] == ["c"], "the probe; x waits for how it ends"
    rig.executor.ends("c")
    rig.turn()
    assert rig.executor.tasks()[3:] == ["d", "x"]
    rig.executor.breaks("x", run=2)
    rig.turn()
    before = rows(rig)
    assert before[-1] == ("failed", "s/x/1")
    rig.turn()
    assert rig.executor.tasks()[5:] == ["x"]
    rig.executor.breaks("x", run=2)
    rig.turn()
    assert rows(rig) == before


# --- open -----------------------------------------------------------------------------------------


def test_so_many_failures_open_it_and_what_waits_stays_pending():
    rig = opened()
    assert rig.executor.tasks() == ["a", "b"]
    live = rig.loop.run("r")
    assert live.state.tasks[2:] == [TaskStatus.PENDING] * 2
    (event,) = [one.event for one in rig.log.history(0)]
    assert event == e.BreakerOpened("pay", 31_000_000, 2, "r", "b")
    assert rows(rig) == [("failed", "r/a/1"), ("failed", "r/b/1"), ("opened", "r/b/1")]


def test_nothing_goes_through_before_the_cooldown_is_over():
    rig = opened()
    for _ in range(3):
        rig.clock.pass_(COOLDOWN_S / 3 - 0.001)
        rig.turn()
        assert rig.executor.tasks() == ["a", "b"]
    rig.clock.pass_(0.003)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]


def test_tasks_of_other_runs_and_later_ones_wait_too():
    rig = opened()
    rig.enter(pays("x"), "s", 2)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]


def test_tasks_behind_another_breaker_or_none_do_not_wait():
    rig = opened()
    rig.enter(workflow(task("x"), task("y", breaker=Breaker("mail"))), "s", 2)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "x", "y"]


def test_what_waits_holds_no_seat():
    """Two seats, and a hundred that wait come first."""
    rig = opened()
    rig.enter(pays(*(f"w{k}" for k in range(100)), priority=9), "s", 2)
    rig.enter(workflow(task("x"), task("y")), "u", 3)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "x", "y"]


def test_what_ends_while_it_is_open_and_began_before_changes_nothing():
    rig = Rig(seats=3)
    rig.enter(pays("a", "b", "late", "c"))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    rig.executor.ends("late")
    rig.clock.pass_(1)
    rig.turn()
    assert rows(rig)[-1] == ("ok", "r/late/1")
    assert story(rig) == ["BreakerOpened"]
    assert rig.executor.tasks() == ["a", "b", "late"]


def test_a_task_that_shall_not_wait_is_refused_and_its_rules_decide():
    rig = opened()
    live = rig.enter(pays("x", breaker=STRICT), "s", 2)
    rig.turn()
    run = rig.log.shelf.runs["s"]
    kinds = rig.log.kinds("s")
    assert kinds[3:] == ["AttemptRefused", "TaskFailed", "RunSucceeded"]
    refused = next(one.event for one in rig.log.history(run, 3))
    assert refused == e.AttemptRefused(
        "x", "pay", 31_000_000, (("failures", 2), ("opened_at", 1_000_000))
    )
    assert live.state.faults[0].kind is FaultKind.BREAKER
    assert rows(rig)[-1] == ("opened", "r/b/1")


def test_one_that_is_to_come_back_comes_back_and_is_asked_about_again():
    rig = opened()
    live = rig.enter(pays("x", breaker=STRICT), "s", 2)
    live.judge = lambda state, index: i.Retry(index, "rule", "reason", 5_000_000)
    rig.turn()
    assert rig.log.kinds("s")[3:] == ["AttemptRefused", "TaskRetryScheduled"]
    rig.clock.pass_(5)
    rig.turn()
    assert rig.log.kinds("s")[5:] == ["TaskWoken", "AttemptRefused", "TaskRetryScheduled"]


def test_who_does_not_wait_that_long_is_told_that_the_run_rests():
    rig = Rig(seats=2)
    live = rig.enter(pays("a", "b", "c"))
    live.wait_s = COOLDOWN_S - 1
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    assert rig.settled == ["r"]
    assert live.state.status is RunStatus.RUNNING


@pytest.mark.parametrize("wait_s", [None, COOLDOWN_S + 1])
def test_who_waits_longer_is_not(wait_s):
    rig = Rig(seats=2)
    rig.enter(pays("a", "b", "c")).wait_s = wait_s
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    assert rig.settled == []


def test_what_waits_of_another_run_says_nothing_about_this_one():
    """Task 0 of this one waits for a seat, task 0 of that one for the breaker."""
    rig = opened()
    rig.enter(pays("w"), "s", 2)
    rig.enter(workflow(task("x"), task("y")), "u", 3)
    rig.turn()
    live = rig.enter(workflow(task("z")), "v", 4)
    live.wait_s = 1.0
    rig.turn()
    assert live.state.running == {}
    assert "v" not in rig.settled


# --- half-open ------------------------------------------------------------------------------------


def test_one_goes_through_and_is_announced_as_the_probe():
    rig = half_open()
    assert story(rig) == ["BreakerOpened", "ProbeTaken"]
    probe = [one.event for one in rig.log.history(0)][-1]
    assert probe == e.ProbeTaken("pay", "e-1", "r", "c", 1)
    assert rig.log.held("breaker/pay") == {"e-1": 1}
    for _ in range(3):
        rig.clock.pass_(COOLDOWN_S)
        rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]


def test_the_probe_is_told_before_it_starts():
    rig = opened()
    found = []
    rig.executor.on_start = lambda one: found.append((one.task, story(rig)))
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert found == [("c", ["BreakerOpened", "ProbeTaken"])]


def test_its_success_closes_the_circuit_and_all_others_start():
    rig = half_open()
    rig.executor.ends("c")
    rig.turn()
    assert story(rig) == ["BreakerOpened", "ProbeTaken", "BreakerClosed"]
    assert rows(rig)[-2:] == [("ok", "r/c/1"), ("closed", "r/c/1")]
    assert rig.executor.tasks() == ["a", "b", "c", "d"]
    assert rig.log.held("breaker/pay") == {}


def test_its_failure_opens_it_for_another_cooldown():
    rig = half_open()
    rig.executor.breaks("c")
    rig.turn()
    assert story(rig) == ["BreakerOpened", "ProbeTaken", "BreakerOpened"]
    rig.clock.pass_(COOLDOWN_S - 0.001)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    rig.clock.pass_(0.002)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c", "d"]


def test_the_outcome_of_a_probe_and_its_lease_go_in_one_commit():
    rig = half_open()
    rig.executor.breaks("c")
    rig.turn()
    (batch,) = [batch for batch in rig.log.batches if batch.drops]
    assert [row.what for row in batch.outcomes] == [What.FAILED, What.OPENED]


@pytest.mark.parametrize("kind", [FaultKind.LOST, FaultKind.IN_DOUBT])
def test_a_probe_that_was_lost_frees_its_place(kind):
    rig = half_open()
    rig.executor.breaks("c", fault=e.Fault(kind, "gone"))
    rig.turn()
    assert len(rig.executor.tasks()) == 4
    assert story(rig) == ["BreakerOpened", "ProbeTaken", "ProbeTaken"]


def test_a_probe_that_was_stopped_with_its_run_frees_its_place():
    rig = half_open()
    live = rig.enter(pays("x"), "s", 2)
    rig.turn()
    rig.loop.give(rig.loop.run("r"), i.Cancel("ann"))
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    rig.executor.breaks("c")
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c", "x"]
    assert live.state.tasks == [TaskStatus.RUNNING]


def test_while_one_probes_those_that_shall_not_wait_are_refused():
    rig = half_open()
    rig.enter(pays("x", "y", breaker=STRICT), "s", 2)
    rig.turn()
    assert rig.log.kinds("s")[3:5] == ["AttemptRefused", "TaskFailed"]


def test_of_those_that_shall_not_wait_one_probes_and_the_others_are_refused():
    rig = opened()
    rig.loop.give(rig.loop.run("r"), i.Pause("ann"))
    rig.clock.pass_(COOLDOWN_S)
    rig.enter(pays("x", "y", breaker=STRICT), "s", 2)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "x"]
    assert rig.log.kinds("s")[3:] == ["AttemptStarted", "AttemptRefused", "TaskFailed"]


def test_a_task_that_finds_no_seat_does_not_take_the_place_of_the_probe():
    rig = opened()
    rig.enter(workflow(*(task(f"long{k}") for k in range(2))), "s", 2)
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert rig.log.held("breaker/pay") == {}
    rig.executor.ends("long0", run=2)
    rig.turn()
    rig.turn()
    assert "c" in rig.executor.tasks()
    assert rig.log.held("breaker/pay") == {"e-1": 1}


def test_a_task_that_gets_no_unit_of_its_pool_does_not_take_it_either():
    shelf = Shelf()
    other = Rig(shelf, engine="e-2", db=1)
    other.enter(workflow(task("x", resources=Resources(pools=(("db", 1),)))), "s", 2)
    other.turn()
    rig = Rig(shelf, db=1)
    rig.enter(pays("a", "b"))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.enter(pays("c", resources=Resources(pools=(("db", 1),))), "u", 3)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]
    assert rig.log.held("breaker/pay") == {}
