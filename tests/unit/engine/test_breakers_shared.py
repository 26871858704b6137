"""breakers: several engines share a circuit; what happens in trouble; what it costs."""

from __future__ import annotations

import attrs
import pytest
from breaker_rig import COOLDOWN_S, PAY, half_open, opened, pays, rows, story
from loop_rig import FakeClock, Rig
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import KEPT, What, fold
from durable_wf.core.status import FaultKind
from durable_wf.engine.breakers import RETRY_S
from durable_wf.engine.inbox import POLL_S
from durable_wf.engine.resetting import reset_at
from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.memory import MemoryLog, Shelf
from durable_wf.store.port import Batch, RunAppend

# --- reset by a person ---


def test_living_engines_notice_that_a_person_has_reset_it():
    """No probe is needed, and no cooldown has passed; both engines go on."""
    one, two = two_engines()
    MemoryLog(two.log.shelf).append(reset_at(two.clock.us, "pay", "ann", "it is back"))
    for rig in (one, two):
        rig.clock.pass_(POLL_S)
        rig.turn()
    assert one.executor.tasks() == ["a", "b", "c", "d"]
    assert two.executor.tasks() == ["x"]
    assert "BreakerClosed" not in story(two)
    assert [stored.kind for stored in two.log.stored(0)][-1] == "BreakerReset"


def test_a_probe_that_fails_after_a_reset_does_not_open_it_again():
    shelf = Shelf()
    rig = half_open(shelf)
    MemoryLog(shelf).append(reset_at(rig.clock.us + 1, "pay", "ann"))
    rig.clock.pass_(POLL_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c", "d"]
    rig.executor.breaks("c")
    rig.turn()
    assert story(rig) == ["BreakerOpened", "ProbeTaken"]
    assert fold(PAY, rig.log.outcomes("pay"), rig.clock.us).failures == 0


def test_after_a_reset_the_next_opening_is_said_again(caplog):
    shelf = Shelf()
    rig = opened(shelf)
    MemoryLog(shelf).append(reset_at(rig.clock.us, "pay", "ann"))
    rig.clock.pass_(POLL_S)
    rig.turn()
    assert caplog.messages[-1] == "breaker 'pay' is closed again"
    for name in ("c", "d"):
        rig.executor.breaks(name)
        rig.turn()
    assert story(rig) == ["BreakerOpened", "BreakerOpened"]
    assert "breaker 'pay' is open until" in caplog.messages[-1]


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
    two.loop.breakers._circuits._version = 0
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


def test_an_engine_that_runs_for_long_keeps_no_more_rows_than_the_store():
    rig = Rig()
    live = rig.enter(pays("a"))
    rig.turn()
    for _ in range(3 * KEPT):
        rig.loop.breakers.note(live, i.Succeeded(1, 0, 1, "1", 5, 5), 5)
    assert len(rig.loop.breakers.recent("pay")) == KEPT
    assert len(rig.loop.breakers._circuits._rows["pay"]) <= 2 * KEPT
    rig.executor.ends("a")
    rig.turn()
    assert len(rig.log.outcomes("pay")) == KEPT


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


# --- what is said ---------------------------------------------------------------------------------


def test_that_it_opens_and_that_it_closes_is_said_once_however_many_probes_fail(caplog):
    rig = half_open()
    rig.executor.breaks("c")
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    rig.executor.ends("d")
    rig.turn()
    first, last = (record.message for record in caplog.records)
    assert first.startswith("breaker 'pay' is open until 1970-01-01 00:00:31 UTC: 2 failures")
    assert last == "breaker 'pay' is closed again"


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
