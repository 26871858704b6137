"""References: which payloads and output files the log names.

Owns: two readings of the same question. `mentioned_*` is generous, for pruning and copying: every
text that could be a digest counts, in events of any kind, so that nothing which may be needed is
ever taken for garbage. `needs_of` is exact, for checking: what a run cannot do without.
Must never: write, or load a payload's content other than a definition's.
Read next: `prune.py`, `archive.py`, `portable.py`, `check.py`.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs

from durable_wf.core.definition import PayloadRef, Workflow
from durable_wf.core.events import AttemptSucceeded, CodeAccepted, Event, RunCreated, TaskImported
from durable_wf.errors import PayloadMissing
from durable_wf.store.payload_files import read_file

_DIGEST = re.compile("(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_FILE = re.compile(r'"(?:file|kept)":("(?:[^"\\]|\\.)*")')
_DEFINED_BY = "kind LIKE 'RunCreated%' OR kind LIKE 'CodeAccepted%'"
_PAGE = 4000


@attrs.frozen
class Mentioned:
    """What the events up to `seq` may name."""

    seq: int
    digests: frozenset[str]
    files: frozenset[str]
    """names relative to `output/`"""


@attrs.frozen
class Need:
    """A payload that a run needs, and what for. `file` says that it lies outside the database."""

    digest: str
    what: str
    file: bool = False


NOTHING = Mentioned(0, frozenset(), frozenset())


def mentioned(
    connection: sqlite3.Connection,
    payloads: Path,
    known: Mentioned = NOTHING,
    run: int | None = None,
) -> Mentioned:
    """Everything that may be named by the log, or by one run (its surrogate); goes on from `known`.

    Functions stored by value are named by definitions, which are payloads themselves.
    """
    digests: set[str] = set()
    files: set[str] = set()
    definitions: set[str] = set()
    seq = known.seq
    for last, is_definition, body in _bodies(connection, seq, run):
        seq = last
        found = _DIGEST.findall(body)
        digests.update(found)
        if is_definition:
            definitions.update(found)
        if '"file":"' in body or '"kept":"' in body:
            files.update(json.loads(text) for text in _FILE.findall(body))
    for digest in definitions:
        text = _text_of(connection, payloads, digest)
        digests.update(_DIGEST.findall(text))
    return Mentioned(seq, known.digests | digests, known.files | files)


def needs_of(event: Event) -> Iterator[Need]:
    """The payloads that this event names."""
    match event:
        case RunCreated(definition=digest):
            yield Need(digest, "its definition")
        case CodeAccepted(definition=digest):
            yield Need(digest, "its definition with changed code")
        case AttemptSucceeded(task=task, value=PayloadRef(digest=digest, file=file)):
            yield Need(digest, f"the result of task {task!r}", file)
        case TaskImported(task=task, ref=PayloadRef(digest=digest, file=file)):
            yield Need(digest, f"the result of task {task!r}", file)
        case _:
            pass


def needs_of_definition(workflow: Workflow) -> Iterator[Need]:
    """The payloads that a definition names: functions that are stored by value."""
    for task in workflow.tasks:
        if task.function.by_value:
            digest = task.function.by_value.partition(":")[0]
            yield Need(digest, f"the function of task {task.name!r}")


def _bodies(
    connection: sqlite3.Connection, after: int, run: int | None
) -> Iterator[tuple[int, int, str]]:
    """Seq, whether it names a definition, and body; in pages, each a short statement."""
    own = "" if run is None else "AND run = ?"
    statement = (
        f"SELECT seq, {_DEFINED_BY}, body FROM events WHERE seq > ? {own} "  # noqa: S608
        f"ORDER BY seq LIMIT {_PAGE}"
    )
    values = () if run is None else (run,)
    while page := connection.execute(statement, (after, *values)).fetchall():
        yield from page
        after = page[-1][0]


def _text_of(connection: sqlite3.Connection, payloads: Path, digest: str) -> str:
    """A definition, wherever it lies; "" for what is no payload, or missing."""
    row = connection.execute("SELECT data FROM payloads WHERE digest = ?", (digest,)).fetchone()
    if row is not None:
        data: bytes = row[0]
    else:
        try:
            data = read_file(payloads, digest)
        except PayloadMissing:
            return ""
    return data.decode("utf-8", "replace")
