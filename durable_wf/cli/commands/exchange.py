"""`dwf export` and `dwf import`: one run as a file of its own.

Owns: telling what was written or taken in.
Must never: take a file for sound; the store verifies it whole before anything is written.
Read next: `../../store/portable.py`.
"""

from __future__ import annotations

from pathlib import Path

import click

from durable_wf.cli.context import (
    NewFile,
    Settings,
    examples,
    json_option,
    note,
    pass_settings,
    run_argument,
    say,
    trust_option,
    typed,
)
from durable_wf.cli.documents import dumps
from durable_wf.cli.picking import pick
from durable_wf.engine.origin import person
from durable_wf.store.opening import open_store
from durable_wf.store.portable import export_run, incoming, take_in


@click.command(
    "export",
    epilog=examples(
        ("dwf export @last run.dwf", ""),
        ("dwf show @last --store run.dwf", "every command that looks takes the file"),
    ),
)
@run_argument
@click.argument("file", type=NewFile())
@json_option()
@pass_settings
def export(settings: Settings, *, run: str, file: Path, as_json: bool) -> None:
    """Write one run to FILE: its events, its definition, its inputs and results.

    The file can be looked at where it is (--store FILE), kept, sent, and imported into another
    store. What tasks printed is not part of it. A damaged run is not exported.
    """
    with settings.reading() as store:
        run_id = pick(store.log, run).run_id
        path = export_run(store, run_id, file)
    size = path.stat().st_size
    if as_json:
        say(dumps({"run_id": run_id, "file": str(path), "size": size}))
    else:
        note(f"{run_id}: {size:,} bytes in {path}")
        note(f"to look at it: dwf show {run_id} --store {file}")


@click.command(
    "import",
    epilog=examples(("dwf import run.dwf", ""), ("dwf show @last", "the run that came in")),
)
@click.argument("file", type=click.Path(path_type=Path))
@trust_option
@json_option()
@pass_settings
def import_run(settings: Settings, *, file: Path, trust: bool, as_json: bool) -> None:
    """Take in the run of an exported FILE.

    The whole file is verified first. An imported run can be looked at; it is never resumed, and
    no code of it is executed.
    """
    with incoming(file) as found:  # before a store is made for it
        store = open_store(settings.store, create=True, trust=trust)
        try:
            run_id = take_in(store, found, person())
        finally:
            store.close()
    if as_json:
        say(dumps({"run_id": run_id, "file": str(file.absolute())}))
    else:
        note(f"{run_id} was imported")
        note(f"to look at it: {typed('show', run_id)}")
