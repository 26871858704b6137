"""known: definitions that many runs share are read and written once."""

from __future__ import annotations

import attrs
from strategies import task, workflow

from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.engine import known
from durable_wf.engine.known import Known, Newest, Written

A_THEN_B = workflow(task("a"), task("b", "a"))


def test_the_last_values_are_kept():
    newest, made = Newest(most=2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        assert newest.get(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b", "c", "b"]


def test_a_definition_is_written_once_for_all_runs_of_it():
    known = Known()
    first = known.written(A_THEN_B)
    assert known.written(A_THEN_B) is first
    assert first.data == A_THEN_B.to_json().encode()
    assert first.graph.names == ("a", "b")
    assert first.structure == structure_digest(A_THEN_B)
    assert first.inputs == inputs_digest(A_THEN_B)
    assert first.code == code_digest(A_THEN_B)


def test_another_definition_is_another_one_though_the_first_is_gone():
    """Also where it is equal, or has got the place in memory of one that is gone."""
    known = Known()
    for number in range(100):
        other = attrs.evolve(A_THEN_B, name=f"w{number}")
        assert known.written(other).workflow is other


def test_large_definitions_are_not_kept(monkeypatch):
    monkeypatch.setattr(known, "SMALL", 1)
    all_known = Known()
    first = all_known.written(A_THEN_B)
    assert first.data == Written.of(A_THEN_B).data
    assert all_known.written(A_THEN_B) is not first
