"""Golden histories, read: for tests of whatever is computed from a history.

Owns: where they lie, and how one is read.
Must never: write one; `histories/test_histories.py` does.
"""

from __future__ import annotations

import json
from pathlib import Path

from durable_wf.core import codec
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded

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
    return Workflow.from_json((HERE / f"{name}.workflow.json").read_text()), events
