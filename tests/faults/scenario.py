"""A small life of a store, step by step, and the judgement of what is found after a fault.

Owns: the steps (each is one durable act: one append, one command, one reopening) and what must be
readable after each of them.
Must never: depend on time or chance: the same steps give the same events in every process.
Read next: `test_power.py`, `test_kill.py`, `test_io_errors.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol
from unittest import mock

import attrs
from faults.power import Found

from durable_wf.core import events as e
from durable_wf.core.circuit import Outcome, What
from durable_wf.core.definition import PayloadRef
from durable_wf.core.events import Event, Recorded
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts, RunRow
from durable_wf.errors import DiskFull, DurableWorkflowError, LostTail, NotFound, StoreError
from durable_wf.store import connection, payload_files
from durable_wf.store.opening import Store, open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Answer, Batch, Beat, RunAppend, Verb
from durable_wf.store.verify import verify

IGNORED = ("locks/",)
"""Locks mean nothing after a restart, and pids in them differ."""

AT = 1_700_000_000_000_000


class Report(Protocol):
    """Where a scenario says how far it is."""

    def tried(self, step: int) -> None: ...
    def acked(self, step: int) -> None: ...
    def note(self, text: str) -> None: ...


@attrs.frozen
class Content:
    """What can be read from a store: run -> its bodies in order; inbox -> answer; what stands
    beside the log.
    """

    runs: tuple[tuple[str, tuple[str, ...]], ...]
    inbox: tuple[str | None, ...]
    outcomes: tuple[Outcome, ...] = ()
    beats: tuple[Beat, ...] = ()


class Life:
    """A store and the tips of its runs. Each method is one step."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tips: dict[str, tuple[int, int]] = {}
        self.store: Store | None = None

    def open(self) -> None:
        self.close()
        self.store = open_store(self.root, create=True)
        self.tips = {row.run_id: (row.run, row.n) for row in self.store.log.rows()}

    def close(self) -> None:
        if self.store is not None:
            self.store.close()
            self.store = None

    def append(
        self,
        run_id: str,
        *events: Event,
        payloads: Sequence[bytes] = (),
        files: Sequence[bytes] = (),
        answers: Sequence[Answer] = (),
        outcomes: Sequence[What] = (),
        beat: str = "",
    ) -> None:
        """`outcomes` are of attempt 1 of a task t; `beat` names the task that gives one."""
        assert self.store is not None
        for data in files:
            payload_files.write_file(self.store.folder.payloads, data, "json")
        run, n = self.tips.get(run_id, (0, 0))
        recorded = [Recorded(n + k, AT + n + k, event) for k, event in enumerate(events, 1)]
        row = make_row(run_id, n + len(events), run)
        batch = Batch(
            appends=[RunAppend(run, run_id, n, recorded, row)],
            payloads=[(digest_of(data), data) for data in payloads],
            answers=answers,
            outcomes=[Outcome("service", AT, what, f"{run_id}/t/1") for what in outcomes],
            beats=[Beat(run, beat, 1, AT + n, f"{n}")] if beat else (),
        )
        done = self.store.log.append(batch)
        assert not done.conflicts
        self.tips[run_id] = (done.runs[run_id], n + len(events))

    def post(self, run_id: str, key: str) -> None:
        assert self.store is not None
        self.store.log.post(run_id, Verb.CANCEL, "ann", key, AT, "{}")


def make_row(run_id: str, n: int, run: int) -> RunRow:
    return RunRow(
        run_id=run_id, workflow="w", status=RunStatus.RUNNING, n=n, total=100,
        counts=Counts(pending=100), created_at=AT, run=run,
    )  # fmt: skip


def created(definition: bytes) -> Event:
    return e.RunCreated(workflow="w", definition=digest_of(definition), total=100)


def started(task: str) -> Event:
    return e.AttemptStarted(task, 1, "w-12345678-0", 4711, 99)


def succeeded(task: str, value: str | PayloadRef) -> Event:
    return e.AttemptSucceeded(task, 1, value, AT, 5)


def table(data: bytes) -> PayloadRef:
    return PayloadRef(digest_of(data), len(data))


def file(data: bytes) -> PayloadRef:
    return PayloadRef(digest_of(data), len(data), "json", file=True)


SMALL, MIDDLE = b'"definition"', b"m" * 9_000
LARGE, LARGER = b"l" * 70_000, b"k" * 90_000

