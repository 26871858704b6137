"""`dwf watch`: a run as it goes, until it ends.

Owns: the live screen (state, bar, tasks), and plain lines off a terminal.
Must never: write to the store; it looks as any reader does.
Read next: `graph.py`.
"""

from __future__ import annotations

import shutil
import sys
import time

import attrs
import click

from durable_wf.cli.context import (
    RunName,
    Settings,
    examples,
    json_option,
    note,
    pass_settings,
    say,
)
from durable_wf.cli.documents import dumps, run_document
from durable_wf.cli.exits import code_of_run
from durable_wf.cli.facts import RunFacts, why
from durable_wf.cli.kin import note_newer
from durable_wf.cli.onward import caution, next_step
from durable_wf.cli.picking import LAST, pick
from durable_wf.cli.progress import Lines, bar_lines
from durable_wf.cli.render import state_text, task_table
from durable_wf.cli.states import MARKS
from durable_wf.cli.terminal import Look, look_at, one_line
from durable_wf.cli.watched import Watched
from durable_wf.core.status import RUN_FINAL, TaskStatus
from durable_wf.engine.progress import Progress
from durable_wf.engine.view import load_definition

_POLL_S = 0.1
_NAMES = 8


@click.command(
    "watch",
    epilog=examples(
        ("dwf watch", "the newest run"),
        ("dwf watch etl-2026", ""),
        ("dwf watch @last && ./publish", "go on when it has succeeded"),
        ("dwf watch @last --json", "for a program: a line at each change"),
    ),
)
@click.argument("run", metavar="[RUN]", type=RunName(), default=LAST)
@json_option("Print JSON Lines: the run at each change, as dwf list --json shows it.")
@pass_settings
def watch(settings: Settings, *, run: str, as_json: bool) -> int:
    """Watch a run until it ends; RUN is the newest one if left out.

    Ends with the exit code of the run: 0 succeeded, 1 failed, 8 cancelled, 7 paused, or waiting for
    people or signals without an engine; 4 when its engine is not running any more.
    """
    with settings.reading() as store:
        row = pick(store.log, run)
        note_newer(store.log, row)
        watched = Watched(store, row.run_id, load_definition(store.log, row))
        look = look_at(sys.stdout)
        if as_json:
            return code_of_run(_documents(watched).shown)
        facts = _live(watched, look) if look.live else _lines(watched, look)
    shown = facts.shown
    state = look.paint(state_text(shown, look), MARKS[shown].colour, "bold")
    reason = one_line(why(facts))
    say(f"{facts.row.run_id} {state}{': ' if reason else ''}{reason}")
    if text := caution(facts.doubtful):
        note(text)
    now = time.time_ns() // 1000
    if step := next_step(facts.row, shown, facts.awaited, now, alive=facts.alive):
        note(f"next: {step}")
    return code_of_run(shown)


def _over(facts: RunFacts) -> bool:
    """Whether nothing more will happen by itself."""
    return facts.row.status in RUN_FINAL or not facts.alive


def _documents(watched: Watched) -> RunFacts:
    """The run as JSON, a line whenever something has changed; the last one is how it ended."""
    told = ""
    while True:
        facts = watched.look()
        line = dumps(run_document(facts.row, alive=facts.alive))
        if line != told:
            say(line)
            sys.stdout.flush()
            told = line
        if _over(facts):
            return facts
        time.sleep(_POLL_S)


def _lines(watched: Watched, look: Look) -> RunFacts:
    """One line for each change, rate limited."""
    tell = Lines(sys.stdout, look)
    while True:
        facts = watched.look()
        if _over(facts):
            return facts
        tell(_progress(facts))
        time.sleep(_POLL_S)


def _live(watched: Watched, look: Look) -> RunFacts:
    """A screen that is redrawn in place."""
    # rich is slow to import and only needed on a terminal.
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(
        file=sys.stdout, no_color=not look.colour, force_terminal=True, highlight=False
    )
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            facts = watched.look()
            if _over(facts):
                return facts
            size = shutil.get_terminal_size()
            now = time.time_ns() // 1000
            lines = screen(facts, attrs.evolve(look, width=size.columns), now, size.lines - 1)
            live.update(Text.from_ansi("\n".join(lines)), refresh=True)
            time.sleep(_POLL_S)


def screen(facts: RunFacts, look: Look, now: int, height: int) -> list[str]:
    """The bar, then as many lines of tasks as fit in `height`."""
    row = facts.row
    elapsed = now - (row.started_at or row.created_at)
    head = bar_lines(_progress(facts), elapsed, look, look.width or 80)
    room = max(0, height - len(head) - 1)
    body = task_table(facts, look, now, most=max(1, room - 1))
    if len(body) > room:
        body = [*body[: max(0, room - 1)], look.paint("...", "dim")]
    return [*head, "", *body]


def _progress(facts: RunFacts) -> Progress:
    running = [
        (task.started_at or 0, name)
        for name, task in facts.tasks.items()
        if task.status is TaskStatus.RUNNING
    ]
    row = facts.row
    names = tuple(name for _, name in sorted(running)[:_NAMES])
    asked = tuple(one for one in facts.awaited if one.is_asked)[:_NAMES]
    return Progress(
        row.run_id, row.workflow, row.status, row.counts, row.total, names, waiting=asked,
        wake_at=row.wake_at,
    )  # fmt: skip
