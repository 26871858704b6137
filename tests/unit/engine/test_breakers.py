"""breakers: one circuit by key for all runs and engines of a store."""

from __future__ import annotations

import attrs
import pytest
from loop_rig import FakeClock, Rig
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.circuit import What, fold
from durable_wf.core.past import MACHINE
from durable_wf.core.resources import Resources
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus
from durable_wf.engine.breakers import RETRY_S
from durable_wf.engine.inbox import POLL_S
from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.port import Batch, RunAppend

PAY = Breaker("pay", failures=2, within_s=60.0, cooldown_s=30.0)
STRICT = attrs.evolve(PAY, when_open=WhenOpen.FAULT)
COOLDOWN_S = 30.0


def pays(*names, breaker=PAY, **fields):
    """A workflow of independent tasks behind the breaker; none of them fails the run."""
    return workflow(*(task(name, breaker=breaker, optional=True, **fields) for name in names))


def story(rig):
    """The kinds of the store's own events about breakers."""
    kinds = ("BreakerOpened", "ProbeTaken", "BreakerClosed")
    return [one.kind for one in rig.log.stored(0) if one.kind in kinds]


def rows(rig, key="pay"):
    return [(row.what.value, row.place) for row in rig.log.outcomes(key)]


def opened(shelf=None, **options):
    """A rig whose first run "r" has opened the breaker with its tasks a and b; c and d wait."""
    rig = Rig(shelf, seats=2, **options)
    rig.enter(pays("a", "b", "c", "d"))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    assert story(rig) == ["BreakerOpened"]
    return rig


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


# --- half-open ------------------------------------------------------------------------------------


def half_open(shelf=None, **options):
    """As `opened`, and its cooldown is over: c probes, d waits."""
    rig = opened(shelf, **options)
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    return rig


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


# --- several engines ------------------------------------------------------------------------------


def two_engines(**options):
    """Two engines of a store; one has opened the breaker, the other has a task that waits."""
    shelf, clock = Shelf(), FakeClock()
    one = opened(shelf, clock=clock, **options)
    two = Rig(shelf, engine="e-2", clock=clock, **options)
    two.enter(pays("x"), "s")
    two.turn()
    assert two.executor.tasks() == []
    return one, two


def test_what_one_engine_has_opened_is_open_for_the_other():
    _, two = two_engines()
    two.clock.pass_(COOLDOWN_S / 2)
    two.turn()
    assert two.executor.tasks() == []


def test_one_probe_goes_through_in_the_whole_store():
    one, two = two_engines()
    one.clock.pass_(COOLDOWN_S)
    one.turn()
    two.turn()
    assert one.executor.tasks() == ["a", "b", "c"]
    assert two.executor.tasks() == []
    two.clock.pass_(2 * RETRY_S)
    two.turn()
    assert two.executor.tasks() == []
    assert story(two) == ["BreakerOpened", "ProbeTaken"]


def test_while_another_engine_probes_the_right_is_not_asked_for_by_every_newcomer():
    one, two = two_engines()
    one.clock.pass_(COOLDOWN_S)
    one.turn()
    two.turn()
    for k in range(5):
        two.enter(pays("y"), f"u{k}", 2 + k)
        two.turn()
    asked = [take for batch in two.log.batches for take in batch.takes]
    assert two.executor.tasks() == []
    assert len(asked) == 1


def test_what_another_engine_s_probe_has_found_is_seen_at_the_next_look():
    one, two = two_engines()
    one.clock.pass_(COOLDOWN_S)
    one.turn()
    two.turn()
    one.executor.ends("c")
    one.turn()
    two.clock.pass_(POLL_S)
    two.turn()
    assert two.executor.tasks() == ["x"]


def test_who_gets_the_lease_after_another_s_failed_probe_looks_again_and_waits():
    """It has seen the half-open circuit before the outcome was there."""
    one, two = two_engines()
    one.clock.pass_(COOLDOWN_S)
    one.turn()
    stale = two.log.version
    two.log.version = lambda: 0
    one.executor.breaks("c")
    one.turn()
    two.loop.breakers._version = 0
    taken = []
    before = two.log.append

    def append(batch):
        if batch.takes:
            taken.append(batch.takes)
            two.log.version = stale
        return before(batch)

    two.log.append = append
    two.loop.turn()
    assert two.executor.tasks() == []
    assert two.log.held("breaker/pay") == {}


