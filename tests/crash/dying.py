"""Engines that die at a chosen point, and what must hold afterwards.

Owns: the points (before and after each step of the loop that matters), running an engine in a
forked child that kills itself there, and the judgement of marks against the log.
Must never: trust the engine's own word; tasks leave marks of their own in a file.
Read next: `test_engine_kill.py`.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.definition import Workflow
from durable_wf.core.events import Recorded
from durable_wf.core.state import row_of
from durable_wf.engine import claiming, continuing
from durable_wf.engine.loop import Loop
from durable_wf.engine.view import load_definition, load_state
from durable_wf.execute.sequential import SequentialExecutor
from durable_wf.store.opening import open_store
from durable_wf.store.sqlite import SqliteLog
from durable_wf.store.verify import verify
from tests import oracles

_pause = threading.Event()  # never set: a wait with a deadline

CHILD_S = 60.0
"""By when a child must have ended."""

POINTS: dict[str, tuple[Any, str, bool]] = {
    "before an append": (SqliteLog, "append", True),
    "after an append": (SqliteLog, "append", False),
    "before attempts start": (SequentialExecutor, "start", True),
    "after attempts were handed over": (SequentialExecutor, "start", False),
    "before attempts run": (SequentialExecutor, "poll", True),
    "after attempts ran": (SequentialExecutor, "poll", False),
    "after the commit was acted on": (Loop, "_act", False),
    "before a claim": (continuing, "claim", True),
    "after a claim is decided": (continuing, "claim", False),
    "while open attempts are judged": (claiming, "_fates", False),
}
"""Name -> where it is, and whether death comes before the call (else after it)."""


@attrs.frozen
class Ending:
    """How a child ended: killed at its point, or through."""

    killed: bool
    code: int


def mark(file: str, word: str) -> None:
    """Leave a mark that no engine can take back; one write, so that it is whole or absent."""
    current = wf.current()
    fd = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{word} {current.task} {current.attempt}\n".encode())
    finally:
        os.close(fd)


@contextmanager
def dying_at(point: str, number: int) -> Iterator[None]:
    """Kill this process at the `number`-th time that `point` is met."""
    owner, name, before = POINTS[point]
    original = getattr(owner, name)
    met = 0

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        nonlocal met
        met += 1
        due = met == number
        if due and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, wrapped)
    try:
        yield
    finally:
        setattr(owner, name, original)


def in_child(action: Callable[[], object]) -> Ending:
    """Do `action` in a forked child and wait for its end; its failure fails the test."""
    pid = os.fork()
    if pid == 0:
        code = 3
        try:
            action()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    deadline = time.monotonic() + CHILD_S
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"a child did not end within {CHILD_S} s")
        _pause.wait(0.002)
    killed = os.WIFSIGNALED(status)
    code = -os.WTERMSIG(status) if killed else os.WEXITSTATUS(status)
    assert code in {0, -signal.SIGKILL}, f"the child failed: {code}"
    return Ending(killed, code)


def history(store: Path, run_id: str) -> tuple[Workflow, list[Recorded]] | None:
    """The definition and events of a run as they stand in the store; None before it exists."""
    if not (store / "log.db").exists():
        return None
    opened = open_store(store, readonly=True)
    try:
        row = opened.log.row(run_id)
        if row is None:
            return None
        return load_definition(opened.log, row), list(opened.log.history(row.run))
    finally:
        opened.close()


def check_marks(store: Path, run_id: str, marks: Path) -> int:
    """Each mark has an earlier committed AttemptStarted, none follows a recorded success.

    Call this right after a death. Returns the number of marks.
    """
    lines = marks.read_text().splitlines() if marks.exists() else []
    found = history(store, run_id)
    announced = set()
    succeeded: dict[str, int] = {}
    for recorded in found[1] if found else []:
        match recorded.event:
            case e.AttemptStarted(task=task, attempt=attempt):
                announced.add((task, attempt))
                assert task not in succeeded, f"{task} started again after its success"
            case e.AttemptSucceeded(task=task, attempt=attempt):
                succeeded[task] = attempt
            case _:
                pass
    for line in lines:
        _, task, attempt = line.split()
        assert (task, int(attempt)) in announced, f"{line!r} was never announced"
        assert int(attempt) <= succeeded.get(task, int(attempt)), f"{line!r} after the success"
    return len(lines)


def check_log(store: Path, run_id: str) -> None:
    """The log verifies, keeps every invariant, and its read model is its replay."""
    found = history(store, run_id)
    assert found is not None
    oracles.read(*found)
    opened = open_store(store, readonly=True)
    try:
        assert verify(opened).sound
        row = opened.log.row(run_id)
        assert row is not None
        replayed = attrs.evolve(row_of(load_state(opened.log, run_id)), run=row.run)
    finally:
        opened.close()
    assert replayed == row
