"""given: other values for parameters, by name, as values or as the JSON that people type."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

import durable_wf as wf
from durable_wf.core.definition import Literal
from durable_wf.core.values import classes_of, decode
from durable_wf.engine.given import AsJson, with_values
from durable_wf.errors import CallerError


def extract(source, limit=100, *, day=dt.date(2026, 1, 1)):
    return source


def load(rows, table, /, keys=(), place=Path("/x")):
    return rows


def total(*parts, **more):
    return parts


FLOW = (
    wf.WorkflowBuilder("flow")
    .add_task("extract", extract, parameters={"source": "db", "day": dt.date(2026, 11, 23)})
    .add_task("load", load, parameters={"table": "t", "keys": (1, 2)}).depends_on("extract")
    .add_task("v1.total", total, parameters={"extra": 1}).depends_on("load")
    .build()
)  # fmt: skip


def given(key, value):
    """The workflow with one other value, and the change."""
    functions = [FLOW.functions[task.name] for task in FLOW.tasks]
    workflow, changes = with_values(FLOW, functions, {key: value})
    return workflow, changes


def set_to(key, value):
    """What the parameter holds then."""
    workflow, (change,) = given(key, value)
    task = next(task for task in workflow.tasks if task.name == change.place.task)
    at = change.place.at
    source = dict(task.kwargs)[change.place.name] if at is None else task.args[at]
    assert source.value == change.after
    return decode(source.value, classes_of(workflow.functions[task.name]))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("extract.source", "other"),
        ("source", "other"),
        ("extract.limit", 5),
        ("limit", [1, {"a": None}]),
        ("load.table", "other"),
        ("v1.total.extra", 2.5),
        ("extra", {1: "a"}),
        ("day", dt.date(2027, 1, 1)),
    ],
)
def test_a_value_is_set_by_its_name(key, value):
    found = set_to(key, value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("source", '"other"', "other"),
        ("source", " [1, 2] ", [1, 2]),
        ("limit", "1e3", 1000.0),
        ("limit", "null", None),
        ("day", '"2027-01-01"', dt.date(2027, 1, 1)),
        ("day", '{"$": "datetime", "v": "2027-01-01T00:00:00"}', dt.datetime(2027, 1, 1)),
        ("keys", "[3]", (3,)),
        ("place", '"/y"', "/y"),
    ],
)
def test_json_is_read_as_what_the_value_was(key, text, value):
    """Where JSON has no type of its own for it; a default that was taken is no such value."""
    found = set_to(key, AsJson(text))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("extrat.source", 1, "there is no task 'extrat'; did you mean 'extract'?"),
        ("sorce", 1, "no task has such a parameter; did you mean 'source'?"),
        ("load.tabel", 1, "task 'load' is given no 'tabel'; did you mean 'table'?"),
        ("load.nothing_like_it", 1, "is given no 'nothing_like_it' (it has table, keys, place)"),
        ("load.rows", 1, "that is the result of task 'extract'; to have it made again: --from"),
        ("rows", 1, "that is the result of task 'extract'"),
        ("v1.total.load", 1, "that is the result of task 'load'"),
        ("source", AsJson("production"), "is not JSON; a text stands in double quotes"),
        ("source", AsJson("NaN"), "is not JSON"),
        ("source", AsJson(""), "is not JSON"),
        ("source", AsJson("[" * 5000), "is not JSON"),
        ("day", AsJson('"tomorrow"'), "is no date, as the value was until now"),
        ("source", AsJson('{"$": "of nobody", "v": 1}'), "cannot be read"),
        ("source", object(), "source"),
    ],
)
def test_what_cannot_be_set_is_told(key, value, problem):
    with pytest.raises(CallerError) as told:
        given(key, value)
    assert problem in told.value.message
    assert key in told.value.message


def test_a_name_that_several_tasks_have_is_ambiguous():
    flow = (
        wf.WorkflowBuilder("flow")
        .add_task("a", extract, parameters={"source": 1})
        .add_task("b", extract, parameters={"source": 2})
        .build()
    )
    with pytest.raises(CallerError, match=r"several tasks have this parameter: a.source, b.source"):
        with_values(flow, [extract, extract], {"source": 3})


def test_all_that_is_wrong_is_told_at_once():
    functions = [FLOW.functions[task.name] for task in FLOW.tasks]
    with pytest.raises(CallerError) as told:
        with_values(FLOW, functions, {"sorce": 1, "limit": AsJson("x"), "extra": 2})
    assert told.value.message.count("\n  - ") == 2


def test_the_value_that_it_has_is_no_change():
    assert given("source", "db") == (FLOW, ())
    assert given("keys", AsJson("[1, 2]")) == (FLOW, ())
    assert with_values(FLOW, [], {}) == (FLOW, ())


def test_a_default_that_is_named_is_one():
    """The definition did not give it before."""
    workflow, (change,) = given("limit", 100)
    assert (change.before, change.after) == ("", "100")
    assert workflow != FLOW


def test_a_compensation_follows_the_values_of_its_task():
    def undo(source, day, result, /, limit, hard=True):
        pass

    flow = (
        wf.WorkflowBuilder("flow")
        .add_task("a", extract, parameters={"source": "db"})
        .compensate(undo)
        .build()
    )
    before = flow.tasks[0].undo
    changed, _ = with_values(flow, [extract], {"source": "web", "limit": 7})
    after = changed.tasks[0].undo
    assert after.args == (Literal('"web"'), *before.args[1:])
    assert dict(after.kwargs) == {"limit": Literal("7")}
    assert dict(before.kwargs) == {"limit": Literal("100")}
