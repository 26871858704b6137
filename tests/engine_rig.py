"""What tests of whole engines share: waiting, gates between tasks and test, scripts in processes.

Owns: waits with a deadline, `Gate` (a task tells that it began, and waits until it may end).
Must never: sleep for a guessed time.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

import durable_wf as wf
from durable_wf.core.events import Recorded

ROOT = Path(__file__).parent.parent
DEADLINE_S = 30.0

_pause = threading.Event()  # never set: a wait with a deadline


def wait_for(look: Callable[[], object], what: str = "it") -> None:
    """Until `look` says something true; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        _pause.wait(0.005)


@attrs.frozen
class Gate:
    """A task passes it in two steps: it says that it has come, and waits until it may go on."""

    path: Path

    def pass_through(self) -> None:
        """In the task."""
        with (self.path.parent / f"{self.path.name}.came").open("a") as file:
            file.write("came\n")
        wait_for(self.path.exists, "the gate to open")

    def came(self) -> int:
        """How many have come so far."""
        file = self.path.parent / f"{self.path.name}.came"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def wait_for_one(self) -> None:
        """In the test: until a task has come."""
        wait_for(self.came, "a task to come to the gate")

    def open(self) -> None:
        """Let all pass."""
        self.path.touch()


def gated(gate: Gate) -> wf.Workflow:
    """`first` waits at the gate and gives 1; `second` adds 1 to it."""

    def first() -> int:
        gate.pass_through()
        return 1

    return (
        wf.WorkflowBuilder("gated")
        .add_task("first", first)
        .add_task("second", lambda first: first + 1)
        .depends_on("first")
        .build()
    )


def kinds(result: wf.RunResult | list[Recorded]) -> list[str]:
    """The kinds of a run's events."""
    events = result if isinstance(result, list) else result.history()
    return [type(recorded.event).__name__ for recorded in events]


def environment(**more: str) -> dict[str, str]:
    """For processes that import this package and these tests."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def script(
    folder: Path, text: str, *words: object, alone: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A script of its own, running; whatever is left of it is killed at the end. `alone`: in a
    process group of its own, so that what a terminal sends can be sent.
    """
    file = folder / "script.py"
    file.write_text(textwrap.dedent(text))
    process = subprocess.Popen(
        [sys.executable, str(file), *map(str, words)],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        process_group=0 if alone else None,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            if alone:
                os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate(timeout=DEADLINE_S)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a script's end: exit code, what it said, what it complained about."""
    out, errors = process.communicate(timeout=DEADLINE_S)
    return process.returncode, out, errors


def run_python(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    """A Python process, from start to end."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=environment(**more), text=True, capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def dwf(store: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command line, in a process of its own."""
    return run_python("-m", "durable_wf", "--store", store, *words)
