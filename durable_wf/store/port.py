"""The log port: what an engine, the command line and tests may ask of a store's log.

Owns: the Protocol and its value types. `memory.MemoryLog` is the readable reference,
`sqlite.SqliteLog` the real thing; `tests/conformance` judges both by the same suite.
Must never: name SQLite, a file or a lock.
Read next: `memory.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Protocol

import attrs

from durable_wf.core.circuit import Outcome
from durable_wf.core.events import Recorded, StoreEvent
from durable_wf.core.hot import hot
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Moved, RunRow


@hot
class RunAppend:
    """What one run adds in this transaction.

    `run` is its surrogate (0 for a new run, whose first event is RunCreated and whose
    `expected_n` is 0). `expected_n` is the number of the last event its writer has seen;
    `events` are numbered from `expected_n + 1`. `row` is the read model after these events; of a
    run whose tasks alone they are about, what they change of it is enough.
    """

    run: int
    run_id: str
    expected_n: int
    events: Sequence[Recorded]
    row: RunRow | Moved

    @property
    def retries(self) -> str:
        """The run whose retry this makes; "" where it makes none, or one that is a copy."""
        row = self.row
        if self.run or not isinstance(row, RunRow) or row.imported or not row.root:
            return ""
        return row.origin

    @property
    def ends(self) -> bool:
        """Whether the run has ended with these events."""
        return isinstance(self.row, RunRow) and self.row.ended_at is not None


@attrs.frozen
class Answer:
    """What became of a command to a run, as its sender is told. `command` is its number in the
    inbox, 0 where it took no such way; one that is not `accepted` and has a number waits there.
    """

    command: int
    run_id: str
    accepted: bool
    text: str


@attrs.frozen
class LeaseTake:
    """Take `key` for `holder` (an engine's lock name) as part of appending to `run_id`."""

    key: str
    holder: str
    run_id: str
    units: int = 1
    limit: int = 1


@attrs.frozen
class LeaseDrop:
    """Give back what `holder` holds of `key`."""

    key: str
    holder: str
    units: int = 1


@attrs.frozen
class Beat:
    """The last sign of life of an attempt: `detail` is JSON text. `run` is the run's surrogate."""

    run: int
    task: str
    attempt: int
    at: int
    detail: str


@hot
class Batch:
    """Everything that one turn of an engine's loop decided: one transaction.

    `outcomes` and `beats` of runs in conflict are not written. A beat takes the place of the task's
    beat before, unless that is of a later attempt; it goes when the task or the run ends.
    """

    appends: Sequence[RunAppend] = ()
    store_events: Sequence[tuple[int, StoreEvent]] = ()
    payloads: Sequence[tuple[str, bytes]] = ()
    answers: Sequence[Answer] = ()
    takes: Sequence[LeaseTake] = ()
    drops: Sequence[LeaseDrop] = ()
    outcomes: Sequence[Outcome] = ()
    beats: Sequence[Beat] = ()


@hot
class Appended:
    """What became durable.

    `runs` maps run id -> surrogate and `first_seq` run id -> seq of its first event of the batch
    (its events have consecutive seqs). `conflicts` names the runs whose `expected_n` was wrong, or
    whose id exists already, or which retry a run that has a retry already, or whose lease was taken
    by another: nothing of theirs was written, their inbox answers neither; the rest of the batch
    was.
    """

    runs: dict[str, int]
    first_seq: dict[str, int]
    conflicts: frozenset[str] = frozenset()


@hot
class Stored:
    """An event as it stands in the log, undecoded. `run` 0 is the store's own stream."""

    seq: int
    run: int
    n: int
    at: int
    kind: str
    task: str
    attempt: int
    body: str
    hash: bytes


class Verb(Enum):
    """What another process may ask of the engine that owns a run."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    ANSWER = "answer"
    SIGNAL = "signal"


@attrs.frozen
class Command:
    """A row of the inbox. `key` makes sending twice the same as sending once. `body` is a JSON
    object: the reason, and what else the verb needs (see `engine/commands.py`).
    """

    id: int
    run_id: str
    verb: Verb
    actor: str
    key: str
    at: int
    body: str = "{}"
    answer: str | None = None
    accepted: bool | None = None

    @property
    def reason(self) -> str:
        """What its sender said about it, from the body."""
        return str(json.loads(self.body).get("reason", ""))


class Log(Protocol):
    """An append-only log of events with its read model, payloads, inbox and leases.

    Order of a stream is by `n`, of the whole log by `seq`; never by time.
    """

    def append(self, batch: Batch) -> Appended:
        """Make the batch durable, all of it but the runs in conflict, in one transaction.

        When this returns, the batch survives power loss. Errors: StoreBusy (another writer, try
        again), DiskFull (nothing was written, try again), StoreFailed (this process must stop
        writing), LostTail.
        """

    def row(self, run_id: str) -> RunRow | None:
        """The read model of one run, or None."""

    def rows(
        self,
        *,
        status: Iterable[RunStatus] = (),
        workflow: str | None = None,
        since: int | None = None,
        prefix: str = "",
        origin: str | None = None,
        root: str | None = None,
        limit: int | None = None,
    ) -> list[RunRow]:
        """Runs newest first (by surrogate, descending); `since` is `created_at` in microseconds,
        `origin` the run that they were made from, `root` the first of the chain they go on.
        """

    def history(self, run: int, after: int = 0) -> Iterator[Recorded]:
        """The decoded events of a run with n > after, in order. Raises HistoryError."""

    def stored(self, run: int, after: int = 0) -> Iterator[Stored]:
        """The same events, raw, with seq and hash."""

    def came_from_elsewhere(self, run: int) -> bool:
        """Whether the log says that the run was imported: a RunImported that names it is the first
        event of another stream behind its own first one. The mark in its row is no proof.
        """

    def seqs(self, run: int, numbers: Iterable[int]) -> dict[int, int]:
        """n -> seq for the given events of a run."""

    def payload(self, digest: str) -> bytes:
        """The bytes of a payload, wherever it lies; verified. Raises PayloadMissing."""

    def has_payload(self, digest: str) -> bool:
        """Whether the payload is there (not verified)."""

    def post(self, run_id: str, verb: Verb, actor: str, key: str, at: int, body: str) -> int:
        """Put a command into the inbox; returns its id. The same key returns the same id."""

    def inbox(self) -> list[Command]:
        """Commands that nobody has consumed yet, oldest first."""

    def command(self, command_id: int) -> Command | None:
        """One command with its answer, if it has one."""

    def held(self, key: str) -> dict[str, int]:
        """Lease holders of `key` -> units, dead holders included."""

    def outcomes(self, key: str) -> list[Outcome]:
        """The outcomes kept of a breaker key, oldest first: see `core.circuit.kept`."""

    def breakers(self) -> list[str]:
        """The breaker keys that have outcomes, sorted."""

    def beats(self, run: int) -> dict[str, Beat]:
        """The last beat of each task of a run that has one and has not ended, by task."""

    def version(self) -> int:
        """A number that changes whenever another process has committed to the store."""

    def close(self) -> None:
        """Let go of everything. Idempotent."""
