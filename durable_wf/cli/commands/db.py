"""`dwf db`: the store itself: what it holds, whether it is sound, backups, tidying.

Owns: telling what the store's own maintenance found or did.
Must never: repair by itself; each change to a store is a command that a person typed.
Read next: `../../store/check.py`, `../../store/archive.py`, `../../store/prune.py`.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import sys
import time
from collections import Counter
from pathlib import Path

import attrs
import click

from durable_wf.cli.context import (
    NewFile,
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    say,
    trust_option,
)
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.states import shown_run
from durable_wf.cli.stores import alive_in, open_for_reading, place_of
from durable_wf.cli.times import parse_since
from durable_wf.core.status import RUN_FINAL
from durable_wf.core.wording import count_of
from durable_wf.engine.origin import person
from durable_wf.errors import StoreError, VerificationFailed
from durable_wf.store import archive
from durable_wf.store import check as checks
from durable_wf.store import prune as pruning
from durable_wf.store.folder import check_folder
from durable_wf.store.opening import Store, open_store
from durable_wf.store.opening import accept_loss as accept
from durable_wf.store.trust import is_trusted
from durable_wf.store.verify import head_hash


@click.group("db")
def db() -> None:
    """Check, back up and tidy the store.

    A store is one folder: the log (an SQLite database), payloads, captured output and locks.
    """


@db.command("info", short_help="Say what the store holds.", epilog=examples(("dwf db info", "")))
@json_option()
@pass_settings
def info(settings: Settings, *, as_json: bool) -> None:
    """Say where the store is, what it holds and how large it is."""
    with settings.reading() as store:
        document = _info(store, store.folder.place)
    if as_json:
        say(dumps(document))
        return
    look = out()
    wide = max(len(name) for name in document)
    for name, value in document.items():
        say(f"{look.paint(f'{name:{wide}}', 'dim')}  {_readable(value)}")


def _readable(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{count} {state}" for state, count in value.items()) or "none"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return str(value)


def _info(store: Store, path: Path) -> Document:
    states: Counter[str] = Counter()
    engines = set()
    for row in store.log.rows():
        alive = alive_in(store, row)
        states[shown_run(row, alive=alive).value] += 1
        if alive and row.status not in RUN_FINAL:
            engines.add(row.engine)
    return {
        "path": str(path.absolute()),
        "store_id": store.id,
        "trusted": is_trusted(store.id),
        "runs": dict(states),
        "engines": len(engines),
        "head": str(head_hash(store)),
        "bytes": _size(path),
        "sqlite": sqlite3.sqlite_version,
    }


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += (Path(folder) / name).lstat().st_size
            except FileNotFoundError:  # deleted meanwhile
                continue
    return total


@db.command(
    "check",
    short_help="Prove that the store is sound.",
    epilog=examples(("dwf db check", ""), ("dwf db check --json | jq .findings", "")),
)
@json_option()
@pass_settings
def check(settings: Settings, *, as_json: bool) -> int:
    """Prove that the store is sound, without changing it.

    Looks at the database as SQLite sees it, the schema, the hash chain and the head, compares what
    lists show with a replay of every run, and looks for missing or damaged payloads. Safe while
    engines run. Exit code 6 when something was found.
    """
    try:
        store = open_for_reading(settings.store)
    except StoreError as error:
        findings = checks.check_folder(check_folder(place_of(settings.store)))
        if not findings:
            raise error from None
    else:
        try:
            findings = checks.check(store)
        finally:
            store.close()
    if as_json:
        found = [{**attrs.asdict(f), "area": f.area.value} for f in findings]
        say(dumps({"sound": not findings, "findings": found}))
        return Exit.VERIFICATION if findings else Exit.OK
    if findings:
        lines = "".join(f"\n  - {finding}" for finding in findings)
        raise VerificationFailed(
            f"the store is not sound:{lines}",
            hint="restore a backup, or export the runs that are sound: dwf export RUN FILE",
        )
    say("ok: the store is sound")
    return Exit.OK


@db.command(
    "backup",
    short_help="Write the whole store to one tar file.",
    epilog=examples(
        ("dwf db backup monday.tar", ""),
        ("tar -xf monday.tar", "restore it, as a folder durable-wf-backup-DATE-TIME"),
        ("dwf list --store durable-wf-backup-20261123-145000", ""),
    ),
)
@click.argument("file", type=NewFile())
@json_option()
@pass_settings
def backup(settings: Settings, *, file: Path, as_json: bool) -> int:
    """Write the whole store to the new tar FILE. Safe while engines run.

    The file holds one folder, named after the time, which is a store; runs that were unfinished can
    be resumed from it. Do not copy log.db by hand: a database that is being written is not a file.
    """
    with settings.reading(before_writing=True) as store:
        done = archive.backup(store, file)
    if as_json:
        document = {
            "file": str(done.path),
            "folder": done.folder,
            "seq": done.seq,
            "files": done.files,
            "size": done.size,
            "damaged": list(done.damaged),
        }
        say(dumps(document))
    else:
        files = count_of(done.files, "file")
        note(f"{done.path}: {done.size:,} bytes, up to event {done.seq}, {files}")
        unpack = shlex.join(["tar", "-xf", str(done.path)])
        note(f"to use it: {unpack}   then   dwf list --store {done.folder}")
        for digest in done.damaged:
            note(f"payload {digest} is damaged in the store, and so in the backup")
    return Exit.VERIFICATION if done.damaged else Exit.OK


@db.command(
    "prune",
    short_help="Delete payloads and output that no run names.",
    epilog=examples(("dwf db prune", ""), ("dwf db prune --older-than 7d", "")),
)
@click.option(
    "--older-than",
    default="24h",
    show_default=True,
    metavar="AGE",
    help="Keep what is younger, such as 30m or 7d.",
)
@trust_option
@json_option()
@pass_settings
def prune(settings: Settings, *, older_than: str, trust: bool, as_json: bool) -> None:
    """Delete payloads and output that no run names. Nothing else is ever deleted.

    They are left behind by attempts that were killed, as are the locks of dead engines that no
    unfinished run names, which go too; and so does what is known of circuit breakers that have been
    closed and silent for 30 days. Runs, their results and what they printed
    stay. What was deleted is recorded in the log (dwf events @store).
    """
    now = time.time_ns() // 1000
    try:
        age_s = (now - parse_since(older_than, now)) / 1e6
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--older-than") from None
    store = open_store(settings.store, trust=trust)
    try:
        done = pruning.prune(store, person(), min_age_s=age_s)
    finally:
        store.close()
    if as_json:
        document = {
            "files": done.files,
            "rows": done.rows,
            "size": done.size,
            "breakers": done.keys,
        }
        say(dumps(document))
    else:
        files, rows = count_of(done.files, "file"), count_of(done.rows, "row")
        more = f"; forgot {count_of(done.keys, 'silent breaker')}" if done.keys else ""
        note(f"deleted {files} and {rows}, {done.size:,} bytes{more}")


@db.command(
    "accept-loss",
    short_help="Go on with a log that has lost its end.",
    epilog=examples(("dwf audit verify", "what was lost"), ("dwf db accept-loss", "")),
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option()
@pass_settings
def accept_loss(settings: Settings, *, yes: bool, as_json: bool) -> None:
    """Make a store writable again whose log is shorter than what was once committed.

    That happens when log.db-wal was deleted or an older copy of log.db was put in its place. Tasks
    whose success was in the lost part will run again. Restoring a backup is better; this is for
    when there is none. That it was accepted is recorded in the log.
    """
    place = place_of(settings.store)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("this accepts a loss for good: repeat it with --yes")
        note("Events that were committed are missing; tasks whose success they recorded run again.")
        click.confirm("Go on with the log as it is?", abort=True, err=True)
    seq = accept(place)
    if as_json:
        say(dumps({"path": str(place), "seq": seq}))
    else:
        note(f"{place}: the log now ends at event {seq}")