def test_the_probe_of_a_dead_engine_is_void_and_the_next_one_probes():
    living = {"e-1", "e-2"}
    one, two = two_engines(alive=living.__contains__)
    one.clock.pass_(COOLDOWN_S)
    one.turn()
    two.turn()
    living.remove("e-1")
    two.clock.pass_(2 * RETRY_S)
    two.turn()
    assert two.executor.tasks() == ["x"]
    assert two.log.held("breaker/pay") == {"e-2": 1}
    assert story(two) == ["BreakerOpened", "ProbeTaken", "ProbeTaken"]


def test_the_failures_of_several_engines_add_up():
    shelf, clock = Shelf(), FakeClock()
    rigs = [Rig(shelf, engine=f"e-{k}", clock=clock, seats=1) for k in (1, 2)]
    for number, rig in enumerate(rigs):
        rig.enter(pays("a", "b"), f"r{number}")
        rig.turn()
    for rig in rigs:
        rig.executor.breaks("a")
        rig.turn()
    assert story(rigs[0]) == ["BreakerOpened"]
    clock.pass_(POLL_S)
    rigs[0].turn()
    assert rigs[0].executor.tasks()[1:] in ([], ["b"])


def test_an_opening_that_nobody_saw_is_told_by_the_first_who_asks():
    """Two engines have each written one failure, and neither had seen the other's."""
    shelf, clock = Shelf(), FakeClock()
    rig = Rig(shelf, clock=clock)
    rig.enter(pays("x"), "s")
    rig.loop.breakers.recent("pay")
    other = MemoryLog(shelf)
    failed = [row for row in opened().log.outcomes("pay") if row.what is What.FAILED]
    other.append(Batch(outcomes=failed))
    rig.turn()
    assert rig.executor.tasks() == []
    assert story(rig) == ["BreakerOpened"]
    rig.turn()
    assert story(rig) == ["BreakerOpened"]


def test_a_new_engine_sees_what_was_recorded_before_it_came():
    rig = opened()
    later = Rig(rig.log.shelf, engine="e-2", clock=rig.clock)
    later.enter(pays("x"), "s")
    later.turn()
    assert later.executor.tasks() == []
    later.clock.pass_(COOLDOWN_S)
    later.turn()
    assert later.executor.tasks() == ["x"]


def test_a_workflow_with_other_settings_shares_the_circuit():
    rig = opened()
    rig.enter(pays("x", breaker=Breaker("pay", failures=50, cooldown_s=5.0)), "s", 2)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]
    rig.clock.pass_(5)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "x"], "by its own cooldown"


# --- trouble --------------------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [DiskFull("full"), StoreBusy("busy")])
def test_while_the_store_cannot_be_written_nobody_probes(trouble):
    rig = opened()
    rig.clock.pass_(COOLDOWN_S)
    rig.log.troubles = [trouble]
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]
    rig.clock.pass_(RETRY_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]


def test_the_right_of_a_lost_probe_is_given_back_though_the_store_cannot_be_written_for_a_while():
    rig = half_open()
    rig.log.troubles = [DiskFull("full")]
    rig.executor.breaks("c", fault=e.Fault(FaultKind.LOST, "gone"))
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    rig.clock.pass_(RETRY_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c", "d"]
    assert rig.log.held("breaker/pay") == {"e-1": 1}


def test_what_is_not_committed_yet_is_not_forgotten_when_others_commit():
    rig = Rig()
    live = rig.enter(pays("a"))
    rig.turn()
    failed = i.Failed(1, 0, 1, e.Fault(FaultKind.ERROR, "boom"))
    rig.loop.breakers.note(live, failed, 5)
    MemoryLog(rig.log.shelf).append(Batch(store_events=[(5, e.EngineStopped("e-9"))]))
    rig.loop.breakers.turn()
    assert [row.place for row in rig.loop.breakers.recent("pay")] == ["r/a/1"]


def test_after_a_conflict_the_rows_are_read_anew():
    rig = Rig(seats=1)
    live = rig.enter(pays("a", "b"))
    rig.turn()
    row = rig.log.row("r")
    event = e.Recorded(row.n + 1, 10, e.RunClaimed("e-9", "recover"))
    MemoryLog(rig.log.shelf).append(Batch([RunAppend(row.run, "r", row.n, [event], row)]))
    rig.executor.breaks("a")
    rig.turn()
    assert rig.loop.run("r") is None
    assert live.handle.done
    assert rows(rig) == []
    assert rig.loop.breakers.recent("pay") == ()


def test_a_clock_that_is_set_back_does_not_make_a_cooldown_longer():
    rig = opened()
    rig.turn()
    rig.clock.us -= 3_600_000_000
    rig.clock.pass_(COOLDOWN_S - 0.001)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b"]
    rig.clock.pass_(0.002)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]


