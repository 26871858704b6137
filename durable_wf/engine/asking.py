"""Asking: what waits for people in a whole store.

Owns: the one walk through unfinished runs that finds it.
Must never: write, import user code, or replay a run that has nothing waiting.
Read next: `core/awaited.py`, `answering.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import attrs

from durable_wf.core.awaited import Awaited, asked
from durable_wf.core.definition import Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import load_definition
from durable_wf.store.port import Log

_ASKING = (RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.DRAINING)


@attrs.frozen
class Open:
    """A task of a run that waits for somebody's answer or signal."""

    row: RunRow
    awaited: Awaited


def questions(log: Log, *, workflow: str | None = None, whom: str | None = None) -> list[Open]:
    """What waits for somebody: what ends by itself first, then what waits longest."""
    rows = [
        row
        for row in log.rows(status=_ASKING, workflow=workflow)
        if row.counts.waiting and not row.imported
    ]
    found = [
        Open(row, one)
        for row, state in states(log, rows)
        for one in asked(state)
        if whom is None or one.whom == whom
    ]
    return sorted(found, key=_by_urgency)


def _by_urgency(one: Open) -> tuple[bool, int, int]:
    until = one.awaited.until
    return until is None, until or 0, one.awaited.since


def states(log: Log, rows: list[RunRow]) -> Iterator[tuple[RunRow, RunState]]:
    """The states of runs by replay; those of one definition share it, and its graph."""
    for _, group in groupby(sorted(rows, key=_definition), key=_definition):
        known: tuple[Workflow, Graph] | None = None
        for row in group:
            if known is None:
                workflow = load_definition(log, row)
                known = workflow, Graph(workflow.tasks)
            yield row, replay(RunState.of(row.run_id, *known), log.history(row.run))


def _definition(row: RunRow) -> str:
    return row.definition
