"""suspects: who may start beside whom, so that an innocent run is not paused with a guilty one."""

from __future__ import annotations

from random import Random

import pytest
from histories_of import A_THEN_B, CLAIMED, CREATED, STARTED, begun, broke, done
from histories_of import state_after as after
from strategies import task, workflow

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.definition import Undo
from durable_wf.core.events import Fault
from durable_wf.core.judge import judge
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus
from durable_wf.engine.suspects import Suspect, ask_a_person, held, in_crash_loop

LIMIT = 3


def suspect(key, crashes=2, *, busy=False, may_start=True):
    return Suspect(key, crashes, busy, may_start and not busy)


@pytest.mark.parametrize(
    ("suspects", "expected"),
    [
        ([], set()),
        ([suspect(1)], set()),
        ([suspect(1, 1), suspect(2, 1)], set()),
        ([suspect(1, 1, busy=True), suspect(2, 1, busy=True)], set()),
        ([suspect(1), suspect(2)], {2}),
        ([suspect(1, may_start=False), suspect(2)], {1}),
        ([suspect(1, may_start=False), suspect(2, may_start=False)], set()),
        ([suspect(1, busy=True), suspect(2)], {2}),
        ([suspect(1), suspect(2, busy=True)], {1}),
        ([suspect(1, 1, busy=True), suspect(2)], {2}),
        ([suspect(1, 1), suspect(2)], {1}),
        ([suspect(1, 1), suspect(2, busy=True)], {1}),
        ([suspect(1, 1), suspect(2, may_start=False)], set()),
        ([suspect(1, 7), suspect(2, 1)], {2}),
    ],
)
def test_at_its_last_chance_a_run_starts_nothing_beside_another_suspect(suspects, expected):
    assert held(suspects, LIMIT) == expected


def test_without_a_limit_nobody_waits():
    assert held([suspect(1, 9), suspect(2, 9, busy=True)], 0) == set()


def test_with_a_limit_of_two_the_first_death_makes_it_the_last_chance():
    assert held([suspect(1, 1), suspect(2, 1)], 2) == {2}


@pytest.mark.parametrize("seed", range(40))
def test_however_often_engines_die_only_the_guilty_run_is_paused(seed):
    """A simulation: innocent runs need a long time without a death to get on; when the guilty one
    has an open attempt, the engine dies soon. Claims count as the core does.
    """
    rng = Random(seed)
    limit = rng.randint(2, 4)
    innocent = set(range(1, rng.randint(2, 6)))
    guilty = rng.randint(0, 9)
    innocent.discard(guilty)
    crashes = dict.fromkeys({guilty, *innocent}, 0)
    left = {key: rng.randint(1, 5) for key in innocent}  # how long until it makes progress
    deaths = 0
    while True:
        live = [key for key in crashes if crashes[key] < limit and (key == guilty or left[key])]
        assert guilty in live or deaths == limit or not left, "the guilty one is paused in time"
        if not live:
            break
        busy: set[int] = set()
        fuse = 0
        for _ in range(100):
            seen = [Suspect(k, crashes[k], k in busy, k not in busy) for k in live if crashes[k]]
            waits = held(seen, limit)
            startable = [key for key in live if key not in busy and key not in waits]
            if startable:
                busy.add(startable[0] if crashes[startable[0]] else rng.choice(startable))
            fuse += guilty in busy
            if fuse > 2:
                break
            for key in [key for key in busy if key != guilty]:
                left[key] -= 1
                if not left[key]:
                    busy.discard(key)
                    live.remove(key)
                    crashes[key] = 0
        if guilty not in busy:
            break
        deaths += 1
        for key in busy:
            crashes[key] += 1
            if key != guilty:
                left[key] += rng.randint(0, 2)  # what it had done is lost
    assert crashes[guilty] == limit
    assert not any(left.values())
    assert all(crashes[key] < limit for key in innocent)


# --- a run that takes back what it did ------------------------------------------------------------

SAGA = workflow(task("a", undo=Undo("jobs:undo")), task("b", "a"))
TAKING_BACK = (
    CREATED, CLAIMED, STARTED, begun(), done(), begun("b"), broke("b"),
    e.TaskFailed("b", "rule", "because"),
    e.RunDraining(RunStatus.FAILED, "b", cause_task="b", compensate=True),
    e.TasksAdded((("a~undo", "a"),), "compensate"), begun("a~undo"),
)  # fmt: skip


def died(state, times, kind=FaultKind.IN_DOUBT):
    """As many engines have died over the open attempt; it is in doubt now."""
    state.crashes = times
    index = next(iter(state.running))
    given = i.Failed(0, index, 1, Fault(kind, "its engine ended"))
    assert decide(state, given, 99).judge == (index,)
    return index


def test_a_person_is_asked_about_a_compensation_over_which_engines_die():
    """A draining run cannot be paused."""
    state = after(*TAKING_BACK, workflow=SAGA)
    decision = ask_a_person(judge, LIMIT)(state, died(state, 3))
    assert isinstance(decision, i.Escalate)
    assert decision.rule == "crash loop"
    assert decision.question == "a~undo: 3 engines in a row have died while it ran; what now?"
    decide(state, decision, 100)
    assert state.tasks[2] is TaskStatus.WAITING


@pytest.mark.parametrize(
    ("limit", "times", "kind"),
    [
        (LIMIT, 2, FaultKind.IN_DOUBT),
        (0, 9, FaultKind.IN_DOUBT),
        (LIMIT, 3, FaultKind.ERROR),
    ],
)
def test_nobody_is_asked_before_or_about_other_faults(limit, times, kind):
    state = after(*TAKING_BACK, workflow=SAGA)
    index = died(state, times, kind)
    assert ask_a_person(judge, limit)(state, index) == judge(state, index)


def test_a_task_of_the_runs_own_is_left_to_its_rules():
    state = after(CREATED, CLAIMED, STARTED, begun(), workflow=A_THEN_B)
    index = died(state, 3)
    assert ask_a_person(judge, LIMIT)(state, index) == judge(state, index)


def test_a_run_is_in_a_crash_loop_once_the_limit_is_reached():
    state = after(CREATED, CLAIMED, STARTED, begun(), workflow=A_THEN_B)
    state.crashes = 3
    assert [in_crash_loop(state, limit) for limit in (0, 2, 3, 4)] == [False, True, True, False]
