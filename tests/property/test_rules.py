"""Rules are pure: the same history gives the same decision, and a replay asks none of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import rule_corpus
from hypothesis import given
from hypothesis import strategies as st
from walks import snapshot, walked

from durable_wf.core import codec, inputs
from durable_wf.core.events import AttemptFailed, Recorded
from durable_wf.core.evolve import evolve, replay
from durable_wf.core.judge import judge
from durable_wf.core.state import RunState
from durable_wf.core.status import FaultKind
from durable_wf.recovery import (
    Fault,
    History,
    example,
    exponential,
    fallback,
    fibonacci,
    first_of,
    fixed,
    jittered,
    keep_going,
    limit,
    linear,
    retry,
    skip,
    when,
)
from durable_wf.recovery.chain import decide

waits = st.one_of(
    st.builds(fixed, st.floats(0, 100)),
    st.builds(linear, st.floats(0, 100)),
    st.builds(exponential, st.floats(0, 100), factor=st.floats(1, 9)),
    st.builds(fibonacci, st.floats(0, 100)),
    st.builds(jittered, st.floats(0, 100), most=st.floats(0, 1000)),
)
retries = st.builds(
    retry,
    st.integers(1, 9),
    wait=waits,
    within=st.none() | st.floats(0, 1e4),
    budget=st.none() | st.integers(0, 9),
    losses=st.integers(0, 5),
)
rules = st.recursive(
    retries | st.builds(skip) | st.builds(keep_going) | st.builds(fallback, st.integers()),
    lambda inner: st.one_of(
        st.builds(first_of, inner, inner),
        st.builds(limit, inner, attempts=st.integers(1, 9)),
        st.builds(when, inner, kind=st.sampled_from(FaultKind)),
    ),
    max_leaves=5,
)
seen = st.builds(
    lambda kinds, waits_s, **more: example(*kinds, waits_s=waits_s, **more),
    st.lists(st.sampled_from(FaultKind), min_size=1, max_size=12),
    st.lists(st.floats(0, 500), max_size=12),
    run_id=st.text(max_size=5),
    retry_after_s=st.none() | st.floats(0, 1000),
    run_retries=st.integers(0, 20),
)


def default(_):
    return inputs.Fail(0, "default", "nobody answered")


@given(rules, seen)
def test_the_same_history_gives_the_same_decision(one, what):
    history, fault = what
    first = decide(0, (one,), history, fault, default)
    again = decide(0, (one,), history, fault, default)
    assert first == again
    assert "nonsense" not in first.reason
    assert "raised" not in first.reason


@given(rules, seen)
def test_a_retry_waits_within_reason_and_says_why(one, what):
    decision = decide(0, (one,), *what, default)
    assert decision.reason
    if isinstance(decision, inputs.Retry):
        assert 0 <= decision.delay_us <= 3600 * 1_000_000
        assert decision.rule


@given(st.integers(0, 2**32), rules)
def test_a_rule_sees_the_same_live_and_on_replay(seed, one):
    """Every fault of a walk, asked about from the live state and from the log's text."""
    from strategies import random_workflow

    rng = Random(seed)
    walk = walked(rng, random_workflow(rng))
    live, again = (RunState.of("r", walk.workflow) for _ in range(2))
    for recorded in walk.events:
        evolve(live, recorded)
        stored = codec.decode(*codec.encode(recorded.event))
        evolve(again, Recorded(recorded.n, recorded.at, stored))
        if isinstance(recorded.event, AttemptFailed):
            index = live.graph.index[recorded.event.task]
            answers = [
                decide(
                    index, (one,), History.of(state, index),
                    Fault.of(state.faults[index], state.attempts[index]),
                    lambda budget, state=state: judge(state, index, budget),
                )
                for state in (live, again)
            ]  # fmt: skip
            assert answers[0] == answers[1]
    assert snapshot(replay(RunState.of("r", walk.workflow), walk.events)) == snapshot(walk.state)


# --- in another process, at another time ---

ROOT = Path(__file__).resolve().parents[2]


def asked_in_a_process(seed: int, *words: str) -> str:
    """The answers of a process whose texts hash in their own way."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "rule_corpus.py"), *words],
        env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": str(seed)},
        capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    return done.stdout


def test_the_same_history_gives_the_same_decision_in_every_process():
    here = "\n".join(rule_corpus.answers()) + "\n"
    assert asked_in_a_process(1) == asked_in_a_process(2) == here
    assert "Retry(" in here
    assert "FallBack(" in here


def test_a_jitter_that_differs_from_process_to_process_is_caught():
    """The control."""
    assert asked_in_a_process(1, "--mutant") != asked_in_a_process(2, "--mutant")


@pytest.mark.parametrize(
    "impure",
    [
        lambda _history, _fault: random.random(),
        lambda _history, _fault: time.perf_counter() % 1,
    ],
    ids=["a random number", "a clock"],
)
def test_a_jitter_that_is_not_made_of_the_history_is_caught(impure, monkeypatch):
    """The control of what is asked twice."""
    monkeypatch.setattr(rule_corpus.waits, "_share", impure)
    assert rule_corpus.answers() != rule_corpus.answers()
