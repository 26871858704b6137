"""`dwf` as other programs see it: processes, in folders of their own.

Owns: starting `dwf`, waiting for what it does, and the scripts that it runs.
Must never: wait without a deadline.
Read next: `test_cli.py`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from click.testing import CliRunner

from durable_wf.cli.main import dwf

DEADLINE_S = 40.0
ROOT = Path(__file__).resolve().parent.parent

LOOKS = frozenset("audit breakers db events export graph import inbox list logs show why".split())
"""Commands that neither run tasks nor load code."""

PIPELINE = '''
import time
from pathlib import Path
from durable_wf import WorkflowBuilder

def extract(source):
    print("reading", source)
    return [1, 2, 3]

def double(rows):
    return [2 * row for row in rows]

workflow = (
    WorkflowBuilder("etl", "doubles numbers")
    .add_task("extract", extract, parameters={"source": "database"})
    .add_task("double", double).depends_on("extract")
    .add_task("total", lambda double: sum(double)).depends_on("double")
    .build()
)

def boom(extract):
    raise ValueError("no \\x1b[2Jsuch table")

def after(boom):
    return boom

failing = (
    WorkflowBuilder("failing")
    .add_task("extract", extract, parameters={"source": "database"})
    .add_task("boom", boom).depends_on("extract")
    .add_task("after", after).depends_on("boom")
    .build()
)

def step(number):
    """Leaves a mark, then waits until it may go on."""
    with Path("marks").open("a") as file:
        file.write(f"{number}\\n")
    print("step", number, flush=True)
    while not Path("go").exists() and number >= 3:
        time.sleep(0.01)
    return number

builder = WorkflowBuilder("steps")
for number in range(6):
    builder.add_task(f"step{number}", step, parameters={"number": number})
    if number:
        builder.after(f"step{number - 1}")
steps = builder.build()

not_a_workflow = 42
'''


def environment(changed: dict[str, str]) -> dict[str, str]:
    """What processes get: this package, compiled once, and what a test changes."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT), **changed}


@attrs.frozen
class Ended:
    """How a process ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """Its stdout as one JSON document."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """Its stdout as JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def error(self) -> Any:
        """Its stderr's last line as the JSON of an error."""
        return json.loads(self.err.splitlines()[-1])["error"]


@attrs.frozen
class Rig:
    """A folder with a script in it, and `dwf` in this folder."""

    folder: Path

    def command(self, *args: object) -> list[str]:
        """What is executed."""
        return [sys.executable, "-m", "durable_wf", *map(str, args)]

    def start(self, *args: object) -> subprocess.Popen[str]:
        """Start `dwf` in the background, in a process group of its own."""
        return subprocess.Popen(
            self.command(*args),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=environment({}),
        )

    def __call__(self, *args: object, env: dict[str, str] | None = None) -> Ended:
        """Run `dwf` to its end: in this process where it only looks, else in one of its own."""
        if env is None and args[0] in LOOKS and "pipeline.py:workflow" not in args:
            return self.look(*args)
        return self.execute(*args, env=env)

    def look(self, *args: object) -> Ended:
        """Run `dwf` in this process, which is much faster."""
        with contextlib.chdir(self.folder):
            shown = CliRunner().invoke(dwf, [*map(str, args)], prog_name="dwf")
        return Ended(shown.exit_code, shown.stdout, shown.stderr)

    def execute(self, *args: object, env: dict[str, str] | None = None) -> Ended:
        """Run `dwf` as a process."""
        done = subprocess.run(
            self.command(*args),
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_S,
            env=environment(env or {}),
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def marks(self) -> list[str]:
        """What the steps have written, in order."""
        file = self.folder / "marks"
        return file.read_text().split() if file.exists() else []

    def wait_for_marks(self, count: int) -> None:
        """Until so many steps have begun."""
        wait_for(lambda: len(self.marks()) >= count)

    def go(self) -> None:
        """Let the waiting steps end."""
        (self.folder / "go").touch()


def rig_in(folder: Path) -> Rig:
    """`dwf` in a folder with the script."""
    (folder / "pipeline.py").write_text(PIPELINE)
    return Rig(folder)


def wait_for(look: Callable[[], object]) -> None:
    """Until `look` says something true; fails after the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.02)


def end(process: subprocess.Popen[str]) -> Ended:
    """Wait for a process that was started."""
    out, err = process.communicate(timeout=DEADLINE_S)
    return Ended(process.returncode, out, err)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process at once, as a power cut of its own would."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=DEADLINE_S)
