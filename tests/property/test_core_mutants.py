"""The walks have teeth: each rule of the core, when it is broken, is caught by some walk."""

from __future__ import annotations

from random import Random

import pytest
import strategies
import walks

from durable_wf.core import (
    compensation,
    decide_attempts,
    decide_faults,
    decide_runs,
    decide_waits,
    effects,
    steps,
    tables,
)
from durable_wf.core import decide as deciding
from durable_wf.core import events as e
from durable_wf.core import evolve as evolving
from durable_wf.core import inputs as i
from durable_wf.core import judge as judging
from durable_wf.core.state import OpenAttempt, RunState
from durable_wf.core.status import RunStatus, TaskStatus

SEEDS = range(2_000)


def _effect(patch, kind, effect):
    admits, steps, _ = evolving._TASK_RULES[kind]
    patch.setitem(evolving._TASK_RULES, kind, (admits, steps, effect))


def _admit_everywhere(patch, kind):
    _, steps, effect = evolving._TASK_RULES[kind]
    patch.setitem(evolving._TASK_RULES, kind, (frozenset(RunStatus), steps, effect))


def _nothing(*_):
    return None


def no_fence(patch):
    """Reports of attempts that are not the open one are taken for good."""

    def close(state, index, attempt, at):
        state.running.pop(index, None)

    patch.setattr(effects, "_close_attempt", close)
    stale = lambda state, index, attempt: state.tasks[index] is not TaskStatus.RUNNING
    patch.setattr(decide_attempts, "is_stale", stale)


def starts_while_paused(patch):
    """Neither the question nor the tables look at the state of the run."""
    _admit_everywhere(patch, e.AttemptStarted)
    ready = lambda self, k: self.tasks[k] is TaskStatus.PENDING and self.unmet[k] == 0
    patch.setattr(RunState, "is_ready", ready)
    patch.setattr(
        RunState, "all_ready", lambda self: [k for k in range(len(self.tasks)) if ready(self, k)]
    )


def starts_before_upstream(patch):
    """Dependencies are not waited for."""
    ready = lambda self, k: self.status is RunStatus.RUNNING and self.tasks[k] is TaskStatus.PENDING
    patch.setattr(RunState, "is_ready", ready)
    patch.setattr(
        RunState, "all_ready", lambda self: [k for k in range(len(self.tasks)) if ready(self, k)]
    )

    def started(state, index, event, at):
        state.attempts[index] += 1
        state.running[index] = OpenAttempt(event, at.n, at.at)

    _effect(patch, e.AttemptStarted, started)


def runs_twice(patch):
    """A task that has succeeded may start again."""
    admits, steps, effect = evolving._TASK_RULES[e.AttemptStarted]
    steps = {**steps, TaskStatus.SUCCEEDED: TaskStatus.RUNNING}
    patch.setitem(evolving._TASK_RULES, e.AttemptStarted, (admits, steps, effect))
    ready = lambda self, k: (
        self.status is RunStatus.RUNNING
        and self.tasks[k] in {TaskStatus.PENDING, TaskStatus.SUCCEEDED}
        and self.unmet[k] == 0
    )
    patch.setattr(RunState, "is_ready", ready)


def optional_failure_blocks(patch):
    """A failed optional task does not release what comes after it."""

    def failed(state, index, event, at):
        state.faulted.discard(index)
        state.unfinished -= 1

    _effect(patch, e.TaskFailed, failed)


def required_failure_releases(patch):
    """A failed task releases what comes after it, required or not."""

    def failed(state, index, event, at):
        state.faulted.discard(index)
        state.unfinished -= 1
        effects._release(state, state.graph.children[index])

    _effect(patch, e.TaskFailed, failed)
    patch.setattr(steps, "drain_failed", _nothing)


def required_failure_does_not_drain(patch):
    """A failed required task leaves the run as it is."""
    patch.setattr(steps, "drain_failed", _nothing)
    patch.setattr(RunState, "failed_required", lambda _: None)


