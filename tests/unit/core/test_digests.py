"""The three digests: what must change them, and what must not."""

from __future__ import annotations

import attrs
import pytest

from durable_wf.core.definition import (
    FunctionRef,
    Literal,
    Task,
    Undo,
    Upstream,
    WaitFor,
    Workflow,
)
from durable_wf.core.digests import code_digest, fingerprints, inputs_digest, structure_digest
from durable_wf.core.resources import Resources
from durable_wf.core.status import Otherwise, WaitKind

F = FunctionRef("f", "mod", "", "abc")
A = Task("a", F, kwargs=(("x", Literal("1")),))
B = Task("b", F, upstream=("a",), args=(Upstream("a", ("k",)),))
BASE = Workflow("w", (A, B))
OTHER_CODE = FunctionRef("f", "mod", "", "def")


def digests(workflow: Workflow) -> tuple[str, str, str]:
    return structure_digest(workflow), inputs_digest(workflow), code_digest(workflow)


def changed(workflow: Workflow) -> set[str]:
    names = ("structure", "inputs", "code")
    pairs = zip(names, digests(BASE), digests(workflow), strict=True)
    return {name for name, before, after in pairs if before != after}


def of(*tasks: Task) -> Workflow:
    return Workflow("w", tasks)


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        (Workflow("other", (A, B)), {"structure"}),
        (of(attrs.evolve(A, kwargs=(("x", Literal("2")),)), B), {"inputs"}),
        (of(attrs.evolve(A, kwargs=(("y", Literal("1")),)), B), {"structure", "inputs"}),
        (of(A, attrs.evolve(B, args=(Upstream("a", ("j",)),))), {"structure"}),
        (of(A, attrs.evolve(B, upstream=())), {"structure"}),
        (of(A, attrs.evolve(B, optional=True)), {"structure"}),
        (of(A, attrs.evolve(B, function=OTHER_CODE)), {"code"}),
        (of(A, attrs.evolve(B, name="c")), {"structure", "code"}),
        (of(A), {"structure", "code"}),
        (of(attrs.evolve(A, undo=Undo("m:f")), B), {"structure"}),
        (of(attrs.evolve(A, undo=Undo("m:f", (Literal("1"),))), B), {"structure", "inputs"}),
    ],
)
def test_a_difference_shows_in_the_digests_it_belongs_to(workflow, expected):
    assert changed(workflow) == expected


@pytest.mark.parametrize(
    "workflow",
    [
        of(B, A),
        attrs.evolve(BASE, description="text", tags=("x",), metadata=(("k", "v"),)),
        of(A, attrs.evolve(B, resources=Resources(cpu=2.0), priority=3, timeout_s=5.0)),
        of(A, attrs.evolve(B, description="text", estimate_s=1.0, tags=("t",))),
        of(A, attrs.evolve(B, function=attrs.evolve(F, module="elsewhere", qualname="g"))),
        Workflow.from_json(BASE.to_json()),
    ],
)
def test_what_only_tunes_or_tells_is_in_no_digest(workflow):
    assert changed(workflow) == set()


def test_a_value_cannot_pass_for_another_one_by_its_place():
    """Values are told apart by task and parameter, not only by what they are."""
    one = of(Task("a", F, kwargs=(("x", Literal("1")), ("y", Literal("2")))))
    two = of(Task("a", F, kwargs=(("x", Literal("2")), ("y", Literal("1")))))
    assert inputs_digest(one) != inputs_digest(two)


def test_code_without_fingerprint_is_told_by_its_name():
    nameless = of(Task("a", FunctionRef("f", "mod")), Task("b", FunctionRef("g", "mod")))
    assert fingerprints(nameless) == {"a": "mod:f", "b": "mod:g"}


def test_compensations_are_told_apart_by_what_they_are_given_not_by_where_they_are():
    a = of(attrs.evolve(A, undo=Undo("m:f", (Literal("1"),), (("x", Upstream("a")),))))
    moved = of(attrs.evolve(A, undo=Undo("n:g", (Literal("1"),), (("x", Upstream("a")),), ("r",))))
    others = of(attrs.evolve(A, undo=Undo("m:f", (Literal("1"),), (("y", Upstream("a")),))))
    value = of(attrs.evolve(A, undo=Undo("m:f", (Literal("2"),), (("x", Upstream("a")),))))
    assert digests(a) == digests(moved)
    assert structure_digest(a) != structure_digest(others)
    assert (structure_digest(a), inputs_digest(a)) == (structure_digest(value), inputs_digest(a))
    assert inputs_digest(a) != inputs_digest(value)


ASKS = Task("b", FunctionRef("x"), ("a",), wait=WaitFor(WaitKind.APPROVAL, question="now?"))
TAKES = Task("b", FunctionRef("x"), ("a",), wait=WaitFor(WaitKind.SIGNAL, "go"))


def test_what_a_task_waits_for_is_structure():
    """Which kind of thing, and which signal; and that it waits at all."""
    digests = [
        structure_digest(of(A, b))
        for b in (
            Task("b", FunctionRef("x"), ("a",)),
            ASKS,
            TAKES,
            attrs.evolve(TAKES, wait=WaitFor(WaitKind.SIGNAL, "stop")),
            attrs.evolve(ASKS, optional=True),
            attrs.evolve(ASKS, upstream=()),
        )
    ]
    assert len(set(digests)) == len(digests)


def test_how_it_asks_and_how_long_it_waits_is_tuning():
    other = WaitFor(
        WaitKind.APPROVAL, "", "later?", "ann", 5.0, None, Otherwise.SKIP, Otherwise.SKIP
    )
    assert digests(of(A, ASKS)) == digests(of(A, attrs.evolve(ASKS, wait=other)))
    short, long = WaitFor(WaitKind.SLEEP, timeout_s=1.0), WaitFor(WaitKind.SLEEP, until=7)
    assert digests(of(A, attrs.evolve(ASKS, wait=short))) == digests(
        of(A, attrs.evolve(ASKS, wait=long))
    )
