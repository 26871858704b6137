"""Whatever became of a run, at any event: a new one takes over what holds and runs the rest."""

from __future__ import annotations

import oracles
import strategies
import walks
from hypothesis import given, settings
from hypothesis import strategies as st

from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.definition import Workflow
from durable_wf.core.descent import Again, ancestor_of, descend
from durable_wf.core.status import TaskStatus

RANDOM = st.randoms(use_true_random=False)


def made_of(walk: walks.Walk, workflow: Workflow, upto: int, **more):
    """What a run of `workflow` would take over from the walk as it stood after event `upto`."""
    return descend(ancestor_of("r", walk.workflow, walk.events, upto), workflow, **more)


@settings(max_examples=150)
@given(RANDOM, strategies.workflows())
def test_every_task_is_taken_over_or_runs_again_at_every_event(rng, workflow):
    walk = walks.walked(rng, workflow)
    names = {task.name for task in workflow.tasks}
    for upto in range(1, len(walk.events) + 1):
        found = made_of(walk, workflow, upto)
        taken = [one.task for one in found.imports]
        assert len(set(taken)) == len(taken)
        assert set(taken) | found.again.keys() == names
        assert not set(taken) & found.again.keys()


@settings(max_examples=150)
@given(RANDOM, strategies.workflows())
def test_a_run_made_at_any_event_comes_to_its_end_and_runs_nothing_that_it_took_over(rng, workflow):
    walk = walks.walked(rng, workflow)
    upto = rng.randint(1, len(walk.events))
    found = made_of(walk, workflow, upto)
    new = walks.Walk(rng, workflow)
    new.give(i.Create(walks.created(workflow), "e-1", found.imports))
    new.commit()
    for _ in range(rng.randint(0, 30)):
        new.step()
    new.drive()
    taken = {one.task for one in found.imports}
    ran = {one.event.task for one in new.events if isinstance(one.event, e.AttemptStarted)}
    assert not ran & taken
    oracles.read(workflow, new.events)


@settings(max_examples=150)
@given(RANDOM, strategies.workflows())
def test_what_is_taken_over_had_succeeded_and_was_not_taken_back(rng, workflow):
    walk = walks.walked(rng, workflow)
    past = ancestor_of("r", workflow, walk.events, len(walk.events))
    index = past.state.graph.index
    for one in descend(past, workflow).imports:
        assert past.state.tasks[index[one.task]] is TaskStatus.SUCCEEDED
        undo = index.get(f"{one.task}~undo")
        assert undo is None or past.state.attempts[undo] == 0


@settings(max_examples=100)
@given(RANDOM, strategies.workflows())
def test_what_is_taken_back_in_the_end_is_taken_over_at_no_event(rng, workflow):
    walk = walks.walked(rng, workflow)
    last = ancestor_of("r", workflow, walk.events, len(walk.events)).undone
    for upto in range(1, len(walk.events) + 1):
        found = made_of(walk, workflow, upto)
        assert last.isdisjoint(one.task for one in found.imports)


@settings(max_examples=100)
@given(RANDOM, strategies.workflows())
def test_asking_for_a_task_only_ever_adds_to_what_runs_again(rng, workflow):
    walk = walks.walked(rng, workflow)
    upto = len(walk.events)
    before = made_of(walk, workflow, upto).again.keys()
    asked = rng.choice(workflow.tasks).name
    after = made_of(walk, workflow, upto, asked={asked}).again
    assert before <= after.keys()
    assert after[asked] is Again.ASKED
    below = {asked}
    for task in workflow.tasks:  # each comes after those it depends on
        if not below.isdisjoint(task.upstream):
            below.add(task.name)
    assert below <= after.keys()
    assert made_of(walk, workflow, upto, lost={asked}).again.keys() >= before


@settings(max_examples=60)
@given(RANDOM, strategies.workflows(max_tasks=6))
def test_taking_over_twice_is_taking_over_once(rng, workflow):
    """A retry that has run nothing yet, retried, begins with the same; and with what has ended by
    itself since, as a sleep of no length does at once.
    """
    walk = walks.walked(rng, workflow)
    first = made_of(walk, workflow, len(walk.events))
    new = walks.Walk(rng, workflow)
    new.give(i.Create(walks.created(workflow), "e-1", first.imports))
    second = descend(ancestor_of("r.2", workflow, new.events, len(new.events)), workflow)
    assert [one for one in second.imports if one.origin == "r"] == list(first.imports)
    of_its_own = {one.task for one in second.imports if one.origin != "r"}
    assert of_its_own <= first.again.keys()
    assert all(workflow.tasks[new.state.graph.index[task]].wait for task in of_its_own)
