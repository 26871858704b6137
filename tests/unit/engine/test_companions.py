"""companions: where probes and compensations come from, and which of them a run may need."""

from __future__ import annotations

import textwrap

import attrs
import pytest
from histories_of import CLAIMED, CREATED, STARTED, begun, broke, done
from histories_of import state_after as after
from strategies import task, workflow

from durable_wf.authoring.fingerprint import fingerprint
from durable_wf.core import events as e
from durable_wf.core.definition import Literal, Undo, Upstream
from durable_wf.core.status import FaultKind, InDoubt, RunStatus, TaskStatus
from durable_wf.engine.companions import (
    companions_of,
    places,
    refuse_lost,
    with_companions_of,
    with_imported,
)
from durable_wf.errors import NotFound

UNDO = Undo("jobs:undo", (Upstream("a"),))
PROBED = {"in_doubt": InDoubt.PROBE, "probe": "jobs:probe"}
FLOW = workflow(task("a", undo=UNDO), task("b", "a", **PROBED))
A_UNDO, B_PROBE = ("a~undo", "jobs:undo"), ("b", "jobs:probe")
BEGUN = (CREATED, CLAIMED, STARTED)
ADDED = e.TasksAdded((("a~undo", "a"),), "compensate")
A_DONE = (*BEGUN, begun(), done())
B_FAILED = (*A_DONE, begun("b"), broke("b"), e.TaskFailed("b", "rule", "because"))
TAKES_BACK = e.RunDraining(RunStatus.FAILED, "b", cause_task="b", compensate=True)
LEAVES = e.RunDraining(RunStatus.CANCELLED, "ann", "ann")
UNDOING = (*B_FAILED, TAKES_BACK, ADDED)
UNDONE = (*UNDOING, begun("a~undo"), done("a~undo"))


def lacks(*events, known=()):
    """What the run in this state lacks, if these companions are at hand."""
    try:
        refuse_lost(after(*events, workflow=FLOW), dict.fromkeys(known, len))
    except NotFound as error:
        return error.message
    return ""


def test_a_definition_names_the_places_of_its_companions_in_its_order():
    assert list(places(FLOW)) == [A_UNDO, B_PROBE]
    both = workflow(task("a", undo=UNDO, **PROBED))
    assert list(places(both)) == [("a", "jobs:probe"), A_UNDO]


def test_those_that_the_workflow_carries_come_first_others_are_imported():
    flow = workflow(task("a", undo=Undo("math:sqrt")), task("b", undo=Undo("math:floor")))
    carried = attrs.evolve(flow, companions={("a~undo", "math:sqrt"): len})
    found = companions_of(carried)
    assert found["a~undo", "math:sqrt"] is len
    assert found["b~undo", "math:floor"].__name__ == "floor"


@pytest.mark.parametrize(
    "label",
    ["__main__:f", "math:<lambda>", "no_such_module_anywhere:f", "math:nothing", "math:pi", "f"],
)
def test_what_no_module_gives_is_not_found(label):
    assert companions_of(workflow(task("a", undo=Undo(label)))) == {}


@pytest.mark.parametrize(
    ("events", "known", "words"),
    [
        (BEGUN, (A_UNDO, B_PROBE), ""),
        (BEGUN, (B_PROBE,), "the compensation of task 'a', jobs:undo, is not at hand"),
        (BEGUN, (A_UNDO,), "the probe of task 'b', jobs:probe, is not at hand"),
        (A_DONE, (B_PROBE,), "the compensation of task 'a'"),
        (B_FAILED, (A_UNDO,), ""),
        ((*B_FAILED, TAKES_BACK), (), "the compensation of task 'a'"),
        (UNDOING, (), "the compensation of task 'a'"),
        (UNDONE, (), ""),
        ((*BEGUN, begun(), done(), LEAVES, e.TasksClosed(TaskStatus.CANCELLED, 1, "x")), (), ""),
        ((*BEGUN, begun(), broke(), e.TaskFailed("a", "rule", "x"), TAKES_BACK), (B_PROBE,), ""),
    ],
)
def test_a_run_needs_what_it_may_come_to_call(events, known, words):
    """The compensation of a task that may succeed yet, or has and is not taken back; the probe of
    one that has not ended.
    """
    told = lacks(*events, known=known)
    assert (words in told) if words else not told


def test_the_error_says_what_to_do():
    with pytest.raises(NotFound) as raised:
        refuse_lost(after(*BEGUN, workflow=FLOW), {})
    assert "module jobs" in raised.value.message
    assert "engine.resume('r', workflow=workflow)" in raised.value.hint


def test_a_probe_that_is_under_way_is_needed_though_the_task_has_none_any_more():
    events = (*BEGUN, begun(), e.AttemptFailed("a", 1, e.Fault(FaultKind.LOST, "gone")))
    scheduled = e.TaskProbeScheduled("a", "jobs:gone", "in doubt: probe", "because")
    state = after(*events, scheduled, workflow=workflow(task("a"), task("b", "a")))
    with pytest.raises(NotFound, match="jobs:gone"):
        refuse_lost(state, {})


# --- those that were loaded anew ------------------------------------------------------------------


def test_loaded_companions_come_with_the_labels_and_arguments_that_they_have_now():
    undo = Undo("elsewhere:undo", (Literal("1"),))
    loaded = attrs.evolve(
        workflow(task("a", undo=undo), task("b", "a", in_doubt=InDoubt.PROBE, probe="x:probe")),
        companions={("a~undo", "elsewhere:undo"): len},
    )
    found = with_companions_of(FLOW, [loaded])
    assert found.tasks[0].undo == undo
    assert found.tasks[1].probe == "x:probe"
    assert found.companions == loaded.companions


def test_loaded_companions_come_with_the_fingerprints_that_they_have_now():
    known, fresh = (("compensation", "c1"),), (("compensation", "c2"),)
    recorded = workflow(
        task("a", undo=UNDO, beside=known), task("b", beside=(("fallback m:f", "1"),))
    )
    loaded = workflow(
        task("a", undo=UNDO, beside=fresh), task("b", beside=(("fallback m:f", "2"),))
    )
    found = with_companions_of(recorded, [attrs.evolve(loaded, beside=(("fallback m:g", "3"),))])
    assert [one.beside for one in found.tasks] == [one.beside for one in loaded.tasks]
    assert found.beside == (("fallback m:g", "3"),)


def test_what_a_module_gives_is_fingerprinted_as_it_is_today():
    beside = (("compensation", "as it was"), ("fallback m:f", "kept"))
    flow = workflow(task("a", undo=Undo("textwrap:dedent"), beside=beside), task("b"))
    found = with_imported(flow)
    assert found.companions["a~undo", "textwrap:dedent"] is textwrap.dedent
    assert found.tasks[0].beside == (("compensation", fingerprint(textwrap.dedent)), beside[1])
    carried = attrs.evolve(flow, companions={("a~undo", "textwrap:dedent"): len})
    assert with_imported(carried) is carried


def test_what_was_recorded_without_a_fingerprint_is_given_none():
    flow = workflow(task("a", undo=Undo("textwrap:dedent")))
    assert with_imported(flow).tasks[0].beside == ()


def test_what_a_run_was_recorded_without_is_not_given_to_it():
    plain = workflow(task("a"), task("b", "a"))
    assert with_companions_of(plain, [FLOW]).tasks == plain.tasks
    assert with_companions_of(FLOW, [plain]).tasks == FLOW.tasks
