"""`dwf demo --crash`: kill an engine half way, and count from the log what that cost.

Owns: starting the engine as a process of its own, the kill, and the proof read from the events.
Must never: believe anything but the log: what a process printed is no evidence.
Read next: `demo.py`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from durable_wf.core import events as e
from durable_wf.core.events import Recorded
from durable_wf.core.status import FaultKind
from durable_wf.errors import DurableWorkflowError, NotFound, StoreError, VerificationFailed
from durable_wf.store.opening import Store, open_store

HALF_S = 120.0
"""How long the engine may take to come half way."""

_LOOK_S = 0.02


@attrs.frozen
class Proof:
    """What the events say about a run that was killed and resumed.

    `finished` counts tasks whose success was recorded before the run was resumed, `again` those of
    them that were started once more. `in_doubt` attempts had begun when the engine died;
    `returned` ones were announced and never began. `twice` names tasks with two successes.
    """

    tasks: int
    finished: int
    again: int
    in_doubt: int
    returned: int
    twice: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether no finished task ran twice."""
        return self.again == 0 and not self.twice


def proof(history: Iterable[Recorded]) -> Proof:
    """Read the proof from a run's events; a claim by `resume` or `recover` is where it went on."""
    successes: Counter[str] = Counter()
    before: frozenset[str] = frozenset()
    again = in_doubt = returned = total = 0
    for recorded in history:
        match recorded.event:
            case e.RunCreated(total=total):
                pass
            case e.RunClaimed(why=why) if why != "create":
                before = frozenset(successes)
            case e.AttemptStarted(task=task):
                again += task in successes
            case e.AttemptReturned():
                returned += 1
            case e.AttemptFailed(fault=fault):
                in_doubt += fault.kind is FaultKind.IN_DOUBT
            case e.AttemptSucceeded(task=task):
                successes[task] += 1
            case _:
                pass
    twice = tuple(sorted(task for task, count in successes.items() if count > 1))
    return Proof(total, len(before), again, in_doubt, returned, twice)


@attrs.frozen
class Kill:
    """An engine that was killed: its process, and how far its run had come."""

    pid: int
    succeeded: int
    total: int


def kill_half_way(command: Sequence[str], store: Path, run_id: str) -> Kill:
    """Start an engine by `command`, SIGKILL it once half of the run's tasks have succeeded."""
    with tempfile.TemporaryFile() as output:
        engine = subprocess.Popen(
            [sys.executable, "-m", "durable_wf", *command], stdout=output, stderr=output
        )
        try:
            succeeded, total = _wait_for_half(engine, store, run_id)
        except DurableWorkflowError as error:
            output.seek(0)
            tail = output.read().decode(errors="replace")[-2000:]
            raise VerificationFailed(f"{error.message}\n{tail}".rstrip()) from None
        finally:
            engine.kill()
            engine.wait(timeout=30)
    return Kill(engine.pid, succeeded, total)


def _wait_for_half(engine: subprocess.Popen[bytes], path: Path, run_id: str) -> tuple[int, int]:
    deadline = time.monotonic() + HALF_S
    store: Store | None = None
    succeeded = total = 0
    try:
        while time.monotonic() < deadline:
            ended = engine.poll()
            store = store or _open_if_there(path)
            if store is not None and (row := store.log.row(run_id)) is not None:
                succeeded, total = row.counts.succeeded, row.total
            if ended is not None:
                raise VerificationFailed(
                    f"the engine ended by itself (exit {ended}), {succeeded} of {total} tasks done"
                )
            if total and succeeded * 2 >= total:
                return succeeded, total
            time.sleep(_LOOK_S)
    finally:
        if store is not None:
            store.close()
    raise VerificationFailed(f"run {run_id} did not come half way in {HALF_S:.0f} s")


def _open_if_there(path: Path) -> Store | None:
    """The store for reading, or None while the engine has not made it yet."""
    try:
        return open_store(path, readonly=True)
    except (NotFound, StoreError):
        return None
