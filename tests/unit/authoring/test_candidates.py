"""candidates: which of several workflows is the one that was recorded."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.authoring.candidates import are_same, chosen
from durable_wf.core.definition import FunctionRef, Literal, Task, Undo, Workflow
from durable_wf.errors import NotFound


def flow(name="w", value="1", code="code", task="a", function=len):
    made = Task(task, FunctionRef("f", "m", "", code), kwargs=(("x", Literal(value)),))
    return Workflow(name, (made,), functions={task: function})


def picked(recorded, *found, **more):
    return chosen(recorded, found, "s.py", **more)


def test_the_one_of_the_same_code_and_inputs_is_taken():
    same = flow()
    others = [flow(code="x"), flow(value="2"), flow(name="v"), flow(task="b")]
    assert picked(flow(), *others, same) is same


def test_of_the_same_code_another_input_does_not_matter():
    """A run keeps the values that it was given; they may be computed anew each time."""
    same = flow(value="2")
    assert picked(flow(), flow(code="x"), same) is same


def test_the_only_one_of_the_structure_is_taken_though_its_code_has_changed():
    changed = flow(code="new")
    assert picked(flow(), changed) is changed
    assert picked(flow(), changed, flow(code="new")) is changed, "they are the same"


def test_the_only_one_of_the_name_is_taken_though_its_graph_has_changed():
    changed = flow(task="b")
    assert picked(flow(), flow(name="v"), changed) is changed


@pytest.mark.parametrize("others", [("y", "z"), ("y", "y", "z")])
def test_several_that_differ_in_code_are_not_chosen_from(others):
    with pytest.raises(NotFound, match=r"s.py makes several workflows 'w', and none has the code"):
        picked(flow(), *(flow(code=code) for code in others))


def test_where_it_has_to_be_exact_changed_code_is_not_taken():
    with pytest.raises(NotFound, match=r"does not define workflow 'w' any more"):
        picked(flow(), flow(code="new"), exact=True)
    same = flow()
    assert picked(flow(), same, exact=True) is same


def test_one_of_another_name_is_never_taken():
    with pytest.raises(NotFound, match=r"\(it has: 'v', 'u'\)"):
        picked(flow(), flow(name="v"), flow(name="u"))


def test_what_looks_the_same_and_calls_other_functions_is_not_chosen_from():
    """What differs between two such closures is not seen."""
    one, other = flow(function=lambda: 1), flow(function=lambda: 2)
    with pytest.raises(NotFound, match="whose code looks the same"):
        picked(flow(), one, other)
    assert picked(flow(), one, attrs.evolve(one)) is one
    assert picked(flow(), other, ran=[one]) is one, "that is the one that the script runs"


def undone(code, undo=len):
    """A workflow whose task has a compensation of this code."""
    made = flow()
    (task,) = made.tasks
    task = attrs.evolve(task, undo=Undo("m:undo"), beside=(("compensation", code),))
    return attrs.evolve(made, tasks=(task,), companions={("a~undo", "m:undo"): undo})


def test_of_the_same_code_that_with_the_same_companions_is_taken():
    same = undone("old")
    assert picked(undone("old"), undone("new", max), same) is same
    changed = undone("new")
    assert picked(undone("old"), changed) is changed, "whoever asked judges what has changed"


def test_what_has_other_companions_that_look_the_same_is_not_chosen_from():
    with pytest.raises(NotFound, match="whose code looks the same"):
        picked(undone("old"), undone("old", lambda: 1), undone("old", lambda: 2))


def closure(value, *, kept=()):
    def work(x=kept):
        return value, x

    return work


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (len, len, True),
        (len, max, False),
        (closure(1), closure(1), True),
        (closure("a"), closure("a"), True),
        (closure(1), closure(2), False),
        (closure(1), closure(1.0), False),
        (closure(len), closure(len), True),
        (closure([1]), closure([1]), False),
        (closure(closure(1)), closure(closure(1)), True),
        (closure(1, kept=7), closure(1, kept=7), True),
        (closure(1, kept=7), closure(1, kept=8), False),
        (lambda: 1, lambda: 1, False),
    ],
)
def test_functions_are_the_same_that_were_made_of_the_same(one, other, same):
    """Of two lists that are equal now one may be changed later."""
    assert are_same(one, other) is same


def test_functions_that_have_captured_themselves_come_to_an_end():
    def made():
        def work(n):
            return n and work(n - 1)

        return work

    one = made()
    assert are_same(one, one)
    assert not are_same(one, made())


class Bound:
    def work(self): ...


def test_methods_of_one_object_are_the_same():
    bound = Bound()
    one = flow(function=bound.work)
    assert picked(flow(), one, flow(function=bound.work)) is one
    with pytest.raises(NotFound):
        picked(flow(), one, flow(function=Bound().work))
