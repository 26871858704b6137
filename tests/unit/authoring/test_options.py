"""Options as people write them, and the fields of Task that they become."""

from __future__ import annotations

import pytest

from durable_wf.authoring.options import read_options
from durable_wf.core.resources import Resources


def test_options_become_fields():
    fields, problems = read_options(
        {
            "timeout": "1m", "deadline": "2h", "heartbeat": 5,
            "optional": True, "priority": 2, "cpu": 0.5, "memory": "1GiB",
            "gpu": 1, "pools": {"b": 1, "a": 2}, "memory_limit": "2GB", "memory_hard": True,
            "executor": "sequential", "codec": "json", "estimate": 3, "description": "d",
            "tags": ["x"], "metadata": {"b": 1, "a": "z"},
        }
    )  # fmt: skip
    assert not problems
    assert fields == {
        "timeout_s": 60.0, "deadline_s": 7200.0, "heartbeat_s": 5.0,
        "optional": True, "priority": 2, "memory_limit": 2 * 10**9,
        "memory_hard": True, "executor": "sequential", "codec": "json", "estimate_s": 3.0,
        "description": "d", "tags": ("x",), "metadata": (("a", "z"), ("b", "1")),
        "resources": Resources(0.5, 2**30, 1, (("a", 2), ("b", 1))),
    }  # fmt: skip


def test_none_takes_a_limit_away():
    names = ("timeout", "deadline", "heartbeat", "estimate")
    assert read_options({**dict.fromkeys(names), "memory_limit": None}) == (
        {**{f"{name}_s": None for name in names}, "memory_limit": None},
        [],
    )


@pytest.mark.parametrize("name", ["timeout", "deadline", "heartbeat"])
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (0, "no time: it must be more than 0"), (-5, "negative"), ("-5m", "negative"),
        ("soon", "not a duration"), ("", "not a duration"), (True, "not a duration"),
        ([1], "not a duration"), (float("nan"), "not a duration"), (float("inf"), "not a duration"),
    ],
)  # fmt: skip
def test_a_limit_that_is_no_time_is_refused(name, value, why):
    _, (problem,) = read_options({name: value})
    assert problem.startswith(f"{name}: {value!r} is {why}")


@pytest.mark.parametrize("name", ["timeout", "deadline", "heartbeat"])
def test_a_limit_of_more_than_thirty_years_is_refused(name):
    for value in (1e9 + 1, "2000w", 1e300):
        _, (problem,) = read_options({name: value})
        assert problem.startswith(f"{name}: {value!r} is longer than 1e+09 seconds")
    assert read_options({name: 1e9}) == ({f"{name}_s": 1e9}, [])


@pytest.mark.parametrize("limit", ["timeout", "deadline"])
def test_a_silence_that_no_attempt_lives_to_keep_is_refused(limit):
    _, (problem,) = read_options({"heartbeat": "10m", limit: "10m"})
    assert f"heartbeat (600 s) must be shorter than its {limit} (600 s)" in problem
    assert not read_options({"heartbeat": "9m", limit: "10m"})[1]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"timout": 5}, "'timout' is no option; did you mean 'timeout'?"),
        ({"retries": 5}, "'retries' is no option"),
        ({"optional": 1}, "optional must be True or False"),
        ({"priority": "high"}, "priority must be a whole number"),
        ({"priority": True}, "priority must be a whole number"),
        ({"cpu": -1}, "cpu must be a number of cores"),
        ({"cpu": "2"}, "cpu must be a number of cores"),
        ({"cpu": float("nan")}, "cpu must be a number of cores"),
        ({"memory": "lots"}, "memory: 'lots' is not a size"),
        ({"gpu": -1}, "gpu must not be negative"),
        ({"pools": ["db"]}, "pools must map"),
        ({"pools": {"db": 0}}, "pool 'db' needs at least 1 unit"),
        ({"pools": {"": 1}}, "is no name for a pool"),
        ({"pools": {5: 1}}, "must be a text"),
        ({"executor": "paralel"}, "executor 'paralel' is no executor"),
        ({"codec": "xml"}, "codec 'xml' is no codec"),
        ({"tags": "etl"}, "tags must be a list"),
        ({"tags": [1]}, "tags must be texts"),
        ({"metadata": {1: "a"}}, "metadata must map"),
    ],
)
def test_what_is_wrong_is_told_in_words(option, words):
    _, (problem,) = read_options(option)
    assert words in problem