# --- what it costs --------------------------------------------------------------------------------


@attrs.define
class Counting:
    asked: list[str] = attrs.field(factory=list)

    def watch(self, log):
        for name in ("outcomes", "version"):
            setattr(log, name, self._counted(name, getattr(log, name)))

    def _counted(self, name, method):
        def call(*args):
            self.asked.append(name)
            return method(*args)

        return call


def test_without_a_breaker_nothing_is_asked():
    rig, counting = Rig(), Counting()
    counting.watch(rig.log)
    rig.loop.inbox.look_no_more()
    rig.enter(workflow(task("a"), task("b", "a")))
    rig.turn()
    rig.executor.ends("a")
    rig.turn()
    rig.executor.ends("b")
    rig.turn()
    assert rig.settled == ["r"]
    assert counting.asked == []


def test_the_rows_are_read_once_until_another_process_changes_something():
    rig, counting = opened(), Counting()
    counting.watch(rig.log)
    for _ in range(5):
        rig.clock.pass_(POLL_S)
        rig.turn()
    assert "outcomes" not in counting.asked
    MemoryLog(rig.log.shelf).append(Batch(store_events=[(5, e.EngineStopped("e-9"))]))
    for _ in range(5):
        rig.clock.pass_(POLL_S)
        rig.turn()
    assert counting.asked.count("outcomes") == 1


def test_what_waits_is_no_reason_to_look_at_the_store_all_the_time():
    rig, counting = opened(), Counting()
    rig.loop.inbox.look_no_more()
    rig.turn()
    rig.clock.pass_(POLL_S)
    counting.watch(rig.log)
    for _ in range(50):
        rig.turn()
    assert counting.asked == ["version"]


def test_the_loop_waits_until_the_cooldown_is_over_and_no_longer():
    rig = opened()
    assert rig.loop.breakers.wait_s() == COOLDOWN_S
    rig.clock.pass_(COOLDOWN_S)
    assert rig.loop.breakers.wait_s() == 0.0
    rig.turn()
    assert rig.loop.breakers.wait_s() > 0.0
    assert Rig().loop.breakers.wait_s() == float("inf")


def test_tasks_of_a_run_that_is_held_no_more_are_dropped():
    rig = opened()
    rig.loop.forget(rig.loop.run("r"))
    rig.clock.pass_(COOLDOWN_S)
    for _ in range(4):
        rig.turn()
        rig.clock.pass_(RETRY_S)
    assert rig.executor.tasks() == ["a", "b"]
    assert rig.loop.breakers.wait_s() == float("inf")


# --- for rules ------------------------------------------------------------------------------------


def test_the_last_outcomes_of_a_key_are_those_of_all_runs_and_of_this_turn():
    rig = half_open()
    found = rig.loop.breakers.recent("pay")
    assert [(row.what, row.place) for row in found] == [
        (What.FAILED, "r/a/1"), (What.FAILED, "r/b/1"),
    ]  # fmt: skip
    assert rig.loop.breakers.recent("mail") == ()


def test_the_story_tells_what_the_rows_tell():
    rig = half_open()
    rig.executor.ends("c")
    rig.turn()
    assert fold(PAY, rig.log.outcomes("pay"), rig.clock.us).untold is None
