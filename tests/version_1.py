"""A store as the first released schema left it, with runs in it, and the workflow behind them.

Owns: `restore`, which makes the folder again from `stores/version_1.sql`: the statements of that
version, its rows, its pragmas and its head, as durable_wf 0.1 with schema version 1 wrote them.
Must never: be made again with a newer durable_wf; that an old store can be read is what it is for.
Read next: `unit/store/test_version_1.py`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import durable_wf as wf

DUMP = Path(__file__).parent / "stores" / "version_1.sql"
_HEAD = "-- head: "

RUNS = ("paused", "killed", "failed", "done")
"""Newest first."""


def first() -> str:
    return "one" * 500


def second(first: str) -> int:
    if os.environ.get("DIE"):
        os._exit(9)
    return len(first)


def third(second: int) -> dict[str, int]:
    if os.environ.get("FAIL"):
        raise ValueError("it was asked to fail")
    return {"third": second + 1}


def workflow() -> wf.Workflow:
    return (
        wf.WorkflowBuilder("counting")
        .add_task("first", first)
        .add_task("second", second).depends_on("first")
        .add_task("third", third).depends_on("second").on_fault(wf.retry(2, wait=0))
        .build()
    )  # fmt: skip


def restore(folder: Path) -> Path:
    """Make the store in a new folder; it is not known to this user."""
    text = DUMP.read_text()
    folder.mkdir(mode=0o700)
    for name in ("payloads", "output", "locks"):
        (folder / name).mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(folder / "log.db", isolation_level=None)) as db:
        db.execute("PRAGMA page_size = 4096")
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(text)
    (folder / "log.db").chmod(0o600)
    head = next(line for line in text.splitlines() if line.startswith(_HEAD))
    (folder / "head").write_bytes(bytes.fromhex(head.removeprefix(_HEAD)))
    return folder
