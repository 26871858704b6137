"""TaskScheduler: order, admission, no starvation, and tiny tasks that share a worker."""

from __future__ import annotations

import attrs
import pytest
import strategies
from hypothesis import given
from hypothesis import strategies as st
from strategies import task

from durable_wf.core.resources import DEFAULT_RESOURCES, Capacity, Resources
from durable_wf.core.scheduler import (
    BATCH_US,
    MAX_PASSED,
    TINY_US,
    Question,
    TaskScheduler,
    is_tiny,
)
from durable_wf.core.status import InDoubt

TWO_CORES = Capacity(cpu=2)
CAPACITY = Capacity(cpu=3, memory=1_000, gpu=2, pools={"db": 1, "api": 3})


@attrs.define(eq=False)
class Seat:
    """A worker, as the scheduler sees it; `work` are the tasks it was given."""

    worker: str
    queued: int = 0
    queued_us: int = 0
    open: bool = True
    work: list[int] = attrs.field(factory=list)


def seats(count):
    return [Seat(f"w-{number}") for number in range(count)]


@attrs.define
class Floor:
    """A scheduler with its seats and tasks: starts what is picked, and ends what runs."""

    tasks: list
    capacity: Capacity = TWO_CORES
    seats: list[Seat] = attrs.field(factory=lambda: seats(2))
    estimates: dict[int, int] = attrs.field(factory=dict)
    started: list[int] = attrs.field(factory=list)
    gpus: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    scheduler: TaskScheduler = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.scheduler = TaskScheduler(self.capacity)

    def add(self, *indexes, remaining_s=1.0):
        for index in indexes:
            self.scheduler.add(1, index, self.tasks[index], remaining_s)

    def ask(self, run, index):
        if index in self.started:
            return None
        return Question(self.tasks[index], self.estimates.get(index, 0))

    def turn(self):
        picks = self.scheduler.pick(self.seats, self.ask)
        for pick in picks:
            assert pick.index not in self.started, "started twice"
            self.started.append(pick.index)
            self.gpus[pick.index] = pick.gpus
            pick.seat.work.append(pick.index)
            pick.seat.queued += 1
            pick.seat.queued_us += pick.estimate_us
        return [pick.index for pick in picks]

    def end(self, seat):
        """The task in front has ended."""
        ended = seat.work.pop(0)
        if seat.queued_us:
            seat.queued_us -= self.estimates.get(ended, 0)
        seat.queued -= 1
        if not seat.queued:
            seat.queued_us = 0

    def end_all(self):
        for seat in self.seats:
            while seat.work:
                self.end(seat)


# --- order --------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-2, 2), st.sampled_from([0.5, 1.0, 7.0])), max_size=20))
def test_the_order_is_priority_then_longest_way_then_first_come(given_tasks):
    """On one seat, one after the other."""
    floor = Floor([task(f"t{k}", priority=p) for k, (p, _) in enumerate(given_tasks)],
                  Capacity(cpu=1), seats(1))  # fmt: skip
    for index, (_, remaining_s) in enumerate(given_tasks):
        floor.add(index, remaining_s=remaining_s)
    for _ in given_tasks:
        assert len(floor.turn()) == 1
        floor.end_all()
    expected = sorted(
        range(len(given_tasks)), key=lambda k: (-given_tasks[k][0], -given_tasks[k][1], k)
    )
    assert floor.started == expected
    assert floor.turn() == []


def test_tasks_added_twice_and_tasks_gone_are_not_started():
    """The scheduler asks before it starts anything."""
    floor = Floor([task("a"), task("b")])
    floor.add(0, 0, 1, 1)
    assert floor.turn() == [0, 1]
    floor.end_all()
    assert floor.turn() == []
    assert len(floor.scheduler) == 0


# --- admission ----------------------------------------------------------------------------------


@given(st.lists(strategies.RESOURCES, max_size=25), st.randoms(use_true_random=False))
def test_no_more_is_running_than_there_is(needs, rng):
    """Over any run of turns and ends; and everything that fits at all is run."""
    floor = Floor([task(f"t{k}", resources=need) for k, need in enumerate(needs)],
                  CAPACITY, seats(6))  # fmt: skip
    floor.add(*range(len(needs)))
    for _ in range(4 * len(needs) + 2):
        floor.turn()
        running = [(k, needs[k]) for seat in floor.seats for k in seat.work]
        assert sum(round(10 * need.cpu) for _, need in running) <= 10 * CAPACITY.cpu
        assert sum(need.memory for _, need in running) <= CAPACITY.memory
        devices = [device for k, _ in running for device in floor.gpus[k]]
        assert len(devices) == len(set(devices)) == sum(need.gpu for _, need in running)
        assert set(devices) <= set(range(CAPACITY.gpu))
        for pool, limit in CAPACITY.pools.items():
            assert sum(dict(need.pools).get(pool, 0) for _, need in running) <= limit
        busy = [seat for seat in floor.seats if seat.work]
        if busy:
            floor.end(rng.choice(busy))
    assert sorted(floor.started) == list(range(len(needs)))


