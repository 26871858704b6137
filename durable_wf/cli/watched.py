"""A run that is looked at, once or again and again.

Owns: reading a run's events, each once, together with the fact whether its engine lives, and the
last heartbeats of its tasks, and which circuit breakers hold them.
Must never: write.
Read next: `facts.py`.
"""

from __future__ import annotations

import time

import attrs

from durable_wf.cli.beating import note_heartbeats
from durable_wf.cli.breaking import note_held
from durable_wf.cli.facts import RunFacts, Story
from durable_wf.cli.onward import in_doubt
from durable_wf.cli.stores import alive_in
from durable_wf.core.definition import Workflow
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import load_definition
from durable_wf.store.opening import Store


class Watched:
    """One run that is looked at again and again: each look reads only what is new."""

    def __init__(self, store: Store, run_id: str, workflow: Workflow) -> None:
        self._store = store
        self._run_id = run_id
        self._tasks = workflow.tasks
        waits = {task.name: task.wait for task in workflow.tasks if task.wait is not None}
        self._story = Story((task.name for task in workflow.tasks), waits)

    def look(self) -> RunFacts:
        """The run as it is now."""
        store = self._store
        row = store.log.row(self._run_id)
        assert row is not None
        # Asked before the events are read: an engine that ends in between has said so in them.
        alive = alive_in(store, row)
        for recorded in store.log.history(row.run, self._story.n):
            if recorded.n > row.n:
                break
            self._story.take(recorded)
        facts = self._story.facts(row, alive=alive)
        note_heartbeats(store, row.run, facts.tasks)
        if row.status not in RUN_FINAL:
            return facts
        faults = {name: task.fault for name, task in facts.tasks.items() if task.fault is not None}
        return attrs.evolve(facts, doubtful=tuple(in_doubt(self._tasks, faults)))


def facts_of(store: Store, row: RunRow) -> RunFacts:
    """The run as it is now, with its tasks."""
    workflow = load_definition(store.log, row)
    facts = Watched(store, row.run_id, workflow).look()
    if facts.alive and facts.row.status is RunStatus.RUNNING:
        note_held(store, workflow, facts.tasks, time.time_ns() // 1000)
    return facts