STEPS: tuple[Callable[[Life], None], ...] = (
    lambda life: life.open(),
    lambda life: life.append("a", created(SMALL), e.RunStarted(), payloads=[SMALL]),
    lambda life: life.append("a", started("t1")),
    lambda life: life.append("a", succeeded("t1", "1"), started("t2"), started("t3")),
    lambda life: life.append(
        "a", succeeded("t2", table(MIDDLE)), succeeded("t3", file(LARGE)),
        payloads=[MIDDLE], files=[LARGE],
    ),
    lambda life: life.append("b", created(SMALL), e.RunStarted(), started("t1"), payloads=[SMALL]),
    lambda life: life.post("b", "cancel-1"),
    lambda life: life.append(
        "b", e.RunDraining(RunStatus.CANCELLED, "asked"), answers=[Answer(1, "b", True, "done")]
    ),
    lambda life: life.open(),
    lambda life: life.append("a", *(started(f"u{k}") for k in range(60))),
    lambda life: life.append("a", *(succeeded(f"u{k}", '"%s"' % ("v" * 300)) for k in range(60))),
    lambda life: life.append("a", started("t4"), beat="t4"),
    lambda life: life.append("a", e.RunPaused("ann"), beat="t4", outcomes=[What.FAILED] * 150),
    lambda life: life.append("a", succeeded("t4", file(LARGER)), files=[LARGER]),
    lambda life: life.append("a", e.RunResumed("ann"), outcomes=[What.OPENED] + [What.OK] * 90),
    lambda life: life.append("a", started("t5"), e.RunPaused("ann")),
    lambda life: life.close(),
)  # fmt: skip


def live(root: Path, report: Report, steps: Sequence[Callable[[Life], None]] = STEPS) -> None:
    """Go through all steps, acknowledging each; small checkpoints, so that they happen."""
    with small_wal():
        life = Life(root)
        for number, step in enumerate(steps):
            report.tried(number)
            step(life)
            report.acked(number)


@contextlib.contextmanager
def small_wal(pages: int = 12) -> Iterator[None]:
    """Checkpoints after a few pages instead of thousands."""
    with mock.patch.object(connection, "CHECKPOINT_PAGES", pages):
        yield


def contents(root: Path, steps: Sequence[Callable[[Life], None]] = STEPS) -> list[Content]:
    """What must be readable after each step, from a life without faults in an empty `root`."""
    found = []
    life = Life(root)
    for step in steps:
        step(life)
        if life.store is None:
            found.append(found[-1])
        else:
            found.append(content(life.store))
    return found


def content(store: Store) -> Content:
    """Everything that the steps have put into a store."""
    runs = sorted(store.log.rows(), key=lambda row: row.run_id)
    histories = []
    for row in runs:
        bodies = tuple(one.body for one in store.log.stored(row.run))
        assert len(bodies) == row.n, "the read model has another number of events"
        histories.append((row.run_id, bodies))
    answers = []
    while (command := store.log.command(len(answers) + 1)) is not None:
        answers.append(command.answer)
    outcomes = tuple(one for key in store.log.breakers() for one in store.log.outcomes(key))
    beats = tuple(one for row in runs for one in store.log.beats(row.run).values())
    return Content(tuple(histories), tuple(answers), outcomes, beats)


def judge_with(expected: Sequence[Content]) -> Callable[[Path, int, int], Found]:
    """A judge: restart on what is there, read everything, and write once more."""

    def judge(root: Path, acked: int, tried: int) -> Found:
        try:
            store = open_store(root, create=acked < 0)
        except (NotFound, LostTail):
            return Found.LOST
        except (StoreError, OSError) as error:
            print(f"\n{type(error).__name__}: {error}")
            return Found.CORRUPT
        try:
            found = content(store)
            verdict = verify(store)
            for _, bodies in found.runs:
                for digest in named_files(bodies):
                    store.log.payload(digest)
            store.log.post("later", Verb.PAUSE, "ann", "after-the-fault", AT, "{}")
        except (DurableWorkflowError, AssertionError, OSError) as error:
            print(f"\n{type(error).__name__}: {error}")
            return Found.CORRUPT
        finally:
            store.close()
        if not verdict.sound:
            print("\n", verdict)
            return Found.CORRUPT
        if found in expected[max(acked, 0) : tried + 1]:
            return Found.SOUND
        return Found.LOST if found in expected else Found.TORN

    return judge


def named_files(bodies: Sequence[str]) -> list[str]:
    """Digests of the large payloads that these events name."""
    return [
        digest
        for digest in (digest_of(LARGE), digest_of(LARGER))
        if any(digest in body for body in bodies)
    ]


def live_on_a_bad_disk(root: Path, report: Report) -> None:
    """As `live`, the way an engine would: a full disk is tried again, any other error ends it.

    What escapes as anything else than an error of ours is noted as "raw".
    """
    with small_wal():
        life = Life(root)
        for number, step in enumerate(STEPS):
            report.tried(number)
            if not _insist(lambda step=step: step(life), report):
                return
            report.acked(number)


def _insist(act: Callable[[], None], report: Report) -> bool:
    for _ in range(3):
        try:
            act()
            return True
        except DiskFull:
            report.note("full")
        except DurableWorkflowError as error:
            report.note(type(error).__name__)
            return False
        except Exception as error:
            report.note(f"raw {type(error).__name__}: {error}")
            return False
    return False
