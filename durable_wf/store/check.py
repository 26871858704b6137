"""The check of a whole store: everything that can be proved about it, without changing it.

Owns: the findings of `dwf db check`: the database as SQLite sees it, the schema, the hashes, each
run's read model against a replay of its events, the payloads that runs need, and the rows beside
the log.
Must never: write, repair, or stop at the first finding.
Read next: `verify.py` (hashes), `references.py` (needs).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from enum import Enum

import attrs

from durable_wf.core.codec import decode
from durable_wf.core.definition import Workflow
from durable_wf.core.events import EngineStarted, Recorded
from durable_wf.core.evolve import evolve
from durable_wf.core.graph import Graph
from durable_wf.core.state import RunState, row_of
from durable_wf.core.summary import RunRow
from durable_wf.errors import DurableWorkflowError, HistoryError, PayloadMissing
from durable_wf.store import beats, outcomes, payload_files, schema
from durable_wf.store import connection as connections
from durable_wf.store.folder import Folder
from durable_wf.store.opening import Store
from durable_wf.store.port import Log
from durable_wf.store.references import Need, needs_of, needs_of_definition
from durable_wf.store.verify import UNREADABLE, readable, verify_folder

_KEPT_DEFINITIONS = 64


class Area(Enum):
    """Which part of a store a finding is about."""

    DATABASE = "database"
    SCHEMA = "schema"
    LOG = "log"
    HISTORY = "history"
    READ_MODEL = "read model"
    PAYLOAD = "payload"
    OUTCOME = "outcome"
    BEAT = "heartbeat"


@attrs.frozen
class Finding:
    """Something that is not as it should be. `run_id` is "" where no run is concerned."""

    area: Area
    run_id: str
    what: str

    def __str__(self) -> str:
        run = f"run {readable(self.run_id)}: " if self.run_id else ""
        return f"{self.area.value}: {run}{self.what}"


def check(store: Store) -> list[Finding]:
    """Look at everything; an empty list means that the store is sound. Safe while engines run."""
    findings = check_folder(store.folder)
    if any(finding.area in {Area.DATABASE, Area.SCHEMA} for finding in findings):
        return findings  # what is read below would only repeat it, less clearly
    findings += _check_beside(store.folder)
    payloads = _Payloads(store.folder)
    try:
        found = store.log.rows()
        origins = _Origins(store)
        for row in found:
            findings += _check_run(store.log, row, payloads, origins)
    except DurableWorkflowError as error:
        findings.append(Finding(Area.DATABASE, "", error.message))
    finally:
        payloads.close()
    return findings


def check_folder(folder: Folder) -> list[Finding]:
    """The part of `check` that needs no open store: database, schema, hashes and head."""
    findings = []
    try:
        with closing(connections.open_reader(folder.db)) as connection:
            for (line,) in connection.execute("PRAGMA integrity_check(20)"):
                if line != "ok":
                    findings.append(Finding(Area.DATABASE, "", str(line)))
            try:
                schema.compare(connection)
            except DurableWorkflowError as error:
                findings.append(Finding(Area.SCHEMA, "", error.message))
    except (*UNREADABLE, DurableWorkflowError) as error:
        findings.append(Finding(Area.DATABASE, "", f"{folder.db} cannot be read: {error}"))
    verdict = verify_folder(folder)
    findings += [Finding(Area.LOG, bad.run_id, str(bad)) for bad in verdict.bad]
    findings += [Finding(Area.LOG, "", problem) for problem in verdict.problems]
    return findings


def _check_beside(folder: Folder) -> list[Finding]:
    """The tables that no hash covers: their rows are such as an engine writes."""
    with closing(connections.open_reader(folder.db)) as connection:
        if schema.version_of(connection) < schema.BESIDE:
            return []
        found = [Finding(Area.OUTCOME, "", text) for text in outcomes.wrong(connection)]
        return found + [Finding(Area.BEAT, "", text) for text in beats.wrong(connection)]


class _Payloads:
    """Whether payloads are there and whole; each is looked at once. Definitions are kept."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._connection = connections.open_reader(folder.db)
        self._whole: dict[str, bool] = {}
        self._definitions: dict[str, tuple[Workflow, Graph]] = {}

    def definition(self, log: Log, digest: str) -> tuple[Workflow, Graph]:
        """A definition and its graph. Raises PayloadMissing, DefinitionError."""
        if digest not in self._definitions:
            if len(self._definitions) >= _KEPT_DEFINITIONS:
                self._definitions.clear()
            workflow = Workflow.as_recorded(log.payload(digest).decode())
            self._definitions[digest] = workflow, Graph(workflow.tasks)
        return self._definitions[digest]

    def missing(self, need: Need) -> str | None:
        """What is wrong with a payload, or None."""
        if need.digest not in self._whole:
            self._whole[need.digest] = self._look(need.digest)
        if self._whole[need.digest]:
            return None
        return f"{need.what} (payload {need.digest}) is missing or damaged"

    def close(self) -> None:
        self._connection.close()

    def _look(self, digest: str) -> bool:
        row = self._connection.execute(
            "SELECT data FROM payloads WHERE digest = ?", (digest,)
        ).fetchone()
        if row is not None:
            return payload_files.digest_of(row[0]) == digest
        return payload_files.is_whole(self._folder.payloads, digest)


