"""Golden histories, read: for tests of whatever is computed from a history.

Owns: where they lie, how one is read, and how it comes into a store.
Must never: make one; `histories/test_histories.py` does.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from durable_wf.core import codec
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded, RunCreated
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.summary import RunRow
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch, Log, RunAppend

HERE = Path(__file__).parent / "histories"


def names() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in HERE.glob("*.jsonl"))


def golden(name: str) -> tuple[Workflow, list[Recorded]]:
    """The definition, and the events."""
    rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
    events = [
        Recorded(
            row["n"], row["at"], codec.decode(row["kind"], row["task"], row["attempt"], row["body"])
        )
        for row in rows
    ]
    return Workflow.as_recorded((HERE / f"{name}.workflow.json").read_text()), events


def put_golden(log: Log, name: str, run_id: str = "r") -> RunRow:
    """Write one into a store."""
    workflow, events = golden(name)
    text = workflow.to_json().encode()
    created = events[0].event
    assert isinstance(created, RunCreated)
    created = attrs.evolve(created, definition=digest_of(text))
    events[0] = attrs.evolve(events[0], event=created)
    row = row_of(replay(RunState.of(run_id, workflow), events))
    payloads = [(digest_of(text), text)]
    assert not log.append(
        Batch([RunAppend(0, run_id, 0, events, row)], payloads=payloads)
    ).conflicts
    found = log.row(run_id)
    assert found is not None
    return found
