"""known: definitions that many runs share are read and written once."""

from __future__ import annotations

import attrs
from histories_of import CREATED
from strategies import task, workflow

from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
from durable_wf.core.state import RunState
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


def test_runs_of_one_target_share_their_code_and_those_of_a_script_do_not():
    """What differs between two calls of a script need not be seen in what they run."""
    known, loaded = Known(), []

    def load(run_id, **fields):
        state = RunState.of(run_id, A_THEN_B)
        state.definition, state.created = "d-1", attrs.evolve(CREATED, **fields)
        known.code(state, lambda: loaded.append(run_id) or A_THEN_B)

    for run_id in ("a", "b"):
        load(run_id, target="flows:w")
    for run_id in ("c", "d", "d"):
        load(run_id, script="s.py")
    assert loaded == ["a", "c", "d"]


def test_large_definitions_are_not_kept(monkeypatch):
    monkeypatch.setattr(known, "SMALL", 1)
    all_known = Known()
    first = all_known.written(A_THEN_B)
    assert first.data == Written.of(A_THEN_B).data
    assert all_known.written(A_THEN_B) is not first
