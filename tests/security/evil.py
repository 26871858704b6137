"""What an attacker would write: names, texts and whole stores that were made by hand.

Owns: the texts that no terminal, path or page may get as they are, and stores from elsewhere with
such texts in every place that holds text.
Must never: be what is under test; everything here goes around the checks of the engine on purpose.
Read next: `test_terminal.py`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import attrs

from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, Task, Workflow
from durable_wf.core.events import Event, Fault, OutputRef, Recorded
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch, RunAppend
from durable_wf.store.trust import state_folder

AT = 1_700_000_000_000_000

STEERING = (
    "\x1b[2J",  # clears the screen
    "\x1b]0;title\x07",  # sets the title
    "\x1b]52;c;cm0gLXJmIC8=\x07",  # writes to the clipboard
    "\x9b31m",  # the same as ESC [
    "\x1bP+q544e\x1b\\",  # device control
    "\x08\x08\x08",  # backspaces over what stands there
    "\r",  # begins the line again
    "\x7f",
    "\u202egpj.exe",  # reverses the reading direction
    "\u2066\u2069\u200f",
    "\x00",
)
"""What would steer a terminal, or what the reader sees on it."""

EVIL = "a" + "b".join(STEERING) + "z\nerror: forged line"
"""All of it in one text."""

FORBIDDEN = frozenset("".join(STEERING)) - frozenset("[2J]0;title52cm0gLXJmIC8=31mP+q544e\\gpj.exe")
"""Characters that must not reach a terminal."""


@attrs.frozen
class Texts:
    """Which texts a forged run has; all of them harmless unless given."""

    run_id: str = "forged"
    workflow: str = "w"
    task: str = "t"
    function: FunctionRef = attrs.field(factory=lambda: FunctionRef("f", module="m"))
    engine: str = "e-12345678"
    worker: str = "w-12345678-0"
    free: str = "x"
    file: str = "w-12345678-0.log"
    imported: bool = False


def forged_run(texts: Texts) -> tuple[RunAppend, list[tuple[str, bytes]]]:
    """A run with one task that failed and one that was running when its engine died."""
    free = texts.free
    first = Task(texts.task, texts.function, description=free, tags=(free,))
    second = attrs.evolve(first, name=f"{texts.task}2", upstream=(texts.task,), optional=True)
    third = attrs.evolve(first, name=f"{texts.task}3")
    definition = Workflow(
        texts.workflow, (first, second, third), free, tags=(free,), metadata=((free, free),)
    )
    text = definition.to_json().encode()
    fault = Fault(FaultKind.ERROR, free, exception=free, traceback=free)
    output = OutputRef(texts.file, 0, 4096)
    events: list[Event] = [
        e.RunCreated(
            texts.workflow, digest_of(text), 3, actor=free, tags=(free,), metadata=((free, free),),
            script=free, argv=(free,), cwd=free, python=free,
        ),
        e.RunClaimed(texts.engine, "create"),
        e.RunStarted(),
        e.AttemptStarted(first.name, 1, texts.worker, 77, 88),
        e.AttemptStarted(third.name, 1, texts.worker, 77, 88),
        e.AttemptFailed(first.name, 1, fault, AT, 5, output=output, kept=texts.file),
    ]  # fmt: skip
    history = [Recorded(n, AT + n, event) for n, event in enumerate(events, 1)]
    row = row_of(replay(RunState.of(texts.run_id, definition), history))
    row = attrs.evolve(row, cause=free, imported=texts.imported)
    return RunAppend(0, texts.run_id, 0, history, row), [(digest_of(text), text)]


def forge(folder: Path, texts: Texts) -> Path:
    """A store with one forged run, as somebody else would send it: not trusted here."""
    store = open_store(folder, create=True)
    append, payloads = forged_run(texts)
    store.log.append(Batch(appends=[append], payloads=payloads))
    (store.folder.output / "w-12345678-0.log").write_bytes(texts.free.encode())
    store.close()
    forget(folder)
    return folder


def forget(folder: Path) -> None:
    """Let this user not know the store any more, as if another had made it."""
    with contextlib.closing(sqlite3.connect(f"file:{folder}/log.db?mode=ro", uri=True)) as reading:
        (store_id,) = reading.execute("SELECT value FROM meta WHERE key = 'store_id'").fetchone()
    known = state_folder() / "stores"
    known.write_text("".join(f"{one}\n" for one in known.read_text().split() if one != store_id))


def everything(folder: Path) -> dict[str, bytes]:
    """All files below a folder with their contents; what SQLite keeps for readers is left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and not path.name.endswith(("-shm", "-wal"))
    }


@contextlib.contextmanager
def written(db: Path) -> Iterator[sqlite3.Connection]:
    """The database of a store, opened by any SQLite tool; what is done is committed."""
    with contextlib.closing(sqlite3.connect(db)) as connection:
        yield connection
        connection.commit()


def copy_of(folder: Path, target: Path) -> Path:
    """A copy of a store that nothing has open."""
    shutil.copytree(folder, target)
    os.chmod(target, 0o700)
    return target
