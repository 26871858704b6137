"""A scenario in a process of its own that is killed, or whose disk fails, at the N-th call.

Owns: the fork, the pipe through which steps are acknowledged, and the N-th call.
Must never: let the child run anything of the test session: it ends by `os._exit` or SIGKILL.
Read next: `test_kill.py`, `test_io_errors.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
from faults import vfs
from faults.calls import CHANGES, Call, Hook
from faults.os_calls import watching_os


class Reporter:
    """What a scenario tells its parent: steps tried and acknowledged, and notes."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def tried(self, step: int) -> None:
        os.write(self.fd, b"tried %d\n" % step)

    def acked(self, step: int) -> None:
        os.write(self.fd, b"acked %d\n" % step)

    def note(self, text: str) -> None:
        os.write(self.fd, f"note {text}\n".encode())


Scenario = Callable[[Path, Reporter], None]


@attrs.frozen
class Death:
    """How the child ended: `hits` says how often the fault struck, `notes` what it reported."""

    acked: int
    tried: int
    killed: bool
    exit_code: int
    hits: int
    notes: tuple[str, ...]


def run(root: Path, scenario: Scenario, make_hook: Callable[[Path, Reporter], Hook]) -> Death:
    """Run the scenario in an empty `root`, in a child, with a hook before every call.

    A scenario that raises ends its child with exit code 1; the traceback is a note.
    """
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(mode=0o700)
    return run_on(root, scenario, make_hook)


def run_on(root: Path, scenario: Scenario, make_hook: Callable[[Path, Reporter], Hook]) -> Death:
    """As `run`, on what stands in `root`."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _in_child(root, scenario, make_hook, Reporter(writing))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        lines = pipe.read().decode().splitlines()
    _, status = os.waitpid(pid, 0)
    return _death(lines, status)


def _in_child(
    root: Path,
    scenario: Scenario,
    make_hook: Callable[[Path, Reporter], Hook],
    reporter: Reporter,
) -> None:
    code = 1
    try:
        hook = make_hook(root, reporter)
        with vfs.watching(hook), watching_os(root, hook):
            scenario(root, reporter)
        code = 0
    except BaseException:
        reporter.note(traceback.format_exc().replace("\n", " | "))
    finally:
        os._exit(code)


def _death(lines: list[str], status: int) -> Death:
    numbers = {"acked": -1, "tried": -1}
    notes = []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in numbers:
            numbers[word] = int(rest)
        else:
            notes.append(rest)
    return Death(
        acked=numbers["acked"],
        tried=numbers["tried"],
        killed=os.WIFSIGNALED(status),
        exit_code=os.waitstatus_to_exitcode(status),
        hits=notes.count("hit"),
        notes=tuple(note for note in notes if note != "hit"),
    )


def kill_at(number: int) -> Callable[[Path, Reporter], Hook]:
    """SIGKILL before the `number`-th change (from 1) of a file below the root."""

    def make(root: Path, _: Reporter) -> Hook:
        below = os.path.realpath(root)
        left = [number]

        def hook(call: Call) -> int:
            if call.kind in CHANGES and call.path.startswith(below):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return 0

        return hook

    return make


def kill_everywhere(root: Path, scenario: Scenario, *, step: int = 1) -> Iterator[Death]:
    """The scenario killed before its 1st, 2nd, ... change, until one run survives."""
    number = 1
    while True:
        death = run(root, scenario, kill_at(number))
        if not death.killed:
            assert death.exit_code == 0, death.notes
            return
        yield death
        number += step


@attrs.frozen
class DiskError:
    """An error to inject: the kind of call, the SQLite code it fails with."""

    kind: str
    code: int
    name: str


ERRORS = (
    DiskError("write", 778, "IOERR_WRITE"),
    DiskError("write", 13, "FULL"),
    DiskError("sync", 1034, "IOERR_FSYNC"),
    DiskError("truncate", 1546, "IOERR_TRUNCATE"),
    DiskError("read", 266, "IOERR_READ"),
    DiskError("open", 14, "CANTOPEN"),
    DiskError("delete", 2570, "IOERR_DELETE"),
    DiskError("rename", 10, "IOERR"),
    DiskError("sync_folder", 1290, "IOERR_DIR_FSYNC"),
)


def fail_at(error: DiskError, number: int, *, for_ever: bool) -> Callable[[Path, Reporter], Hook]:
    """The `number`-th call of that kind fails, once or with all that follow."""

    def make(root: Path, reporter: Reporter) -> Hook:
        below = os.path.realpath(root)
        count = [0]

        def hook(call: Call) -> int:
            if call.kind != error.kind or not call.path.startswith(below):
                return 0
            count[0] += 1
            if count[0] == number or (for_ever and count[0] > number):
                reporter.note("hit")
                return error.code
            return 0

        return hook

    return make


def fail_everywhere(
    root: Path, scenario: Scenario, error: DiskError, *, for_ever: bool, step: int = 1
) -> Iterator[Death]:
    """The scenario with its 1st, 2nd, ... call of that kind failing, until none is left to fail."""
    number = 1
    while True:
        death = run(root, scenario, fail_at(error, number, for_ever=for_ever))
        if death.hits == 0:
            assert death.exit_code == 0, death.notes
            return
        yield death
        number += step
