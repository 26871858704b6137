"""descent: what a new run takes over from another one, and what it runs again."""

from __future__ import annotations

import attrs
from histories_of import CLAIMED, CREATED, STARTED, begun, broke, recorded
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core.definition import Literal, PayloadRef, Undo, Upstream
from durable_wf.core.descent import Again, TakenBack, ancestor_of, descend
from durable_wf.core.status import RunStatus, TaskStatus


def fed(name, *upstream, **fields):
    """A task that is given the results of those before it."""
    given = tuple((up, Upstream(up)) for up in upstream)
    return attrs.evolve(task(name, *upstream, **fields), kwargs=given)


DIAMOND = workflow(fed("a"), fed("b", "a"), fed("c", "a"), fed("d", "b", "c"))


def gave(name, value='"v"', attempt=1):
    return [begun(name, attempt), e.AttemptSucceeded(name, attempt, value, 10, 20)]


def gone(name, *more, keep_going=True):
    """A task that failed, but not the run."""
    failed = e.TaskFailed(name, "default", "boom", keep_going=keep_going)
    return [begun(name), broke(name), failed, *more]


def after(flow, *events, upto=None, run_id="r"):
    created = attrs.evolve(CREATED, workflow=flow.name, total=len(flow.tasks))
    history = recorded(created, CLAIMED, STARTED, *events)
    return ancestor_of(run_id, flow, history, len(history) if upto is None else upto)


def names(descent):
    return [one.task for one in descent.imports]


def test_what_succeeded_is_taken_over_in_the_order_in_which_it_did():
    past = after(DIAMOND, *gave("a"), *gave("c", "2"), *gave("b", "1"))
    found = descend(past, DIAMOND)
    assert [(one.task, one.value, one.origin) for one in found.imports] == [
        ("a", '"v"', "r"), ("c", "2", "r"), ("b", "1", "r"),
    ]  # fmt: skip
    assert found.again == {"d": Again.UNFINISHED}


def test_results_are_taken_over_by_reference():
    ref = PayloadRef("0" * 32, 5, file=True)
    (one,) = descend(after(DIAMOND, *gave("a", ref)), DIAMOND).imports
    assert (one.ref, one.value, one.stored) == (ref, "", ref)


def test_what_failed_or_was_skipped_or_cancelled_runs_again():
    drain = e.RunDraining(RunStatus.FAILED, "boom", cause_task="b")
    past = after(
        DIAMOND, *gave("a"), begun("c"), begun("b"), broke("b"), e.TaskFailed("b", "default", "x"),
        drain, broke("c"), e.TaskCancelled("c", "the run drains"),
        e.TasksClosed(TaskStatus.SKIPPED, 1, "x"), e.RunFailed("boom"),
    )  # fmt: skip
    found = descend(past, DIAMOND)
    assert names(found) == ["a"]
    assert found.again == {"b": Again.FAILED, "c": Again.CANCELLED, "d": Again.SKIPPED}


def test_all_ways_to_succeed_count():
    flow = workflow(fed("a"), fed("b"), fed("c"))
    past = after(
        flow, e.TaskImported("a", "before", "1"), begun("b"), broke("b"),
        e.TaskFellBack("b", "2", "fallback", "boom"), begun("c"), broke("c"),
        e.TaskEscalated("c", "?", "ask", "boom"), e.TaskCompleted("c", "3", "answered"),
    )  # fmt: skip
    found = descend(past, flow)
    assert [(one.task, one.stored, one.origin) for one in found.imports] == [
        ("a", "1", "before"), ("b", "2", "r"), ("c", "3", "r"),
    ]  # fmt: skip
    assert not found.again


def test_what_is_asked_for_runs_again_with_all_that_comes_after_it():
    flow = workflow(fed("a"), task("b", "a"), fed("c"), fed("d", "c"))
    past = after(flow, *gave("a"), *gave("b"), *gave("c"), *gave("d"))
    found = descend(past, flow, asked={"a"})
    assert (names(found), found.again) == (["c", "d"], {"a": Again.ASKED, "b": Again.AFTER})
    found = descend(past, flow, asked={"a"}, given={"c"})
    assert found.again["c"] is Again.GIVEN
    assert not found.imports


def test_a_lost_result_is_made_again_with_what_was_given_it():
    """What was made of the lost one might not be what the new one gives."""
    flow = workflow(fed("a"), fed("b", "a"), task("c", "a"))
    past = after(flow, *gave("a"), *gave("b"), *gave("c"))
    found = descend(past, flow, lost={"a"})
    assert (names(found), found.again) == (["c"], {"a": Again.LOST, "b": Again.AFTER})


