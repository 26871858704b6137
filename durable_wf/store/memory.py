"""MemoryLog: the log port in plain lists and dictionaries.

Owns: the readable reference of what a log does. `tests/conformance` holds it against SqliteLog.
Must never: be faster at the price of being harder to read, or be given to users as a store:
nothing in it survives the process.
Read next: `sqlite.py`, which does the same on a disk.

Several MemoryLogs over one `Shelf` are what several processes are to a store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from durable_wf.core.circuit import Outcome, kept
from durable_wf.core.codec import decode, encode
from durable_wf.core.events import Recorded
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Moved, RunRow
from durable_wf.errors import DurableWorkflowError, HistoryError, PayloadMissing, StoreError
from durable_wf.store.beats import ended_tasks
from durable_wf.store.chain import GENESIS, link
from durable_wf.store.imports import says_imported
from durable_wf.store.leases import Holdings, settle
from durable_wf.store.port import Answer, Appended, Batch, Beat, Command, RunAppend, Stored, Verb

_STORE_STREAM = 0


@attrs.define(eq=False)
class Shelf:
    """What is stored: the content of one store."""

    events: list[Stored] = attrs.field(factory=list)
    streams: dict[int, list[Stored]] = attrs.field(factory=dict)
    rows: dict[int, RunRow] = attrs.field(factory=dict)
    runs: dict[str, int] = attrs.field(factory=dict)
    payloads: dict[str, bytes] = attrs.field(factory=dict)
    inbox: list[Command] = attrs.field(factory=list)
    leases: Holdings = attrs.field(factory=dict)
    outcomes: dict[str, list[Outcome]] = attrs.field(factory=dict)
    beats: dict[tuple[int, str], Beat] = attrs.field(factory=dict)
    commits: int = 0


class MemoryLog:
    """The log of one shelf. `alive` says whether the holder of a lease lives."""

    def __init__(
        self,
        shelf: Shelf | None = None,
        *,
        alive: Callable[[str], bool] = lambda _: True,
        refuse: DurableWorkflowError | None = None,
    ) -> None:
        self.shelf = shelf or Shelf()
        self._alive = alive
        self._refuse = refuse
        self._own_commits = 0
        self._closed = False

    # --- writing ----------------------------------------------------------------------------------

    def append(self, batch: Batch) -> Appended:
        """See `Log.append`."""
        self._may_write()
        conflicts = self._conflicts(batch)
        leases, lost = settle(self.shelf.leases, batch.drops, batch.takes, conflicts, self._alive)
        conflicts |= lost
        accepted = [one for one in batch.appends if one.run_id not in conflicts]
        answers = [one for one in batch.answers if one.run_id not in conflicts]
        # All that can be refused is refused before anything changes.
        for one in accepted:
            _check_numbers(one)
        self.shelf.leases = {key: holders for key, holders in leases.items() if holders}
        appended = Appended({}, {}, frozenset(conflicts))
        for one in accepted:
            run = one.run or len(self.shelf.runs) + 1
            self.shelf.runs[one.run_id] = run
            self.shelf.rows[run] = self._row(run, one)
            appended.runs[one.run_id] = run
            appended.first_seq[one.run_id] = len(self.shelf.events) + 1
            for recorded in one.events:
                self._store(run, one.run_id, recorded)
        for at, event in batch.store_events:
            n = len(self.shelf.streams.get(_STORE_STREAM, ())) + 1
            self._store(_STORE_STREAM, "", Recorded(n, at, event))
        for answer in answers:
            self._answer(answer)
        for digest, data in batch.payloads:
            self.shelf.payloads[digest] = data  # the same, or a damaged one is made whole
        self._note_outcomes(batch, conflicts)
        self._note_beats(batch, conflicts)
        for one in accepted:
            self._end_beats(one, appended.runs[one.run_id])
        self._commit()
        return appended

    def post(self, run_id: str, verb: Verb, actor: str, key: str, at: int, body: str) -> int:
        """See `Log.post`."""
        self._may_write()
        for command in self.shelf.inbox:
            if (command.run_id, command.key) == (run_id, key):
                return command.id
        number = len(self.shelf.inbox) + 1
        self.shelf.inbox.append(Command(number, run_id, verb, actor, key, at, body))
        self._commit()
        return number

    def close(self) -> None:
        """See `Log.close`."""
        self._closed = True

    # --- reading ----------------------------------------------------------------------------------

    def row(self, run_id: str) -> RunRow | None:
        """See `Log.row`."""
        self._may_read()
        return self.shelf.rows.get(self.shelf.runs.get(run_id, 0))

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
        """See `Log.rows`."""
        self._may_read()
        wanted = set(status) or set(RunStatus)
        found = [
            row
            for _, row in sorted(self.shelf.rows.items(), reverse=True)
            if row.status in wanted
            and workflow in {None, row.workflow}
            and (since is None or row.created_at >= since)
            and row.run_id.startswith(prefix)
            and (origin is None or row.origin == origin != "")
            and (root is None or row.root == root != "")
        ]
        return found[:limit]

    def history(self, run: int, after: int = 0) -> Iterator[Recorded]:
        """See `Log.history`."""
        for one in self.stored(run, after):
            yield Recorded(one.n, one.at, decode(one.kind, one.task, one.attempt, one.body))

    def stored(self, run: int, after: int = 0) -> Iterator[Stored]:
        """See `Log.stored`."""
        self._may_read()
        yield from self.shelf.streams.get(run, [])[after:]

    def came_from_elsewhere(self, run: int) -> bool:
        """See `Log.came_from_elsewhere`."""
        first = next(self.stored(run), None)
        if first is None:
            return False
        behind = (one for one in self.shelf.events[first.seq :] if one.run != run)
        said = next(behind, None)
        return said is not None and says_imported(said, self.shelf.rows[run].run_id)

    def seqs(self, run: int, numbers: Iterable[int]) -> dict[int, int]:
        """See `Log.seqs`."""
        wanted = set(numbers)
        return {one.n: one.seq for one in self.stored(run) if one.n in wanted}

    def payload(self, digest: str) -> bytes:
        """See `Log.payload`."""
        self._may_read()
        if digest not in self.shelf.payloads:
            raise PayloadMissing(f"payload {digest} is missing")
        return self.shelf.payloads[digest]

    def has_payload(self, digest: str) -> bool:
        """See `Log.has_payload`."""
        self._may_read()
        return digest in self.shelf.payloads

    def inbox(self) -> list[Command]:
        """See `Log.inbox`."""
        self._may_read()
        return [command for command in self.shelf.inbox if command.answer is None]

    def command(self, command_id: int) -> Command | None:
        """See `Log.command`."""
        self._may_read()
        known = 1 <= command_id <= len(self.shelf.inbox)
        return self.shelf.inbox[command_id - 1] if known else None

    def held(self, key: str) -> dict[str, int]:
        """See `Log.held`."""
        self._may_read()
        return dict(self.shelf.leases.get(key, {}))

    def outcomes(self, key: str) -> list[Outcome]:
        """See `Log.outcomes`."""
        self._may_read()
        return list(self.shelf.outcomes.get(key, ()))

    def breakers(self) -> list[str]:
        """See `Log.breakers`."""
        self._may_read()
        return sorted(self.shelf.outcomes)

    def beats(self, run: int) -> dict[str, Beat]:
        """See `Log.beats`."""
        self._may_read()
        return {task: beat for (of, task), beat in self.shelf.beats.items() if of == run}

    def version(self) -> int:
        """See `Log.version`."""
        self._may_read()
        return self.shelf.commits - self._own_commits

    # --- helpers ----------------------------------------------------------------------------------

    def _may_read(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")

    def _may_write(self) -> None:
        self._may_read()
        if self._refuse is not None:
            raise self._refuse

    def _conflicts(self, batch: Batch) -> set[str]:
        conflicts: set[str] = set()
        for one in batch.appends:
            others = [other for other in batch.appends if other is not one]
            if any(_collide(one, other) for other in others) or not self._fits(one):
                conflicts.add(one.run_id)
        for answer in batch.answers:
            command = self.command(answer.command)
            if command is None or command.answer is not None:
                conflicts.add(answer.run_id)
        return conflicts

    def _fits(self, one: RunAppend) -> bool:
        retried = (row.origin for row in self.shelf.rows.values() if row.root and not row.imported)
        if one.retries and one.retries in retried:
            return False
        run = self.shelf.runs.get(one.run_id, 0)
        return run == one.run and len(self.shelf.streams.get(run, ()) if run else ()) == (
            one.expected_n
        )

    def _row(self, run: int, one: RunAppend) -> RunRow:
        if isinstance(one.row, Moved):
            return self.shelf.rows[run].after(one.row)
        return attrs.evolve(one.row, run=run)

    def _store(self, run: int, run_id: str, recorded: Recorded) -> None:
        stream = self.shelf.streams.setdefault(run, [])
        kind, task, attempt, body = encode(recorded.event)
        n, at = recorded.n, recorded.at
        previous = stream[-1].hash if stream else GENESIS
        chained = link(previous, run_id, n, at, kind, task, attempt, body)
        seq = len(self.shelf.events) + 1
        one = Stored(seq, run, n, at, kind, task, attempt, body, chained)
        self.shelf.events.append(one)
        stream.append(one)

    def _note_outcomes(self, batch: Batch, conflicts: set[str]) -> None:
        for one in batch.outcomes:
            if one.run_id not in conflicts:
                before = self.shelf.outcomes.get(one.key, [])
                self.shelf.outcomes[one.key] = kept([*before, one])

    def _note_beats(self, batch: Batch, conflicts: set[str]) -> None:
        lost = {self.shelf.runs.get(run_id) for run_id in conflicts}
        for beat in batch.beats:
            row = self.shelf.rows.get(beat.run)
            if beat.run in lost or row is None or row.ended_at is not None:
                continue
            before = self.shelf.beats.get((beat.run, beat.task))
            if before is None or before.attempt <= beat.attempt:
                self.shelf.beats[beat.run, beat.task] = beat

    def _end_beats(self, one: RunAppend, run: int) -> None:
        ended = ended_tasks(one)
        for of, task in list(self.shelf.beats):
            if of == run and (task in ended or one.ends):
                del self.shelf.beats[of, task]

    def _answer(self, answer: Answer) -> None:
        command = self.shelf.inbox[answer.command - 1]
        self.shelf.inbox[answer.command - 1] = attrs.evolve(
            command, answer=answer.text, accepted=answer.accepted
        )

    def _commit(self) -> None:
        self.shelf.commits += 1
        self._own_commits += 1


def _collide(one: RunAppend, other: RunAppend) -> bool:
    return one.run_id == other.run_id or "" != one.retries == other.retries


def _check_numbers(one: RunAppend) -> None:
    for n, recorded in enumerate(one.events, one.expected_n + 1):
        if recorded.n != n:
            raise HistoryError(f"run {one.run_id}: event {recorded.n} follows event {n - 1}")