def test_a_small_task_may_pass_one_that_does_not_fit():
    """First fit: cores are not left idle for it at once."""
    floor = Floor([task("s1"), task("big", resources=Resources(cpu=2)), task("s2")])
    floor.add(0, 1, 2)
    assert floor.turn() == [0, 2]


def test_a_big_task_is_not_starved_by_small_ones():
    """However many come, it is passed a bounded number of times."""
    floor = Floor([task("big", resources=Resources(cpu=2)), *(task(f"s{k}") for k in range(500))])
    floor.add(1)
    floor.turn()
    floor.add(0)
    turns = 0
    for small in range(2, 500):
        floor.add(small)
        floor.turn()
        turns += 1
        if 0 in floor.started:
            break
        oldest = min((seat for seat in floor.seats if seat.work), key=lambda seat: seat.work[0])
        floor.end(oldest)
    assert 0 in floor.started
    assert MAX_PASSED <= turns <= MAX_PASSED + 3


def test_however_many_wait_for_a_pool_they_hide_nobody_else():
    """Each need is looked at once a turn."""
    pool = Resources(pools=(("api", 1),))
    floor = Floor([*(task(f"a{k}", resources=pool) for k in range(150)), task("free"), task("too")],
                  Capacity(cpu=4, pools={"api": 1}), seats(4))  # fmt: skip
    floor.add(*range(152))
    asked = []

    def ask(run, index):
        asked.append(index)
        return floor.ask(run, index)

    picks = floor.scheduler.pick(floor.seats, ask)
    assert [pick.index for pick in picks] == [0, 150, 151]
    assert asked == [0, 1, 150, 151]
    assert len(floor.scheduler) == 149


@pytest.mark.parametrize(
    "need", [Resources(pools=(("db", 1),)), Resources(gpu=2), Resources(memory=1_000)]
)
def test_who_waits_for_something_stops_nobody_who_does_without(need):
    """However often it is passed: cores are not kept idle for it."""
    small = [task(f"s{k}") for k in range(4 * MAX_PASSED)]
    tasks = [task("holds", resources=need), task("waits", resources=need), *small]
    floor = Floor(tasks, CAPACITY, seats(3))
    floor.add(*range(len(floor.tasks)))
    floor.turn()
    while len(floor.started) < len(floor.tasks) - 1:
        seat = next(seat for seat in floor.seats if seat.work and seat.work[0] > 1)
        floor.end(seat)
        assert len(floor.turn()) == 1
    assert 1 not in floor.started
    floor.end_all()
    assert floor.turn() == [1]


def test_a_task_of_lower_priority_leaves_what_an_urgent_one_lacks():
    """It would put it off; what the urgent one does not need it may take."""
    tasks = [task("running"), task("urgent", resources=Resources(cpu=2), priority=5), task("later")]
    floor = Floor(tasks)
    floor.add(0)
    floor.turn()
    floor.add(1, 2)
    assert floor.turn() == []
    floor.end_all()
    assert floor.turn() == [1]

    gpu = Resources(gpu=2)
    tasks = [task("running", resources=gpu), task("urgent", resources=gpu, priority=5), task("b")]
    floor = Floor(tasks, CAPACITY)
    floor.add(0)
    floor.turn()
    floor.add(1, 2)
    assert floor.turn() == [2]


@given(strategies.RESOURCES, st.lists(strategies.RESOURCES, min_size=8, max_size=20),
       st.randoms(use_true_random=False))  # fmt: skip
def test_whatever_a_task_needs_it_starts_though_others_never_cease_to_come(need, others, rng):
    """Others of its priority come again as soon as they have ended, in any order."""
    count = 3_000
    tasks = [task("it", resources=need)]
    tasks += [task(f"o{k}", resources=others[k % len(others)]) for k in range(count)]
    floor = Floor(tasks, CAPACITY, seats(6))
    floor.add(*range(1, len(others) + 1))
    floor.turn()
    floor.add(0)
    following = len(others) + 1
    while 0 not in floor.started and following <= count:
        floor.turn()
        busy = [seat for seat in floor.seats if seat.work]
        floor.end(rng.choice(busy))
        floor.add(following)
        following += 1
    assert 0 in floor.started


def test_who_waits_for_two_things_is_not_kept_waiting_by_turns():
    """One has the memory whenever the pool is free, and the other way round."""
    pool, memory = Resources(pools=(("db", 1),)), Resources(memory=1_000)
    tasks = [task("both", resources=Resources(memory=1_000, pools=(("db", 1),)))]
    tasks += [task(f"o{k}", resources=(pool, memory)[k % 2]) for k in range(20 * MAX_PASSED)]
    floor = Floor(tasks, CAPACITY, seats(2))
    floor.add(1, 2)
    assert floor.turn() == [1, 2]
    floor.add(0)
    following = 3
    while 0 not in floor.started and following < len(tasks):
        floor.end(min((s for s in floor.seats if s.work), key=lambda s: s.work[0]))
        floor.add(following)
        floor.turn()
        following += 1
    assert 0 in floor.started


