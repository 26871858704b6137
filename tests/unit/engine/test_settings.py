"""settings: what an engine was asked to use, checked and completed."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from durable_wf.engine import settings as module
from durable_wf.engine.settings import ExecutorType, executor_type, settings, usable_cpus
from durable_wf.errors import CallerError

GIVEN = {
    "executor": "parallel", "workers": None, "cpus": None, "memory": None, "gpus": 0,
    "pools": None, "grace_s": 10.0, "trust": False,
}  # fmt: skip


def made(**given):
    return settings(**{**GIVEN, **given})


def test_without_a_word_the_engine_takes_what_the_machine_has():
    found = made()
    assert found.executor is ExecutorType.PARALLEL
    assert found.workers == usable_cpus()
    assert found.capacity.cpu == usable_cpus()
    assert found.capacity.memory is None
    assert found.given == ()


def test_cores_say_how_many_workers_and_the_other_way_round(monkeypatch):
    monkeypatch.setattr(module, "usable_cpus", lambda: 4)
    assert made(cpus=2.9).workers == 2
    assert made(cpus=0.5).workers == 1
    assert made(workers=2).capacity.cpu == 4
    assert made(workers=9).capacity.cpu == 9
    both = made(workers=3, cpus=1.5)
    assert (both.workers, both.capacity.cpu) == (3, 1.5)


def test_what_was_asked_for_is_recorded_and_nothing_else():
    """What the machine has is not a limit that somebody gave."""
    found = made(cpus=1.5, memory=10**10, gpus=2, pools={"web": 3, "db": 1})
    assert found.given == (
        ("cpus", "1.5"),
        ("memory", "10000000000"),
        ("gpus", "2"),
        ("pool:db", "1"),
        ("pool:web", "3"),
    )
    assert made(workers=3).given == ()


@pytest.mark.parametrize(
    ("memory", "size"),
    [("8GB", 8 * 10**9), ("512MiB", 512 * 2**20), ("1000", 1000), (2**30, 2**30)],
)
def test_memory_is_said_as_tasks_say_it(memory, size):
    found = made(memory=memory)
    assert found.capacity.memory == size
    assert found.given == (("memory", str(size)),)


@pytest.mark.parametrize(
    ("grace", "seconds"),
    [("30s", 30.0), ("1m30s", 90.0), (timedelta(minutes=2), 120.0), (2.5, 2.5), (0, 0.0)],
)
def test_a_grace_is_a_duration_like_every_other(grace, seconds):
    assert made(grace_s=grace).grace_s == seconds


def test_later_changes_of_the_given_pools_change_nothing():
    pools = {"db": 1}
    found = made(pools=pools)
    pools["db"] = 7
    assert found.capacity.pools == {"db": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "workers=0"),
        ({"workers": -1}, "workers=-1"),
        ({"cpus": 0}, "cpus"),
        ({"cpus": -1}, "cpus"),
        ({"cpus": math.nan}, "numbers"),
        ({"cpus": math.inf}, "numbers"),
        ({"cpus": "2"}, "numbers"),
        ({"memory": 0}, "memory"),
        ({"cpus": True}, "numbers"),
        ({"cpus": 10**400}, "numbers"),
        ({"workers": "2"}, "numbers"),
        ({"gpus": None}, "numbers"),
        ({"memory": "much"}, "memory='much' is not a size: give bytes, or text such as '512MB'"),
        ({"memory": 8e9}, "memory=8000000000.0 is not a size"),
        ({"memory": True}, "memory=True is not a size"),
        ({"gpus": -1}, "gpus"),
        ({"grace_s": -0.1}, "grace_s"),
        ({"grace_s": math.nan}, "grace_s"),
        ({"grace_s": "soon"}, "grace_s: 'soon' is not a duration"),
        ({"grace_s": "-1s"}, "grace_s"),
        ({"grace_s": None}, "grace_s"),
        ({"grace_s": True}, "grace_s"),
        ({"pools": {"db": 0}}, "pool 'db'"),
        ({"pools": {"db": 1.5}}, "pool 'db'"),
        ({"pools": {"db": True}}, "pool 'db'"),
        ({"executor": "threads"}, "no executor 'threads'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(given, said):
    with pytest.raises(CallerError, match=said):
        made(**given)


def test_executors_are_found_by_name_and_the_error_lists_them():
    assert executor_type("sequential") is ExecutorType.SEQUENTIAL
    with pytest.raises(CallerError) as caught:
        executor_type("Parallel")
    assert "'sequential', 'parallel'" in str(caught.value)


def test_a_machine_has_memory_and_cores():
    assert module.machine_memory() > 1 << 20
    assert usable_cpus() >= 1


@pytest.mark.parametrize("limit", [-1, 2.5, True, "3", None])
def test_a_crash_limit_is_a_number_of_engines(limit):
    with pytest.raises(CallerError, match="crash_limit"):
        made(crash_limit=limit)


def test_the_crash_limit_is_three_unless_told_otherwise():
    assert made().crash_limit == 3
    assert made(crash_limit=0).crash_limit == 0
