"""`dwf demo`: a real pipeline over files that every machine has; with `--crash`, killed half way.

Owns: the command and what it prints: what happened, and what to type next.
Must never: pretend; every figure it prints is read from the log or from the files it wrote.
Read next: `demo_pipeline.py`, `demo_crash.py`.
"""

from __future__ import annotations

import platform
import secrets
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import click

from durable_wf.cli.context import Settings, json_option, note, pass_settings, say, store_option
from durable_wf.cli.demo_crash import Kill, Proof, kill_half_way, proof
from durable_wf.cli.demo_pipeline import pipeline, standard_library
from durable_wf.cli.demo_survey import packages
from durable_wf.cli.progress import teller
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.engine.result import RunResult
from durable_wf.errors import VerificationFailed
from durable_wf.store.folder import default_store, find_store


@click.command()
@click.option("--crash", is_flag=True, help="Kill the engine half way with SIGKILL, then resume.")
@click.option(
    "--out", metavar="FOLDER", default="stdlib-report", show_default=True, help="For both files."
)
@click.option("--id", "run_id", metavar="ID", help="The run id. Default: a new one.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Default: one per core.")
@store_option
@json_option("Print one JSON document at the end.")
@pass_settings
def demo(
    settings: Settings,
    *,
    crash: bool,
    out: str,
    run_id: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Survey the standard library: a real pipeline over files that every machine has.

    Lists the modules, parses each package in a task of its own, merges the figures, and writes an
    HTML report and a CSV file. With --crash the engine runs as a process of its own and is killed
    half way; the run is then resumed, and the log shows that no finished task ran twice.
    """
    root = standard_library()
    store = _store(settings)
    run_id = run_id or f"demo-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    folder = str(Path(out).resolve())
    note(
        f"The standard library of Python {platform.python_version()} ({root}): "
        f"{len(packages(root))} packages, one task each."
    )
    killed = None
    if crash:
        killed = _kill(store, run_id, folder, workers)
    started = time.monotonic()
    with WorkflowEngine(store, workers=workers) as engine, teller(quiet=as_json) as on_progress:
        if crash:
            result = engine.resume(run_id, on_progress=on_progress)
        else:
            workflow = pipeline(root, folder)
            result = engine.run(workflow, run_id=run_id, on_progress=on_progress)
    took = time.monotonic() - started
    found = proof(result.history())
    if as_json:
        say(_document(result, found, killed))
    else:
        _tell(result, found, killed, took, store, _prefix(settings))
    if not found.holds:
        raise VerificationFailed(f"run {run_id}: finished tasks were started again: {found.again}")


def _store(settings: Settings) -> Path:
    return Path(settings.store) if settings.store else find_store() or default_store()


def _kill(store: Path, run_id: str, out: str, workers: int | None) -> Kill:
    command = ["--store", str(store), "demo", "--id", run_id, "--out", out]
    if workers is not None:
        command += ["--workers", str(workers)]
    note("Starting the engine as a process of its own ...")
    killed = kill_half_way(command, store, run_id)
    note(
        f"Killed process {killed.pid} with SIGKILL: {killed.succeeded} of {killed.total} tasks had "
        "succeeded.\nResuming the run in this process ..."
    )
    return killed


# --- what is printed ----------------------------------------------------------------------------


NEXT = (
    ("show @last", "the run, its tasks and where the time went"),
    ("events @last", "every fact that was recorded, in order"),
    ("graph @last", "the graph of its tasks"),
    ("audit verify", "proof that the log was not changed"),
)


def _tell(
    result: RunResult, found: Proof, killed: Kill | None, took: float, store: Path, prefix: str
) -> None:
    survey: dict[str, Any] = result["merge"]
    total = survey["total"]
    verb = "after the resume" if killed else "in all"
    say(
        f"run {result.run_id}: {result.status.value}, {found.tasks} tasks, {took:.1f} s {verb}\n"
        f"  {total['modules']:,} modules, {total['lines']:,} lines, "
        f"{total['functions']:,} functions"
    )
    if killed:
        say("\n" + _evidence(found))
    say(f"\nThe report  {_near(result['html'])}\nThe table   {_near(result['csv'])}")
    say(f"The log     {_near(str(store.resolve() / 'log.db'))}\n")
    say("What to type next:")
    lines = [(f"{prefix} {command}", meaning) for command, meaning in NEXT]
    if not killed:
        lines.append((f"{prefix} demo --crash", "the same, killed half way and resumed"))
    width = max(len(command) for command, _ in lines)
    say("\n".join(f"  {command:<{width}}  {meaning}" for command, meaning in lines))


def _evidence(found: Proof) -> str:
    """The proof as a table for people."""
    rows = [
        (found.finished, "tasks had finished when the run was resumed"),
        (found.again, "of these were started again"),
        (found.in_doubt, "attempts had begun and were in doubt: those tasks ran again"),
        (found.returned, "attempts had been announced and never began"),
        (len(found.twice), "tasks have more than one recorded success"),
    ]
    return "What the log says:\n" + "\n".join(f"  {count:>5}  {text}" for count, text in rows)


def _document(result: RunResult, found: Proof, killed: Kill | None) -> str:
    # json is small, but not needed to print the text
    import json

    document = {
        "run_id": result.run_id,
        "workflow": result.row.workflow,
        "status": result.status.value,
        "report": result["html"],
        "table": result["csv"],
        "tasks": found.tasks,
        "killed_at": killed.succeeded if killed else None,
        "finished_before_resume": found.finished,
        "ran_again": found.again,
        "in_doubt": found.in_doubt,
        "returned": found.returned,
    }
    return json.dumps(document)


def _near(path: str) -> str:
    """The path from here, where that is shorter."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def _prefix(settings: Settings) -> str:
    """How this program is called from here: `dwf`, or the path that was typed."""
    typed = Path(sys.argv[0])
    found = shutil.which("dwf")
    if typed.name == "__main__.py":
        program = "python -m durable_wf"
    elif found and typed.exists() and Path(found).samefile(typed):
        program = "dwf"
    else:
        program = _near(str(typed.resolve()))
    return f"{program} --store {settings.store}" if settings.store else program