def test_what_an_idle_seat_held_is_free_once():
    """Else there would be more than there is."""
    floor = Floor([task("a"), task("b"), task("c")], Capacity(cpu=1), seats(3))
    floor.add(0)
    assert floor.turn() == [0]
    floor.end_all()
    assert floor.turn() == []
    assert floor.turn() == []
    floor.add(1, 2)
    assert floor.turn() == [1]


def test_closed_seats_are_given_nothing():
    """A worker that starts, ends or is stuck."""
    floor = Floor([task("a")])
    floor.add(0)
    for seat in floor.seats:
        seat.open = False
    assert floor.turn() == []
    floor.seats[1].open = True
    assert floor.turn() == [0]
    assert floor.seats[1].work == [0]


def test_wanted_seats_are_those_that_run_and_those_that_wait():
    """What an executor is told to have ready."""
    floor = Floor([task("a"), task("b"), task("c")])
    floor.add(0, 1, 2)
    assert floor.scheduler.wanted_seats() == 3
    floor.turn()
    assert floor.scheduler.wanted_seats() == 3
    floor.end_all()
    floor.turn()
    assert floor.scheduler.wanted_seats() == 1


# --- tiny tasks ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, TINY_US), min_size=1, max_size=60))
def test_tiny_tasks_share_a_seat_up_to_the_limit(estimates):
    """About BATCH_US wait in a seat, and each seat holds one core however many wait in it."""
    count = len(estimates)
    floor = Floor([task(f"t{k}") for k in range(count)], Capacity(cpu=2), seats(4),
                  dict(enumerate(estimates)))  # fmt: skip
    floor.add(*range(count))
    floor.turn()
    filled = [sum(estimates[k] for k in seat.work) for seat in floor.seats]
    assert all(us < BATCH_US + TINY_US for us in filled)
    assert sum(1 for seat in floor.seats if seat.work) <= 2
    if len(floor.started) < count:
        assert sum(1 for us in filled if us >= BATCH_US) == 2


def test_a_busy_seat_with_room_takes_more_tiny_tasks_but_no_others():
    """Whoever runs something not known to be tiny is left alone."""
    floor = Floor([task("t0"), task("t1"), task("t2"), task("other")], Capacity(cpu=1), seats(1),
                  {0: 100, 1: 100})  # fmt: skip
    floor.add(0)
    assert floor.turn() == [0]
    floor.add(3, 1)
    assert floor.turn() == [1]
    floor.end_all()
    assert floor.turn() == [3]
    floor.add(2)
    floor.estimates[2] = 100
    assert floor.turn() == []


NOT_TINY = {
    "nobody has measured it": (task("a"), 0),
    "too long": (task("a"), TINY_US + 1),
    "has a timeout": (task("a", timeout_s=1.0), 5),
    "has a deadline": (task("a", deadline_s=1.0), 5),
    "must send heartbeats": (task("a", heartbeat_s=1.0), 5),
    "must not run twice": (task("a", in_doubt=InDoubt.FAIL), 5),
    "asks when in doubt": (task("a", in_doubt=InDoubt.ASK), 5),
    "has a probe": (task("a", in_doubt=InDoubt.PROBE, probe="jobs:probe"), 5),
    "has a memory limit": (task("a", memory_limit=1 << 20), 5),
    "needs something": (task("a", resources=Resources(cpu=0.5)), 5),
    "uses a pool": (task("a", resources=Resources(pools=(("db", 1),))), 5),
}


@pytest.mark.parametrize("why", NOT_TINY)
def test_what_is_not_tiny(why):
    """Only default resources, no limits, and a short measured duration."""
    assert not is_tiny(*NOT_TINY[why])


@pytest.mark.parametrize("resources", [DEFAULT_RESOURCES, Resources()])
def test_what_is_tiny(resources):
    """Resources that are equal to the defaults count as the defaults."""
    assert is_tiny(task("a", resources=resources), TINY_US)


def test_seats_that_are_idle_again_or_gone_are_vacated():
    """Only who is busy keeps what it holds."""
    floor = Floor([task("a"), task("b")])
    floor.add(0, 1)
    floor.turn()
    assert floor.scheduler.wanted_seats() == 2
    floor.turn()
    assert floor.scheduler.wanted_seats() == 2
    floor.end(floor.seats[0])
    floor.turn()
    assert floor.scheduler.wanted_seats() == 1
    del floor.seats[1]
    floor.turn()
    assert floor.scheduler.wanted_seats() == 0