def test_what_did_without_a_failed_one_is_made_again_only_where_it_was_given_it():
    flow = workflow(fed("a", optional=True), fed("b", "a"), task("c", "a"), fed("d", "b"))
    past = after(flow, *gone("a", keep_going=False), *gave("b"), *gave("c"), *gave("d"))
    found = descend(past, flow)
    assert names(found) == ["c"]
    assert found.again == {"a": Again.FAILED, "b": Again.AFTER, "d": Again.AFTER}


# --- another definition ---------------------------------------------------------------------------


def test_of_a_changed_workflow_what_the_change_does_not_concern_is_taken_over():
    past = after(DIAMOND, *gave("a"), *gave("b"), *gave("c"), *gave("d"))
    changed = workflow(fed("a"), fed("b", "a"), fed("x", "b"), fed("d", "b", "c"), fed("c", "a"))
    found = descend(past, changed)
    assert (names(found), found.again) == (["a", "b", "c", "d"], {"x": Again.NEW})
    changed = workflow(fed("a"), fed("b", "a"), fed("c"), fed("d", "b", "c"))
    found = descend(past, changed)
    assert (names(found), found.again) == (["a", "b"], {"c": Again.CHANGED, "d": Again.AFTER})
    assert names(descend(past, workflow(fed("c")))) == []
    assert names(descend(past, workflow(fed("a")))) == ["a"]


def test_another_value_given_by_the_definition_is_a_change_and_another_order_is_none():
    old = attrs.evolve(
        workflow(fed("a"), fed("b")),
        tasks=(
            attrs.evolve(fed("a"), kwargs=(("x", Literal("1")), ("y", Literal("2")))),
            fed("b"),
        ),
    )
    past = after(old, *gave("a"), *gave("b"))
    same = attrs.evolve(old, tasks=(fed("b"), attrs.evolve(old.tasks[0], priority=3)))
    swapped = tuple(reversed(old.tasks[0].kwargs))
    same = attrs.evolve(same, tasks=(fed("b"), attrs.evolve(same.tasks[1], kwargs=swapped)))
    assert not descend(past, same).again
    other = attrs.evolve(old.tasks[0], kwargs=(("x", Literal("1")), ("y", Literal("3"))))
    found = descend(past, attrs.evolve(old, tasks=(other, fed("b"))))
    assert found.again == {"a": Again.CHANGED}


# --- compensations --------------------------------------------------------------------------------

SAGA = workflow(
    fed("a", undo=Undo("m:undo", (Upstream("a"),))),
    fed("b", undo=Undo("m:undo", (Upstream("b"),))),
    fed("c"),
)
UNDOING = [
    *gave("a"), *gave("b"), begun("c"), broke("c"), e.TaskFailed("c", "default", "x"),
    e.RunDraining(RunStatus.FAILED, "x", cause_task="c", compensate=True),
    e.TasksAdded((("b~undo", "b"), ("a~undo", "a")), "compensate"),
]  # fmt: skip


def test_what_was_taken_back_runs_again():
    past = after(SAGA, *UNDOING, *gave("b~undo"), *gave("a~undo"), e.RunFailed("x"))
    found = descend(past, SAGA)
    assert found.again == {"a": Again.UNDONE, "b": Again.UNDONE, "c": Again.FAILED}
    assert past.results.keys() == {"a", "b"}


def test_what_was_not_taken_back_yet_stands():
    past = after(SAGA, *UNDOING)
    assert names(descend(past, SAGA)) == ["a", "b"]
    past = after(SAGA, *UNDOING, begun("b~undo"))
    assert names(descend(past, SAGA)) == ["a"]
    past = after(SAGA, *UNDOING, begun("b~undo"), e.AttemptReturned("b~undo", 1))
    assert names(descend(past, SAGA)) == ["a", "b"]


def test_what_was_taken_back_later_runs_again_in_a_run_as_of_any_event_before():
    """Its result speaks of an effect that is no more."""
    events = (*UNDOING, begun("b~undo"))
    both_done = 3 + len(gave("a")) + len(gave("b"))
    past = after(SAGA, *events, upto=both_done)
    assert past.results.keys() == {"a", "b"}
    found = descend(past, SAGA)
    assert (names(found), found.again["b"]) == (["a"], Again.UNDONE)
    returned = (*events, e.AttemptReturned("b~undo", 1))
    assert names(descend(after(SAGA, *returned, upto=both_done), SAGA)) == ["a", "b"]
    by_a_person = (*UNDOING, e.TaskCompleted("b~undo", "1", "I did"))
    taken_back = TakenBack("r")
    for event in by_a_person:
        taken_back.note(event)
    assert taken_back.among(past.results) == {"b"}