def run_never_ends(patch):
    """The last task does not end the run."""
    patch.setattr(steps, "end_if_done", _nothing)


def drain_forgets_waiting(patch):
    """What waits for a timer is not closed when the run drains."""
    patch.setattr(tables, "CLOSES", frozenset({TaskStatus.PENDING}))
    patch.setattr(evolving, "CLOSES", frozenset({TaskStatus.PENDING}))

    def close(state, events, at):
        if count := state.counts[TaskStatus.PENDING]:
            event = e.TasksClosed(TaskStatus.SKIPPED, count, state.cause)
            steps.emit(state, events, at, event)

    patch.setattr(steps, "close_unstarted", close)


def no_in_doubt_budget(patch):
    """A task whose engine dies under it is run again for ever."""
    patch.setattr(judging, "IN_DOUBT_BUDGET", 10**6)


def returned_attempts_count(patch):
    """An attempt that never began is counted."""

    def returned(state, index, event, at):
        effects._close_attempt(state, index, event.attempt, at)
        state.ready.append(index)

    _effect(patch, e.AttemptReturned, returned)


def resume_wakes_nobody(patch):
    """Due timers stay asleep."""
    for place in (decide_runs, decide_waits, decide_faults):
        patch.setattr(place, "wake_due", _nothing)


def second_verdict_wins(patch):
    """A cancel while draining changes the verdict."""
    row = {**tables.RUN[RunStatus.DRAINING], e.RunDraining: RunStatus.DRAINING}
    patch.setattr(evolving, "RUN", {**tables.RUN, RunStatus.DRAINING: row})

    def cancel(state, given, at):
        events = []
        if state.status is not RunStatus.CANCELLED and not state.final:
            event = e.RunDraining(RunStatus.CANCELLED, "cancelled", given.actor)
            steps.emit(state, events, at, event)
            steps.close_unstarted(state, events, at)
            steps.end_if_done(state, events, at)
        return deciding.Decided(events)

    patch.setitem(deciding._HANDLERS, i.Cancel, cancel)


def success_releases_nobody(patch):
    """The dependencies of a task are not counted down when one succeeds."""
    patch.setattr(effects, "_release", _nothing)


def released_tasks_are_not_told(patch):
    """Tasks become ready, but the engine is not told."""

    def release(state, children):
        for child in children:
            state.unmet[child] -= 1

    patch.setattr(effects, "_release", release)


def late_decisions_are_illegal(patch):
    """A decision is carried out as if the run did not drain."""

    def fail(state, given, at):
        events = []
        name = state.graph.names[given.index]
        steps.emit(state, events, at, e.TaskFailed(name, given.rule, given.reason))
        if not state.task(given.index).optional:
            steps.drain_failed(state, events, at, given.index, given.reason)
        steps.end_if_done(state, events, at)
        return deciding.Decided(events)

    patch.setitem(deciding._HANDLERS, i.Fail, fail)


def draining_leaves_faults(patch):
    """A failure while the run drains is not concluded."""
    patch.setattr(steps, "conclude_draining", _nothing)


def closing_is_not_counted(patch):
    """The counts do not follow when tasks are closed together."""
    original = evolving._close_tasks

    def close(state, event, recorded):
        before = dict(state.counts)
        original(state, event, recorded)
        state.counts.update(before)

    patch.setattr(evolving, "_close_tasks", close)


def claim_finishes_nothing(patch):
    """A history that was cut inside a commit stays as it is."""
    patch.setattr(decide_runs, "_take_up", lambda *_: ())


def pause_is_ignored(patch):
    """A pause is accepted, and nothing happens."""
    patch.setitem(deciding._HANDLERS, i.Pause, lambda *_: deciding.Decided([]))


def answers_of_strangers_count(patch):
    """Whoever answers is heard, asked or not."""
    patch.setattr(decide_waits, "_not_asked", lambda *_: "")


