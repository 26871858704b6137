"""The six rules by which results and given values reach parameters."""

from __future__ import annotations

import functools

import pytest

from durable_wf.authoring.data_flow import ref
from durable_wf.authoring.factory import TaskFactory
from durable_wf.core.definition import Literal, Upstream
from durable_wf.errors import DefinitionError


def made(function, **how):
    """(args, kwargs, upstream) of a task of this function."""
    task = TaskFactory().create("t", function, **how)
    return task.args, dict(task.kwargs), task.upstream


def problems(function, **how) -> str:
    with pytest.raises(DefinitionError) as caught:
        TaskFactory().create("t", function, **how)
    assert caught.value.problems
    return "\n".join(caught.value.problems)


def one(rows): ...
def two(rows, key): ...
def with_default(rows, limit=5): ...
def stars(*args): ...
def names(**kwargs): ...
def both(first, *args, limit=5, **kwargs): ...
def only_positional(a, b=2, /, c=3): ...
def only_keyword(*, a, b=2): ...


class Counter:
    def count(self, rows): ...
    def __call__(self, rows): ...


A, B, C = Upstream("a"), Upstream("b"), Upstream("c")


def test_rule_1_a_parameter_named_like_an_upstream_gets_its_result():
    assert made(two, depends_on=["key", "rows"]) == (
        (),
        {"rows": Upstream("rows"), "key": Upstream("key")},
        ("key", "rows"),
    )


def test_rule_1_holds_for_parameters_with_a_default_too():
    assert made(with_default, depends_on=["limit", "rows"])[1]["limit"] == Upstream("limit")


def test_rule_2_one_upstream_left_and_one_parameter_left_belong_together():
    assert made(one, depends_on=["a"])[1] == {"rows": A}
    assert made(with_default, depends_on=["a"])[1] == {"rows": A}
    assert made(two, depends_on=["a"], parameters={"key": 1})[1] == {"rows": A, "key": Literal("1")}
    assert made(two, depends_on=["key", "a"])[1] == {"rows": A, "key": Upstream("key")}


def test_rule_2_does_not_guess_between_two():
    text = problems(two, depends_on=["a", "b"])
    assert "rows, key" in text
    assert ".bind(rows='a')" in text


def test_rule_3_keywords_take_what_is_left_by_name():
    assert made(names, depends_on=["a", "b"])[1] == {"a": A, "b": B}
    assert made(both, depends_on=["a", "first", "b"])[1] == {
        "first": Upstream("first"), "a": A, "b": B,
    }  # fmt: skip


def test_rule_3_positions_take_what_is_left_in_order():
    assert made(stars, depends_on=["b", "a", "c"]) == ((B, A, C), {}, ("b", "a", "c"))


def test_rule_3_defaults_fill_the_places_before_extra_positions():
    def function(first=7, *rest): ...

    assert made(function, depends_on=["a", "b"])[0] == (Literal("7"), A, B)


def test_rule_4_bind_is_explicit_and_wins():
    args, kwargs, upstream = made(
        two, depends_on=["a"], bind={"key": "a", "rows": ref("cfg")["x"][0]}
    )
    assert (args, upstream) == ((), ("a", "cfg"))
    assert kwargs == {"rows": Upstream("cfg", ("x", 0)), "key": A}


def test_rule_4_bind_makes_its_task_an_upstream():
    assert made(one, bind={"rows": "a"})[2] == ("a",)


def test_a_ref_among_parameters_is_a_binding():
    assert made(one, parameters={"rows": ref("a")["k"]})[1:] == (
        {"rows": Upstream("a", ("k",))},
        ("a",),
    )


def test_rule_5_the_same_name_in_parameters_and_upstream_is_an_error():
    assert "both in parameters and an upstream" in problems(
        one, depends_on=["rows"], parameters={"rows": 1}
    )
    assert "both in parameters and in bind" in problems(
        one, parameters={"rows": 1}, bind={"rows": "a"}
    )


def test_rule_6_after_orders_without_data():
    assert made(one, parameters={"rows": 1}, after=["a", "rows"]) == (
        (),
        {"rows": Literal("1")},
        ("a", "rows"),
    )


def test_an_upstream_that_nothing_takes_is_an_error_that_names_after():
    text = problems(with_default, depends_on=["rows", "b"])
    assert "no parameter takes the result of b" in text
    assert ".after('b')" in text


def test_a_required_parameter_without_value_is_an_error():
    assert "required parameters rows, key have no value" in problems(two)


def test_an_unexpected_parameter_is_an_error_with_the_nearest_name():
    assert "no parameter 'row'; did you mean 'rows'?" in problems(
        one, parameters={"row": 1, "rows": 2}
    )
    assert "no parameter 'x'" in problems(one, parameters={"rows": 1}, bind={"x": "a"})
    assert made(names, parameters={"anything": 1})[1] == {"anything": Literal("1")}


def test_positional_only_parameters_are_passed_by_position():
    assert made(only_positional, parameters={"a": 1}) == ((Literal("1"),), {}, ())
    assert made(only_positional, parameters={"a": 1, "b": 5, "c": 6})[:2] == (
        (Literal("1"), Literal("5")),
        {"c": Literal("6")},
    )

    def gap(a=1, b=2, /): ...

    assert made(gap, parameters={"b": 9})[0] == (Literal("1"), Literal("9"))


def test_keyword_only_parameters_are_passed_by_name():
    assert made(only_keyword, depends_on=["x"])[1] == {"a": Upstream("x")}


@pytest.mark.parametrize(
    "function",
    [
        lambda rows: rows,
        Counter().count,
        Counter(),
        functools.partial(two, key=1),
        functools.partial(two, "first"),
        functools.lru_cache(one),
    ],
    ids=["lambda", "method", "object", "partial by name", "partial by place", "decorated"],
)
def test_every_kind_of_callable_is_bound_by_its_signature(function):
    _, kwargs, _ = made(function, depends_on=["a"])
    assert list(kwargs.values()) == [A]


def test_a_class_is_a_callable_like_others():
    class Report:
        def __init__(self, rows): ...

    assert made(Report, depends_on=["a"])[1] == {"rows": A}


def test_builtins_without_signature_take_upstreams_in_order():
    assert made(max, depends_on=["a", "b"]) == ((A, B), {}, ("a", "b"))
    assert made(dict, parameters={"k": 1})[1] == {"k": Literal("1")}


def test_all_that_is_wrong_with_a_task_is_told_together():
    text = problems(
        two, depends_on=["rows"], parameters={"rows": 1, "kee": 2}, timeout="soon", cpus=2
    )
    for words in ("both in parameters", "did you mean 'key'", "not a duration", "'cpus'"):
        assert words in text


def test_names_are_told_apart_from_lists_of_names():
    assert "no name of a task" in problems(one, depends_on=[["a", "b"]])
    assert "plain values go into parameters" in problems(one, bind={"rows": 5})


def test_a_ref_can_be_followed_but_not_walked():
    with pytest.raises(DefinitionError):
        ref("a")[1.5]
    with pytest.raises(DefinitionError):
        ref("a")[True]
    with pytest.raises(TypeError):
        list(ref("a"))
    with pytest.raises(DefinitionError):
        ref(5)
    assert repr(ref("a")["k"][0]) == "ref('a')['k'][0]"
