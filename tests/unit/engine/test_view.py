"""view: what is known of a run, for those who only look."""

from __future__ import annotations

import pytest
from histories_of import A_THEN_B, BOTH_DONE, CLAIMED, CREATED, STARTED
from loop_rig import put
from strategies import task, workflow

from durable_wf.core.state import row_of
from durable_wf.core.status import InDoubt, RunStatus
from durable_wf.engine.view import load_definition, load_state, row_or_raise
from durable_wf.errors import NotFound, PayloadMissing
from durable_wf.store.memory import MemoryLog


@pytest.fixture
def log():
    log = MemoryLog()
    put(log, CREATED, CLAIMED, STARTED, *BOTH_DONE[:3])
    return log


def test_a_run_that_is_not_there_is_named(log):
    assert row_or_raise(log, "r").run_id == "r"
    with pytest.raises(NotFound, match="no run 's'"):
        row_or_raise(log, "s")
    with pytest.raises(NotFound, match="no run 's'"):
        load_state(log, "s")


def test_the_definition_is_the_one_the_run_was_created_with(log):
    assert load_definition(log, row_or_raise(log, "r")) == A_THEN_B


def test_a_run_that_an_older_version_let_in_can_still_be_looked_at():
    """Its definition would be refused today; what has happened has happened."""
    log = MemoryLog()
    odd = workflow(task("a", timeout_s=-1.0), task("b", "a", in_doubt=InDoubt.PROBE))
    put(log, CREATED, CLAIMED, STARTED, *BOTH_DONE[:3], workflow=odd)
    assert load_definition(log, row_or_raise(log, "r")) == odd
    assert load_state(log, "r").status is RunStatus.RUNNING


def test_the_state_is_that_of_all_events(log):
    state = load_state(log, "r")
    assert (state.status, state.n, [*state.running]) == (RunStatus.RUNNING, 6, [1])
    assert row_of(state).counts == row_or_raise(log, "r").counts


def test_looking_writes_nothing(log):
    before = log.shelf.commits
    load_state(log, "r")
    assert log.shelf.commits == before


def test_a_lost_definition_is_told(log):
    log.shelf.payloads.clear()
    with pytest.raises(PayloadMissing):
        load_state(log, "r")