def answers_have_no_consequence(patch):
    """What a person has said is recorded, and that is all."""
    for place in (decide_runs, decide_waits):
        patch.setattr(place, "conclude_answer", _nothing)


def waits_are_called(patch):
    """A task that waits is given to a worker instead."""
    for place in (decide_runs, decide_waits):
        patch.setattr(place, "reach", _nothing)


def signals_are_for_all(patch):
    """A signal that a task has taken is still there for the next."""

    def completed(state, index, event, at):
        effects._succeed(state, index, event.value)

    _effect(patch, e.TaskCompleted, completed)


def undone_in_order(patch):
    """What was done first is taken back first."""
    patch.setattr(steps, "to_add", lambda state: tuple(reversed(compensation.to_add(state))))


def nothing_is_undone(patch):
    """A run that fails leaves everything as it is."""
    effect = effects._attempt_succeeded

    def succeeded(state, index, event, at):
        effect(state, index, event, at)
        state.completed.clear()

    _effect(patch, e.AttemptSucceeded, succeeded)


def compensations_are_given_up(patch):
    """A compensation that fails has failed, and nobody hears of it."""

    def fail(state, given, at):
        events = []
        failed = e.TaskFailed(state.graph.names[given.index], given.rule, given.reason)
        if state.tasks[given.index] is not TaskStatus.FAULTED:
            return steps.refused("no")
        if steps.is_closing(state, given.index):
            return decide_faults._in_vain(state, given, at)
        steps.fail_task(state, events, at, given.index, failed)
        return deciding.Decided(events)

    patch.setitem(deciding._HANDLERS, i.Fail, fail)


def doubt_is_no_matter(patch):
    """What a task declares about attempts in doubt is not looked at."""
    patch.setattr(judging, "declared", lambda *_: None)


def deadlines_of_tasks_pass(patch):
    """A retry may begin after the task's deadline."""
    patch.setattr(decide_faults, "_deadline", lambda *_: None)


def deadlines_of_runs_pass(patch):
    """A run may go on after its deadline."""
    for place in (decide_runs, decide_waits):
        patch.setattr(place, "fail_late", lambda *_: ())


MUTANTS = [
    no_fence, starts_while_paused, starts_before_upstream, runs_twice, optional_failure_blocks,
    required_failure_releases, required_failure_does_not_drain, run_never_ends,
    drain_forgets_waiting, no_in_doubt_budget, returned_attempts_count, resume_wakes_nobody,
    second_verdict_wins, success_releases_nobody, released_tasks_are_not_told,
    late_decisions_are_illegal, draining_leaves_faults, closing_is_not_counted,
    claim_finishes_nothing, pause_is_ignored, answers_of_strangers_count,
    answers_have_no_consequence, waits_are_called, signals_are_for_all, undone_in_order,
    nothing_is_undone, compensations_are_given_up, doubt_is_no_matter, deadlines_of_tasks_pass,
    deadlines_of_runs_pass,
]  # fmt: skip


def _walks_until_caught() -> tuple[int, Exception] | None:
    for seed in SEEDS:
        rng = Random(seed)
        try:
            walks.check_walk(rng, strategies.random_workflow(rng))
        except Exception as error:
            return seed, error
    return None


@pytest.fixture(autouse=True)
def small_budget(monkeypatch):
    """The budget that the walks are checked against."""
    monkeypatch.setattr(judging, "IN_DOUBT_BUDGET", walks.IN_DOUBT_BUDGET)


def test_the_sound_core_survives_all_these_walks():
    """The control: without a mutant nothing is caught."""
    assert _walks_until_caught() is None


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_rule_is_caught(mutant, monkeypatch):
    """Each mutant is caught by one of the walks."""
    mutant(monkeypatch)
    caught = _walks_until_caught()
    assert caught is not None, f"survived: {mutant.__name__}: {mutant.__doc__}"