class _Origins:
    """Which runs came from elsewhere, by what the log says of them.

    Where it says of no import of a run, it may still be one: of a durable_wf that did not write
    that. Then the engine that made the run never started in this store; the engines that make the
    runs of a store say there, with the first of them, that they have started.
    """

    def __init__(self, store: Store) -> None:
        self._log = store.log
        self._is_file = store.folder.is_file
        self._engines = {
            event.engine
            for one in store.log.stored(0)
            if one.kind == EngineStarted.__name__
            and isinstance(event := decode(one.kind, "", 0, one.body), EngineStarted)
        }

    def came_from_elsewhere(self, row: RunRow, maker: str) -> bool:
        """Whether the run did; `maker` is the first engine that it names."""
        if self._is_file or self._log.came_from_elsewhere(row.run):
            return True
        return maker not in self._engines


def _check_run(log: Log, row: RunRow, payloads: _Payloads, origins: _Origins) -> list[Finding]:
    """One run: its history is legal, its row is what the history gives, its payloads are there."""
    findings: list[Finding] = []

    def note(area: Area, what: str) -> None:
        findings.append(Finding(area, row.run_id, what))

    try:
        first = next(log.history(row.run), None)
        if first is None:
            note(Area.HISTORY, "it has no events")
            return findings
        digest = next((need.digest for need in needs_of(first.event)), "")
        workflow, graph = payloads.definition(log, digest)
        state = RunState.of(row.run_id, workflow, graph)
        for need in needs_of_definition(workflow):
            _note_missing(payloads, need, note_to=findings, row=row)
        maker = ""
        for recorded in _up_to(log, row):
            evolve(state, recorded)
            maker = maker or state.engine
            for need in needs_of(recorded.event):
                _note_missing(payloads, need, note_to=findings, row=row)
        right = attrs.evolve(_as_of(state, row), imported=origins.came_from_elsewhere(row, maker))
        for text in _differences(right, row):
            note(Area.READ_MODEL, text)
    except PayloadMissing as error:
        note(Area.PAYLOAD, f"its definition cannot be read: {error.message}")
    except HistoryError as error:
        note(Area.HISTORY, error.message)
    except (DurableWorkflowError, ValueError) as error:
        note(Area.HISTORY, f"it cannot be replayed: {error}")
    return findings


def _note_missing(payloads: _Payloads, need: Need, *, note_to: list[Finding], row: RunRow) -> None:
    if problem := payloads.missing(need):
        note_to.append(Finding(Area.PAYLOAD, row.run_id, problem))


def _up_to(log: Log, row: RunRow) -> Iterator[Recorded]:
    """The events that the row stands for; an engine may have added more since it was read."""
    for recorded in log.history(row.run):
        if recorded.n > row.n:
            return
        yield recorded


def _as_of(state: RunState, found: RunRow) -> RunRow:
    """The read model that the state gives. Stores may have been left by a durable_wf that wrote
    when the next timer is due of all runs; that holds, too.
    """
    replayed = row_of(state)
    is_timer = found.wake_at == state.wake_at
    return attrs.evolve(replayed, wake_at=state.wake_at) if is_timer else replayed


def _differences(replayed: RunRow, found: RunRow) -> Iterator[str]:
    """Fields of the read model that a replay gives otherwise, but for the store's own number."""
    right = attrs.evolve(replayed, run=found.run)
    for name in attrs.fields_dict(RunRow):
        if getattr(right, name) != getattr(found, name):
            yield f"{name} is {getattr(found, name)!r}; its events give {getattr(right, name)!r}"