def test_an_effect_is_that_of_the_run_that_did_it():
    """What a run has taken over it takes back as well; what it did anew is another effect."""
    past = after(SAGA, *gave("a"), *gave("b"))
    for imports, undone in (((e.TaskImported("b", "r", "1"),), {"b"}), (gave("b"), set())):
        other = TakenBack("r.f1")
        for event in (*imports, begun("b~undo")):
            other.note(event)
        assert other.among(past.results) == undone


def test_a_substitute_is_taken_over_as_one():
    """There is no effect that a compensation of the new run could take back."""
    past = after(
        SAGA, *gave("a"), begun("b"), broke("b"), e.TaskFellBack("b", "2", "fallback", "boom")
    )
    assert [(one.task, one.fallback) for one in descend(past, SAGA).imports] == [
        ("a", False), ("b", True),
    ]  # fmt: skip
    again = after(SAGA, *descend(past, SAGA).imports, run_id="r.2")
    assert again.state.completed == [0]
    assert [(one.task, one.origin, one.fallback) for one in descend(again, SAGA).imports] == [
        ("a", "r", False), ("b", "r", True),
    ]  # fmt: skip


# --- heartbeats -----------------------------------------------------------------------------------


def said(name, *details, attempt=1, given=""):
    """A task fails, after these heartbeats."""
    begun_with = attrs.evolve(begun(name, attempt), detail=given)
    return [begun_with, attrs.evolve(broke(name, attempt), detail=details[-1] if details else "")]


def gives_up(name):
    return e.TaskFailed(name, "default", "boom", keep_going=True)


def test_what_is_tried_again_goes_on_from_its_last_heartbeat():
    flow = workflow(fed("a"), fed("b", "a"), fed("c"))
    past = after(flow, *gave("a"), *said("b", "1", "2"), gives_up("b"), *said("c"), gives_up("c"))
    assert descend(past, flow).details == {"b": "2"}


def test_a_heartbeat_outlives_attempts_and_runs_that_said_nothing():
    flow = workflow(fed("a"))
    again = e.TaskRetryScheduled("a", 4, "rule", "because"), e.TaskWoken("a")
    past = after(flow, *said("a", "1"), *again, *said("a", attempt=2, given="1"), gives_up("a"))
    assert descend(past, flow).details == {"a": "1"}
    created = attrs.evolve(CREATED, workflow=flow.name, total=1, details=(("a", "1"),))
    never_begun = recorded(created, CLAIMED, STARTED)
    assert descend(ancestor_of("r.2", flow, never_begun, 3), flow).details == {"a": "1"}


def test_what_has_a_result_has_no_heartbeat_to_go_on_from():
    flow = workflow(fed("a"))
    again = e.TaskRetryScheduled("a", 4, "rule", "because"), e.TaskWoken("a")
    past = after(flow, *said("a", "1"), *again, *gave("a", attempt=2))
    assert descend(past, flow, asked={"a"}).details == {}
    assert descend(past, flow, lost={"a"}).details == {}


def test_what_is_asked_for_or_given_other_values_begins_anew():
    """How far it was says nothing about other values; and who asks for it wants the whole."""
    flow = workflow(fed("a"), fed("b", "a"))
    past = after(flow, *gave("a"), *said("b", "2"), gives_up("b"))
    assert descend(past, flow).details == {"b": "2"}
    assert descend(past, flow, asked={"b"}).details == {}
    assert descend(past, flow, given={"b"}).details == {}
    assert descend(past, flow, asked={"a"}).details == {}
    assert descend(past, flow, lost={"a"}).details == {}


def test_what_another_function_said_is_not_for_the_task():
    flow = workflow(fed("a"))
    instead = e.TaskFallbackScheduled("a", "jobs:other", "rule", "because")
    past = after(flow, *said("a", "1"), instead, *said("a", "9", attempt=2), gives_up("a"))
    assert descend(past, flow).details == {"a": "1"}


# --- a point in the past --------------------------------------------------------------------------


def test_only_what_had_happened_by_then_counts():
    events = [*gave("a"), *gave("b"), *gave("c")]
    found = [names(descend(after(DIAMOND, *events, upto=n), DIAMOND)) for n in range(3, 10)]
    assert found == [[], [], ["a"], ["a"], ["a", "b"], ["a", "b"], ["a", "b", "c"]]
