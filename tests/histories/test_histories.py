"""Histories that were once written are read for ever: each replays to the row recorded with it.

A golden history is three files: `NAME.jsonl` (one event a line: n, at, kind, task, attempt, body,
as the log keeps them), `NAME.workflow.json` (the definition), `NAME.row.json` (what it comes to).
They are only ever added to: DWF_ADD_HISTORIES=1 tools/test tests/histories writes those of new
transcripts, and never touches one that is there.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import attrs
import oracles
import pytest
import transcript

from durable_wf.core import codec
from durable_wf.core import events as e
from durable_wf.core.definition import PayloadRef, Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.errors import HistoryError

HERE = Path(__file__).parent
SCRIPTS = sorted((HERE.parent / "transcripts").glob("*.txt"))
COLUMNS = ("n", "at", "kind", "task", "attempt", "body")


def _line(recorded: e.Recorded) -> str:
    columns = (recorded.n, recorded.at, *codec.encode(recorded.event))
    return json.dumps(dict(zip(COLUMNS, columns, strict=True)))


def _row(state: RunState) -> dict:
    row = attrs.asdict(row_of(state))
    row["status"] = row["status"].value
    return json.loads(json.dumps(row))


def _add(script: Path) -> None:
    _, played = transcript.play(script.stem, script.read_text())
    state = replay(RunState.of("r", played.workflow), played.events)
    lines = "".join(_line(recorded) + "\n" for recorded in played.events)
    (HERE / f"{script.stem}.workflow.json").write_text(played.workflow.to_json())
    (HERE / f"{script.stem}.row.json").write_text(json.dumps(_row(state), indent=1) + "\n")
    (HERE / f"{script.stem}.jsonl").write_text(lines)


if os.environ.get("DWF_ADD_HISTORIES"):
    for found in SCRIPTS:
        if not (HERE / f"{found.stem}.jsonl").exists():
            _add(found)

NAMES = sorted(path.stem for path in HERE.glob("*.jsonl"))
EACH_HISTORY = pytest.mark.parametrize("name", NAMES)


def _workflow(name: str) -> Workflow:
    return Workflow.as_recorded((HERE / f"{name}.workflow.json").read_text())


def _stored(name: str) -> list[dict]:
    return [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]


def _decoded(name: str) -> list[e.Recorded]:
    return [
        e.Recorded(
            row["n"], row["at"], codec.decode(row["kind"], row["task"], row["attempt"], row["body"])
        )
        for row in _stored(name)
    ]


@EACH_HISTORY
def test_a_golden_history_replays_to_its_row(name):
    """What was written by an earlier version means the same today."""
    recorded = json.loads((HERE / f"{name}.row.json").read_text())
    row = _row(replay(RunState.of("r", _workflow(name)), _decoded(name)))
    assert {key: row[key] for key in recorded} == recorded


@EACH_HISTORY
def test_a_golden_history_keeps_the_invariants(name):
    """The oracles have nothing to say against it either."""
    history = _decoded(name)
    assert oracles.read(_workflow(name), history).n == len(history)


@EACH_HISTORY
def test_a_golden_history_reads_and_writes_the_same(name):
    """Version 1 of each kind is still what is written; only upcasts may make a difference."""
    written = [row for row in _stored(name) if not codec.UPCASTS.get(row["kind"].partition("/")[0])]
    again = [json.loads(_line(recorded)) for recorded in _decoded(name)]
    assert [row for row in again if row in written] == written


def _paths(value: object, path: str = "") -> set[str]:
    """The keys in a body, nested ones too."""
    if not isinstance(value, dict):
        return set()
    found = {f"{path}{key}" for key in value}
    return found.union(*(_paths(inner, f"{path}{key}.") for key, inner in value.items()))


def test_every_kind_and_field_stands_in_some_golden_history():
    """A new kind or field needs one: what is stored by then must be readable for ever."""
    rows = [row for name in NAMES for row in _stored(name)]
    bodies = {f"{row['kind'].partition('/')[0]}." + path
              for row in rows for path in _paths(json.loads(row["body"]))}  # fmt: skip
    kinds = e.RUN_KINDS + e.TASK_KINDS
    fields = {f"{kind.__name__}.{field.name}" for kind in kinds for field in attrs.fields(kind)
              if field.name not in {"task", "attempt"}}  # fmt: skip
    fields |= {f"AttemptFailed.fault.{field.name}" for field in attrs.fields(e.Fault)}
    fields |= {f"AttemptFailed.output.{field.name}" for field in attrs.fields(e.OutputRef)}
    fields |= {f"AttemptSucceeded.ref.{field.name}" for field in attrs.fields(PayloadRef)}

    assert {row["kind"].partition("/")[0] for row in rows} == {kind.__name__ for kind in kinds}
    assert fields - bodies == set()


def test_a_damaged_history_is_noticed():
    """The control: without one of its events a history is refused."""
    history = _decoded("chain")
    assert len(history) > 5
    with pytest.raises(HistoryError, match="number 5 should come next"):
        replay(RunState.of("r", _workflow("chain")), history[:4] + history[5:])
