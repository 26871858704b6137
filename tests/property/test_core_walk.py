"""Random walks through random runs: whatever comes, the history stays sound and can be ended."""

from __future__ import annotations

import oracles
import pytest
import strategies
import walks
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_wf.core import judge as judging
from durable_wf.core.decide import decide
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of

RANDOM = st.randoms(use_true_random=False)


@pytest.fixture(autouse=True, scope="module")
def small_budget():
    """So small that walks spend it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "IN_DOUBT_BUDGET", walks.IN_DOUBT_BUDGET)
        yield


@settings(max_examples=300)
@given(RANDOM, strategies.workflows())
def test_every_walk_is_sound_and_can_be_ended(rng, workflow):
    """Oracles, refusals, replay, and the end of every run, cut at any event."""
    assert walks.check_walk(rng, workflow).state.final


@settings(max_examples=100)
@given(RANDOM, strategies.workflows(max_tasks=5))
def test_a_replay_of_any_prefix_equals_the_live_state_then(rng, workflow):
    """Live, each event was the last one once: what was known then is what its replay knows."""
    walk = walks.Walk(rng, workflow)
    seen = {}
    walk.create()
    for _ in range(25):
        walk.step()
        seen[len(walk.events)] = (walks.snapshot(walk.state), row_of(walk.state))
    reading = oracles.Reading(workflow)
    state = RunState.of("r", workflow)
    for recorded in walk.events:
        replay(state, [recorded])
        reading.read(recorded)
        assert row_of(state) == reading.row()
        if recorded.n in seen:
            assert (walks.snapshot(state), row_of(state)) == seen[recorded.n]


@given(RANDOM, strategies.workflows(max_tasks=5))
def test_deciding_twice_gives_the_same(rng, workflow):
    """The same input on the same history gives the same events and obligations."""
    walk = walks.walked(rng, workflow)
    state = RunState.of("r", workflow)
    again = []
    for answer in walk.answers:
        when = answer.decided.events[0].at if answer.decided.events else walk.at
        decided = decide(state, answer.given, when)
        assert decided == answer.decided
        again += decided.events
    assert again == walk.events
