"""Circuit breakers as people write them."""

from __future__ import annotations

import json
from datetime import timedelta

import attrs
import pytest

import durable_wf as wf
from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.soundness import check
from durable_wf.errors import DefinitionError


def nothing():
    pass


def built(*guards):
    builder = wf.WorkflowBuilder("w")
    for number, guard in enumerate(guards):
        builder.add_task(f"t{number}", nothing, breaker=guard)
    return builder.build()


def test_a_breaker_has_the_defaults_that_are_documented():
    assert wf.breaker("pay") == Breaker("pay", 5, 60.0, 30.0, WhenOpen.WAIT)


def test_times_are_written_as_everywhere():
    made = wf.breaker(
        "pay", failures=3, within="1h30m", cooldown=timedelta(seconds=2), when_open="fault"
    )
    assert made == Breaker("pay", 3, 5400.0, 2.0, WhenOpen.FAULT)


def test_a_task_names_one_or_a_key_alone():
    guard = wf.breaker("pay", failures=2)
    workflow = built(guard, "mail", None)
    assert [task.breaker for task in workflow.tasks] == [guard, Breaker("mail"), None]


def test_the_fluent_call_speaks_of_the_last_task():
    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("a", nothing)
        .add_task("b", nothing).breaker("pay", failures=2, cooldown="5m")
        .add_task("c", nothing).breaker(wf.breaker("mail"))
        .build()
    )  # fmt: skip
    assert [task.breaker for task in workflow.tasks] == [
        None, Breaker("pay", 2, cooldown_s=300.0), Breaker("mail"),
    ]  # fmt: skip


def test_a_decorated_function_has_one_and_the_workflow_may_name_another():
    guarded = wf.task(breaker=wf.breaker("pay", failures=2))(nothing)
    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("a", guarded)
        .add_task("b", guarded, breaker=wf.breaker("mail"))
        .add_task("c", guarded, breaker=None)
        .build()
    )
    assert [task.breaker and task.breaker.key for task in workflow.tasks] == ["pay", "mail", None]


def test_exceptions_are_given_as_in_retries_and_kept_by_name():
    guard = wf.breaker("pay", on=(ConnectionError, json.JSONDecodeError, "HTTPError"))
    names = ("builtins.ConnectionError", "json.decoder.JSONDecodeError", "HTTPError")
    assert guard.on == names
    assert wf.breaker("pay", on="HTTPError").on == ("HTTPError",)
    assert wf.breaker("pay").on == ()
    fluent = wf.WorkflowBuilder("w").add_task("a", nothing).breaker("pay", on=TimeoutError)
    assert fluent.build().tasks[0].breaker == Breaker("pay", on=("builtins.TimeoutError",))


def test_tasks_may_take_other_exceptions_for_failures_of_the_same_service():
    """Each by what its own client raises."""
    workflow = built(wf.breaker("pay", on="HTTPError"), wf.breaker("pay", on=OSError), "pay")
    assert [task.breaker.on for task in workflow.tasks] == [
        ("HTTPError",),
        ("builtins.OSError",),
        (),
    ]


def test_it_is_part_of_the_definition():
    workflow = built(wf.breaker("pay", failures=2, when_open="fault", on=ConnectionError))
    assert wf.Workflow.from_json(workflow.to_json()).tasks == workflow.tasks


@pytest.mark.parametrize(
    ("key", "options", "words"),
    [
        ("", {}, "a key is"),
        (7, {}, "a key is"),
        ("a\x1b[2J", {}, "a key is"),
        ("../x", {}, "a key is"),
        ("k", {"failures": 0}, "from 1 to 100, not 0"),
        ("k", {"on": 5}, "neither an exception class nor the name of one"),
        ("k", {"on": [int]}, "neither an exception class nor the name of one"),
        ("k", {"on": [""]}, "neither an exception class nor the name of one"),
        ("k", {"failures": 101}, "from 1 to 100, not 101"),
        ("k", {"failures": True}, "whole number"),
        ("k", {"failures": 2.5}, "whole number"),
        ("k", {"within": 0}, "within: "),
        ("k", {"within": "soon"}, "within: 'soon'"),
        ("k", {"cooldown": -1}, "cooldown: "),
        ("k", {"cooldown": float("inf")}, "cooldown: "),
        ("k", {"cooldown": 1e12}, "cooldown: .* longer than"),
        ("k", {"when_open": "skip"}, '"wait" or "fault", not \'skip\''),
    ],
)
def test_settings_that_make_no_sense_are_refused(key, options, words):
    with pytest.raises(DefinitionError, match=words):
        wf.breaker(key, **options)
    with pytest.raises(DefinitionError, match=words):
        wf.WorkflowBuilder("w").add_task("a", nothing).breaker(key, **options).build()


def test_what_is_no_breaker_is_refused_with_the_name_of_the_task():
    with pytest.raises(DefinitionError, match=r"task 't0': breaker: 5 is no breaker: give"):
        built(5)


def test_one_key_has_one_meaning_in_a_workflow():
    with pytest.raises(DefinitionError) as caught:
        built(wf.breaker("pay", failures=2), "mail", wf.breaker("pay"))
    assert "breaker 'pay' means 2 failures within 60 s, cooldown 30 s for task 't0'" in str(
        caught.value
    )
    assert "for task 't2'" in str(caught.value)


def test_what_becomes_of_a_task_meanwhile_may_differ():
    workflow = built("pay", wf.breaker("pay", when_open="fault"))
    assert [task.breaker.when_open for task in workflow.tasks] == [WhenOpen.WAIT, WhenOpen.FAULT]


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": ""},
        {"key": "\x1b[2J"},
        {"failures": 0},
        {"failures": 1_000},
        {"within_s": 0.0},
        {"cooldown_s": -1.0},
        {"cooldown_s": float("nan")},
        {"on": "HTTPError"},
        {"on": ("",)},
    ],
    ids=str,
)
def test_a_definition_from_a_file_is_held_to_the_same(wrong):
    workflow = built("pay")
    check(workflow)
    task = attrs.evolve(workflow.tasks[0], breaker=attrs.evolve(Breaker("pay"), **wrong))
    with pytest.raises(DefinitionError, match="breaker"):
        check(attrs.evolve(workflow, tasks=(task,)))


def test_and_to_one_meaning_of_a_key():
    workflow = built("pay", "pay")
    first, last = workflow.tasks
    last = attrs.evolve(last, breaker=Breaker("pay", failures=2))
    with pytest.raises(DefinitionError, match="breaker 'pay' means"):
        check(attrs.evolve(workflow, tasks=(first, last)))
