"""choosing: which ready tasks start now, and where."""

from __future__ import annotations

import attrs
from breaker_rig import COOLDOWN_S, opened, pays
from histories_of import A_THEN_B, CREATED, recorded
from loop_rig import FakeClock, FakeExecutor, TellingLog, live_of
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.evolve import evolve, replay
from durable_wf.core.resources import Capacity, Ledger, Resources
from durable_wf.core.state import RunState
from durable_wf.engine.breakers import Breakers
from durable_wf.engine.choosing import Chooser
from durable_wf.engine.pools import RETRY_S, PoolLeases
from durable_wf.execute.port import Seat
from durable_wf.store.memory import Shelf


class Rig:
    """A chooser with two executors, "fake" and "other", of one ledger."""

    def __init__(self, shelf=None, engine="e-1", cpus=4.0, **pools):
        self.clock = FakeClock()
        self.runs = {}
        log = TellingLog(shelf)
        breakers = Breakers(log, self.clock, engine, self.runs)
        self.chooser = Chooser(self.clock, PoolLeases(log, engine, pools), breakers, self.runs)
        self.ledger = Ledger(Capacity(cpus))
        self.seats = {
            name: [Seat(f"w-{name}-{k}", 100 + k, 7) for k in range(4)]
            for name in ("fake", "other")
        }
        for name, seats in self.seats.items():
            self.chooser.add(name, FakeExecutor(seats), self.ledger)

    def offer(self, definition, key=1):
        """A run that has just started: all that it begins with is ready."""
        created = attrs.evolve(CREATED, workflow=definition.name, total=len(definition.tasks))
        history = recorded(created, e.RunClaimed("e-1", "create"), e.RunStarted())
        live = live_of(replay(RunState.of(f"r{key}", definition), history), key=key)
        self.runs[key] = live
        self.chooser.offer(live)
        return live

    def chosen(self):
        """Names of the tasks that start now, with the workers they start on."""
        found = []
        for _, pick in self.chooser.choose():
            name = self.runs[pick.run].state.graph.names[pick.index]
            pick.seat.queued += 1
            found.append((name, pick.seat.worker))
        return found

    def tasks(self):
        return [name for name, _ in self.chosen()]


def test_only_what_is_ready_starts():
    rig = Rig()
    rig.offer(A_THEN_B)
    assert rig.chooser.is_offered
    assert rig.tasks() == ["a"]
    assert not rig.chooser.is_offered
    assert rig.chosen() == []


def test_a_task_starts_on_the_executor_that_it_names():
    rig = Rig()
    live = rig.offer(workflow(task("a"), task("b", executor="other")))
    assert {name: worker[:-2] for name, worker in rig.chosen()} == {"a": "w-fake", "b": "w-other"}
    benches = rig.chooser.benches
    assert rig.chooser.bench(live, 0) is benches["fake"]
    assert rig.chooser.bench(live, 1) is benches["other"]


def test_executors_take_from_one_ledger():
    rig = Rig(cpus=1.0)
    rig.offer(workflow(task("a"), task("b", executor="other")))
    assert rig.tasks() == ["a"]
    rig.seats["fake"][3].queued = 0
    assert rig.tasks() == ["b"]


def test_a_run_that_is_let_go_of_starts_nothing():
    """Neither what was offered nor what waits for a seat."""
    rig = Rig(cpus=1.0)
    rig.offer(workflow(task("a"), task("b")), key=1)
    assert rig.tasks() == ["a"]
    live = rig.offer(A_THEN_B, key=2)
    rig.chooser.forget(live)
    del rig.runs[1], rig.runs[2]
    for seat in rig.seats["fake"]:
        seat.queued = 0
    assert rig.chosen() == []


def test_a_task_whose_pool_another_engine_holds_is_asked_for_again_later():
    needy = workflow(task("a", resources=Resources(pools=(("db", 1),))))
    shelf = Shelf()
    holder, rig = Rig(shelf, "e-1", db=1), Rig(shelf, "e-2", db=1)
    holder.offer(needy)
    rig.offer(needy)
    assert holder.tasks() == ["a"]
    assert rig.tasks() == []
    assert rig.tasks() == []
    leases = holder.chooser._pools
    leases.end((1, 0))
    leases.take([])  # its transaction gives back what is owed
    assert rig.tasks() == []
    rig.clock.s += RETRY_S
    assert rig.tasks() == ["a"]


# --- runs over which engines have died ------------------------------------------------------------

WIDE = workflow(task("a"), task("b"))


def suspects(rig, *keys, crashes=2):
    """As many runs, each at its last chance, come into the hands of the engine."""
    lives = []
    for key in keys:
        live = rig.offer(WIDE, key)
        live.state.crashes = crashes
        live.state.ready = live.state.all_ready()
        rig.chooser.take(live)
        lives.append(live)
    return lives


def runs(rig):
    """The keys of the runs whose tasks start now."""
    found = []
    for _, pick in rig.chooser.choose():
        pick.seat.queued += 1
        found.append(pick.run)
        live = rig.runs[pick.run]
        name = live.state.graph.names[pick.index]
        evolve(live.state, recorded(e.AttemptStarted(name, 1, "w", 1, 1), after=live.state.n)[0])
    return found


def test_of_two_runs_at_their_last_chance_one_starts_and_then_the_other(caplog):
    rig = Rig()
    first, second = suspects(rig, 1, 2)
    assert runs(rig) == [1, 1]
    assert "run r2 waits for its turn: 2 engines in a row have died while it ran" in caplog.text
    assert runs(rig) == []
    first.state.crashes = 0  # it has got on
    assert runs(rig) == [2, 2]
    assert second.state.crashes == 2


def test_the_next_one_starts_when_the_one_before_has_ended():
    rig = Rig()
    first, _ = suspects(rig, 1, 2)
    runs(rig)
    del rig.runs[1]
    rig.chooser.forget(first)
    assert runs(rig) == [2, 2]


def test_other_runs_start_beside_them():
    rig = Rig(cpus=8.0)
    suspects(rig, 1, 2)
    rig.offer(WIDE, 3)
    assert sorted(runs(rig)) == [1, 1, 3, 3]


def test_what_was_queued_already_waits_too_and_is_not_lost():
    """There was no room for it before the run that goes first came."""
    rig = Rig(cpus=1.0)

    def next_one():
        for seat in rig.seats["fake"]:
            seat.queued = 0
        return runs(rig)

    (first,) = suspects(rig, 1, crashes=1)
    assert next_one() == [1], "the second of its tasks stays in the queue"
    (last,) = suspects(rig, 2)
    first.state.running.clear()
    assert next_one() == [2]
    assert next_one() == [2], "and not the one in the queue"
    last.state.crashes = 0
    assert next_one() == [1]


def test_runs_that_have_a_chance_left_start_together():
    rig = Rig()
    suspects(rig, 1, 2, crashes=1)
    assert sorted(runs(rig)) == [1, 1, 2, 2]


def test_no_run_waits_for_its_turn_behind_one_that_waits_for_an_open_breaker():
    rig = opened()
    for key, definition in enumerate((pays("behind"), workflow(task("free"))), 2):
        live = rig.enter(definition, f"r{key}", key)
        live.state.crashes = 2
        rig.loop.adopt(live)
    rig.turn()
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "free"]
    rig.executor.ends("free", run=3)
    rig.turn()
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    rig.executor.ends("c")
    rig.turn()
    assert rig.executor.tasks()[3:] == ["c", "d", "behind"]
