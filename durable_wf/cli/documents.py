"""The JSON that `--json` prints.

Owns: the documents of runs and events. Their fields are a contract: they are added, never renamed.
Times are ISO-8601 in UTC with microseconds and `Z`, states are their names in lower case.
A run recorded as running whose engine is dead has `status: "interrupted"` and keeps what is
recorded in `recorded_status`; so do its tasks.
Must never: read a store.
Read next: `commands/show.py`.
"""

from __future__ import annotations

import json
from typing import Any

from durable_wf.cli.asked import awaited_document
from durable_wf.cli.facts import RunFacts, TaskFacts, counted
from durable_wf.cli.states import shown_run
from durable_wf.cli.times import iso
from durable_wf.core.circuit import sentence as held_sentence
from durable_wf.core.summary import RunRow
from durable_wf.core.values import preview
from durable_wf.store.port import Stored

Document = dict[str, Any]


def dumps(document: Document) -> str:
    """One line of JSON, in plain ASCII: no terminal can be harmed by it."""
    return json.dumps(document, separators=(", ", ": "))


def run_document(row: RunRow, *, alive: bool) -> Document:
    """A run at a glance."""
    return {
        "run_id": row.run_id,
        "workflow": row.workflow,
        "status": shown_run(row, alive=alive).value,
        "recorded_status": row.status.value,
        "created_at": iso(row.created_at),
        "started_at": iso(row.started_at),
        "ended_at": iso(row.ended_at),
        "tasks": {
            "total": row.total,
            "by_status": {s.value: n for s, n in counted(row.counts, alive=alive).items()},
        },
        "cause": row.cause,
        "tags": list(row.tags),
        "events": row.n,
        "imported": row.imported,
        "origin": row.origin,
        "origin_event": row.origin_n or None,
        "chain": row.chain,
    }


def facts_document(facts: RunFacts) -> Document:
    """A run with all its tasks."""
    document = run_document(facts.row, alive=facts.alive)
    document["metadata"] = dict(facts.created.metadata)
    document["deadline_at"] = iso(facts.created.deadline_at)
    document["task_states"] = {
        name: _task_document(facts, task) for name, task in facts.tasks.items()
    }
    if facts.added:
        document["taken_back"] = {
            of: facts.task_shown(facts.tasks[name]).value for name, of in facts.added
        }
    return document


def _task_document(facts: RunFacts, task: TaskFacts) -> Document:
    document: Document = {
        "status": facts.task_shown(task).value,
        "attempts": task.attempts,
        "started_at": iso(task.started_at),
        "ended_at": iso(task.ended_at),
    }
    if facts.task_shown(task) is not task.status:
        document["recorded_status"] = task.status.value
    if task.awaited is not None:
        document["waits_for"] = awaited_document(facts.row.run_id, task.awaited)
    if task.origin:
        document["origin"] = task.origin
    if task.fault is not None:
        document["fault"] = {
            "kind": task.fault.kind.value,
            "exception": task.fault.exception,
            "message": task.fault.message,
        }
    if task.kept is not None:
        document["kept"] = f"output/{task.kept.file}"
    if task.held is not None:
        document["breaker"] = {
            "key": task.held.key,
            "state": task.held.state.value,
            "until": iso(task.held.until),
            "why": held_sentence(task.held),
        }
    if task.beaten is not None:
        document["heartbeat"] = {
            "attempt": task.beaten.attempt,
            "at": iso(task.beaten.at),
            "detail": preview(task.beaten.detail) if task.beaten.detail else None,
        }
    return document


def _body(stored: Stored) -> object:
    """The body as an object; as the text it is where somebody made it what no engine writes."""
    try:
        return json.loads(stored.body) if stored.body else {}
    except (ValueError, RecursionError):
        return stored.body


def event_document(stored: Stored, run_id: str) -> Document:
    """An event as it stands in the log, its body as an object, its hash in hex."""
    return {
        "seq": stored.seq,
        "run": run_id,
        "n": stored.n,
        "at": iso(stored.at),
        "kind": stored.kind,
        "task": stored.task,
        "attempt": stored.attempt,
        "body": _body(stored),
        "hash": stored.hash.hex(),
    }
