"""Timers: who is woken when, on which clock."""

from __future__ import annotations

import pytest
from engine_clock import FakeClock

from durable_wf.engine.timers import Timers

SECOND = 1_000_000


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def timers(clock):
    return Timers(clock)


def test_a_run_is_woken_once_when_its_time_has_come(clock, timers):
    wake_at = clock.wall_us + 10 * SECOND
    timers.plan(1, wake_at)
    assert (timers.due(), timers.wait_s(60)) == ([], 10)
    clock.pass_(10)
    assert timers.due() == [(1, wake_at)]
    assert timers.due() == []
    assert timers.wait_s(60) == 60


def test_the_newest_plan_counts(clock, timers):
    timers.plan(1, clock.wall_us + 10 * SECOND)
    timers.plan(1, clock.wall_us + 5 * SECOND)
    timers.plan(2, clock.wall_us + 5 * SECOND)
    timers.plan(2, None)
    clock.pass_(6)
    assert [run for run, _ in timers.due()] == [1]
    clock.pass_(6)
    assert timers.due() == []


def test_a_deadline_far_away_costs_nothing_each_time_that_something_nearer_comes(clock, timers):
    """A retry now, then the deadline again, and so on, a thousand times for each of ten runs."""
    deadline = clock.wall_us + 10_000 * SECOND
    for _ in range(1_000):
        for run in range(10):
            timers.plan(run, clock.wall_us + SECOND)
        clock.pass_(1)
        assert len(timers.due()) == 10
        for run in range(10):
            timers.plan(run, deadline)
    assert len(timers._heap) < 2_000
    clock.pass_(9_001)
    assert sorted(timers.due()) == [(run, deadline) for run in range(10)]


@pytest.mark.parametrize("jump_s", [4, -4])
def test_a_small_correction_of_the_wall_clock_changes_nothing(clock, timers, jump_s):
    timers.plan(1, clock.wall_us + 10 * SECOND)
    clock.jump(jump_s)
    clock.pass_(9)
    assert timers.due() == []
    clock.pass_(1)
    assert len(timers.due()) == 1


@pytest.mark.parametrize(("jump_s", "left_s"), [(7, 3), (-3600, 3610)])
def test_a_jump_of_the_wall_clock_plans_everything_again(clock, timers, jump_s, left_s):
    timers.plan(1, clock.wall_us + 10 * SECOND)
    clock.jump(jump_s)
    assert timers.due() == []
    assert timers.wait_s(1e6) == pytest.approx(left_s)
    clock.pass_(left_s)
    assert len(timers.due()) == 1


def test_ten_thousand_runs_that_wait_are_not_looked_at(clock, timers):
    """Each turn looks at the head of the heap alone, however many wait."""
    for run in range(10_000):
        timers.plan(run, clock.wall_us + (3600 + run) * SECOND)
    looks = []
    clock.monotonic_s = lambda: looks.append(1) or clock.mono_s
    for _ in range(100):
        assert timers.due() == []
        assert timers.wait_s(1.0) == 1.0
    assert len(looks) == 300
