"""The JSON form of definitions: exact, versioned, and clear about what it refuses."""

from __future__ import annotations

import json

import pytest

from durable_wf.core.definition import (
    FunctionRef,
    Literal,
    Task,
    Upstream,
    Workflow,
)
from durable_wf.core.resources import Resources
from durable_wf.errors import DefinitionError

F = FunctionRef("f", "mod", "", "abc")
FULL = Workflow(
    "w",
    (
        Task("a", F, kwargs=(("x", Literal('"1"')),)),
        Task(
            "b",
            FunctionRef("<lambda>", "", "/x.py", "f", "digest", "3.11"),
            upstream=("a",),
            args=(Upstream("a"), Literal("[1]")),
            kwargs=(("y", Upstream("a", ("key", 0, -1))),),
            resources=Resources(cpu=0.5, memory=10**12, gpu=1, pools=(("db", 2),)),
            priority=-3,
            optional=True,
            timeout_s=0.1,
            memory_limit=5,
            memory_hard=True,
            estimate_s=3.0,
            executor="parallel",
            codec="pickle",
            description="é\ud800 \n",
            tags=("t",),
            metadata=(("k", "v"),),
            beside=(("fallback m:f", "abc"),),
        ),
        Task("c", F),
    ),
    description="text",
    tags=("x", "y"),
    metadata=(("owner", "me"),),
    beside=(("fallback m:g", "def"),),
)


def test_every_field_comes_back():
    assert Workflow.from_json(FULL.to_json()) == FULL


def test_defaults_are_left_out_and_functions_are_written_once():
    tasks = json.loads(FULL.to_json())["tasks"]
    assert tasks[2] == {"name": "c", "function": 0}
    assert len(json.loads(FULL.to_json())["functions"]) == 2


def test_any_layout_of_the_same_json_is_read():
    """Files that were formatted by another tool, or put into another order, mean the same."""
    data = json.loads(FULL.to_json())
    shuffled = {key: data[key] for key in reversed(data)}
    for text in (json.dumps(data), json.dumps(data, indent=2), json.dumps(shuffled, indent=1)):
        assert Workflow.from_json(text) == FULL


def test_what_a_log_holds_comes_back_though_it_would_be_refused_today():
    """It was judged when it was written there, perhaps by a version that knew less."""
    empty = Workflow("w", ())
    assert Workflow.as_recorded(empty.to_json()) == empty
    with pytest.raises(DefinitionError, match="it has no tasks"):
        Workflow.from_json(empty.to_json())


def test_functions_are_shared_by_tasks_read_back():
    back = Workflow.from_json(FULL.to_json())
    assert back.tasks[0].function is back.tasks[2].function


def test_callables_take_no_part():
    with_code = Workflow("w", FULL.tasks, functions={"a": print})
    assert with_code == Workflow("w", FULL.tasks)
    assert Workflow.from_json(with_code.to_json()).functions == {}


def edited(**changes) -> str:
    return json.dumps({**json.loads(FULL.to_json()), **changes})


def with_task(**fields) -> str:
    return edited(tasks=[{"name": "a", "function": 0, **fields}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "no workflow definition"),
        ("{}", "no workflow definition"),
        (edited(durable_wf="workflow/2"), "format 'workflow/2'"),
        (edited(colour="red"), "'colour'"),
        (edited(name=5), "name: must be a text"),
        (edited(tasks={}), "must be a list"),
        (edited(functions=[{"qualname": "f", "size": "3"}]), "'size'"),
        (edited(functions=[{}]), "without a qualname"),
        (edited(tasks=[{"function": 0}]), "task number 1: has no name"),
        (edited(tasks=[{"name": "a"}]), "task a: has no name or no function"),
        (with_task(function=7), "no function number 7"),
        (with_task(function=True), "no function number True"),
        (with_task(colour="red"), "task a: has a field 'colour'"),
        (with_task(priority="high"), "task a: priority: must be a whole number, not 'high'"),
        (with_task(optional=1), "optional: must be true or false"),
        (with_task(timeout_s="10"), "timeout_s: must be a number"),
        (with_task(upstream=[1]), "upstream: must be a text"),
        (with_task(args=[{"value": 1}]), "neither a value nor a task"),
        (with_task(args=[{"task": "a", "path": [1.5]}]), "neither a value nor a task"),
        (with_task(kwargs={"x": {"value": "1", "task": "a"}}), "neither a value nor a task"),
        (with_task(resources={"cpus": 1}), "'cpus'"),
        (with_task(metadata={"k": 1}), "must be a text"),
        (FULL.to_json() + "x", "not JSON"),
        (FULL.to_json()[:-3], "not JSON"),
        ('{"durable_wf":"workflow/1","name":"w"', "not JSON"),
        (FULL.to_json().replace('"name":"c"', '"name":c'), "not JSON"),
    ],
)
def test_what_is_not_a_definition_is_refused_in_words(text, words):
    with pytest.raises(DefinitionError) as caught:
        Workflow.from_json(text)
    assert words in str(caught.value)


def test_bytes_are_read_too_and_must_be_utf8():
    assert Workflow.from_json(FULL.to_json().encode()) == FULL
    with pytest.raises(DefinitionError, match="not JSON"):
        Workflow.from_json(b"\xff\xfe")


def test_what_json_cannot_hold_is_refused_when_written():
    for task in (
        Task("a", F, timeout_s=float("inf")),
        Task("a", F, metadata=(("k", "1"), ("k", "2"))),
        Task("a", F, kwargs=(("k", Literal("1")), ("k", Literal("2")))),
    ):
        with pytest.raises(DefinitionError):
            Workflow("w", (task,)).to_json()
