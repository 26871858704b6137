"""anew: recorded values, today's code: the definition that a new run of an old one follows."""

from __future__ import annotations

import attrs
from strategies import task, workflow

from durable_wf.core.definition import FunctionRef, Literal, Undo, Upstream
from durable_wf.engine.anew import renewed, with_stored_code_of


def given(name, *upstream, code="old", **values):
    """A task with values by name; what begins with a task's name comes from it."""
    sources = tuple(
        (key, Upstream(value) if value in upstream else Literal(value))
        for key, value in values.items()
    )
    function = FunctionRef(name, module="m", fingerprint=code)
    return attrs.evolve(task(name, *upstream), kwargs=sources, function=function)


RECORDED = workflow(given("a", day='"monday"', n="1"), given("b", "a", rows="a", limit="5"))


def whole(flow, **functions):
    return attrs.evolve(flow, functions=functions or {"a": abs, "b": min})


def test_without_a_script_it_is_what_was_recorded():
    loaded = whole(RECORDED)
    assert renewed(RECORDED, loaded, None).workflow is loaded


def test_recorded_values_stay_and_what_the_script_gives_instead_is_said():
    today = workflow(
        given("a", day='"tuesday"', n="1"), given("b", "a", rows="a", limit="5", code="new")
    )
    found = renewed(RECORDED, whole(today), whole(today))
    assert found.kept == ("a.day",)
    assert dict(found.workflow.tasks[0].kwargs)["day"] == Literal('"monday"')
    assert found.workflow.tasks[1].function.fingerprint == "new"


def test_tuning_is_that_of_today():
    tasks = tuple(attrs.evolve(one, timeout_s=7.0, priority=2) for one in RECORDED.tasks)
    today = attrs.evolve(RECORDED, tasks=tasks, description="new")
    found = renewed(RECORDED, whole(RECORDED), whole(today))
    assert {one.timeout_s for one in found.workflow.tasks} == {7.0}
    assert found.workflow.description == "new"


def test_tasks_in_another_order_are_numbered_as_before():
    today = attrs.evolve(RECORDED, tasks=tuple(reversed(RECORDED.tasks)))
    found = renewed(RECORDED, whole(RECORDED), whole(today))
    assert [one.name for one in found.workflow.tasks] == ["a", "b"]
    assert found.workflow == RECORDED


def test_a_script_that_has_changed_gives_the_graph_and_new_values():
    today = workflow(
        given("a", day='"tuesday"', n="2", more="3"), given("b", "a", rows="a"), given("c", "b")
    )
    found = renewed(RECORDED, whole(RECORDED), whole(today, a=abs, b=min, c=max))
    assert [one.name for one in found.workflow.tasks] == ["a", "b", "c"]
    assert dict(found.workflow.tasks[0].kwargs) == {
        "day": Literal('"monday"'), "n": Literal("1"), "more": Literal("3"),
    }  # fmt: skip
    assert found.kept == ("a.day", "a.n")
    assert set(found.workflow.functions) == {"a", "b", "c"}


def test_a_value_that_now_comes_from_a_task_does():
    today = workflow(given("a", day='"monday"', n="1"), given("b", "a", rows="a", limit="a"))
    found = renewed(RECORDED, whole(RECORDED), whole(today))
    assert dict(found.workflow.tasks[1].kwargs)["limit"] == Upstream("a")
    assert found.kept == ()


def test_code_that_is_stored_by_value_is_not_stored_again_while_it_is_the_same():
    stored = FunctionRef("<lambda>", fingerprint="f", by_value="0" * 32 + ":0", python="3.11")
    recorded = workflow(attrs.evolve(task("a"), function=stored))
    same = workflow(attrs.evolve(task("a"), function=FunctionRef("<lambda>", fingerprint="f")))
    other = workflow(attrs.evolve(task("a"), function=FunctionRef("<lambda>", fingerprint="g")))
    in_file = workflow(attrs.evolve(task("a"), function=FunctionRef("x", "m", fingerprint="f")))
    assert with_stored_code_of(recorded, same) == recorded
    assert with_stored_code_of(recorded, other) is not recorded
    assert with_stored_code_of(recorded, other) == other
    assert with_stored_code_of(recorded, in_file) == in_file


def test_stored_code_is_stored_anew_with_another_companion():
    """The companions of a notebook's tasks are stored together with these."""
    stored = FunctionRef("<lambda>", fingerprint="f", by_value="0" * 32 + ":0", python="3.11")
    undo, ref = Undo("m:undo"), FunctionRef("<lambda>", fingerprint="f")
    recorded, same, other = (
        workflow(attrs.evolve(task("a"), function=one, undo=undo, beside=(("compensation", code),)))
        for one, code in ((stored, "old"), (ref, "old"), (ref, "new"))
    )
    assert with_stored_code_of(recorded, same) == recorded
    assert with_stored_code_of(recorded, other) is other


def test_a_compensation_is_given_the_recorded_values_too():
    """What is taken back was done with these."""
    old, new = (
        Undo("m:undo", (Literal(day),), (("day", Literal(day)), ("rows", Upstream("a"))))
        for day in ('"monday"', '"tuesday"')
    )
    recorded = workflow(attrs.evolve(given("a", day='"monday"'), undo=old))
    today = workflow(attrs.evolve(given("a", day='"tuesday"'), undo=new))
    today = attrs.evolve(whole(today), companions={("a~undo", "m:undo"): len})
    found = renewed(recorded, whole(recorded), today).workflow
    assert found.tasks[0].undo == old
    assert found.companions == {("a~undo", "m:undo"): len}


def test_a_compensation_that_is_new_has_the_values_of_today():
    undo = Undo("m:undo", (Literal('"tuesday"'),))
    recorded = workflow(given("a", day='"monday"'))
    today = workflow(attrs.evolve(given("a", day='"monday"'), undo=undo))
    found = renewed(recorded, whole(recorded), whole(today)).workflow
    assert found.tasks[0].undo == undo
