"""progress: what onlookers are told, from the state of a run alone."""

from __future__ import annotations

import attrs
from histories_of import BOTH_DONE, CLAIMED, CREATED, STARTED, SUCCEEDED, begun, state_after
from strategies import task, workflow

from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts
from durable_wf.engine.progress import progress_of


def test_progress_says_where_a_run_stands():
    state = state_after(CREATED, CLAIMED, STARTED, *BOTH_DONE[:3])
    told = progress_of(state, 1.5)
    assert (told.run_id, told.workflow, told.status) == ("r", "w", RunStatus.RUNNING)
    assert told.counts == Counts(running=1, succeeded=1)
    assert told.total == 2
    assert told.running == ("b",)
    assert told.eta_s == 1.5


def test_at_the_end_nothing_runs():
    told = progress_of(state_after(CREATED, CLAIMED, STARTED, *BOTH_DONE, SUCCEEDED), None)
    assert told.status is RunStatus.SUCCEEDED
    assert told.running == ()
    assert told.eta_s is None


def test_who_is_told_the_outcome_next_hears_it():
    state = state_after(CREATED, CLAIMED, STARTED)
    assert progress_of(state, None, at_rest=True).at_rest
    assert not progress_of(state, None).at_rest


def test_eight_running_tasks_are_named_longest_first():
    names = [f"t{k}" for k in range(12)]
    begins = [begun(name) for name in reversed(names)]
    wide = workflow(*map(task, names))
    created = attrs.evolve(CREATED, total=12)
    told = progress_of(state_after(created, CLAIMED, STARTED, *begins, workflow=wide), None)
    assert told.running == tuple(f"t{k}" for k in range(11, 3, -1))
    assert told.counts.running == 12
