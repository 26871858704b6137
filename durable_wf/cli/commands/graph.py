"""`dwf graph`: a workflow or a run as a drawing.

Owns: which of both is meant, the format, and folding until a drawing fits the screen.
Must never: import the code of a run; its recorded definition is enough.
Read next: `../drawing/picture.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from durable_wf.cli.context import Settings, examples, json_option, out, pass_settings, say
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.drawing.ascii import ascii_art, listing
from durable_wf.cli.drawing.picture import DEFAULT_LIMIT, picture
from durable_wf.cli.drawing.svg import svg
from durable_wf.cli.drawing.text import dot, mermaid
from durable_wf.cli.picking import pick
from durable_wf.cli.states import MARKS, TaskShown
from durable_wf.cli.terminal import Look
from durable_wf.cli.watched import facts_of
from durable_wf.core.compensation import with_added
from durable_wf.core.definition import Workflow
from durable_wf.engine.view import load_definition

_WIDTH = 100
"""Cells of a drawing in characters where there is no terminal to ask."""

_FOLDS = (DEFAULT_LIMIT, 24, 12, 6)
"""How many boxes are tried, one after the other, until a drawing in characters fits."""


@click.command(
    "graph",
    epilog=examples(
        ("dwf graph @last", "a run, with the states of its tasks"),
        ("dwf graph pipeline.py:workflow", "a workflow"),
        ("dwf graph @last -f svg > run.svg", ""),
        ("dwf graph @last -f dot | dot -Tpdf > run.pdf", ""),
    ),
)
@click.argument("what", metavar="TARGET|RUN")
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(["ascii", "mermaid", "dot", "svg"]),
    default="ascii",
    show_default=True,
    help="Characters for the terminal, or text for another program.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"Fold tasks that are alike until there are at most N boxes.  [default: {DEFAULT_LIMIT}]",
)
@json_option("Print all tasks, unfolded, with what they come after, as one JSON document.")
@pass_settings
def graph(settings: Settings, *, what: str, form: str, limit: int | None, as_json: bool) -> None:
    """Draw a workflow, or a run with the states of its tasks.

    Big fan-outs are folded into one box that says how many tasks it stands for. A drawing in
    characters that would be too wide is folded further, and at last given as a list.
    States are told by symbol, word, line and colour.
    """
    workflow, states, title = _subject(settings, what)
    if as_json:
        say(dumps(_document(workflow, states)))
        return
    if form == "ascii":
        say(_characters(workflow, states, title, limit, out()))
        return
    drawn = picture(workflow, states, limit=limit or DEFAULT_LIMIT, title=title)
    say({"mermaid": mermaid, "dot": dot, "svg": svg}[form](drawn))


def _document(workflow: Workflow, states: Mapping[str, TaskShown] | None) -> Document:
    return {
        "workflow": workflow.name,
        "tasks": [
            {
                "task": task.name,
                "upstream": list(task.upstream),
                "status": states[task.name].value if states else None,
            }
            for task in workflow.tasks
        ],
    }


def _subject(settings: Settings, what: str) -> tuple[Workflow, Mapping[str, TaskShown] | None, str]:
    """What is drawn: a target when it looks like one, else a run."""
    if ":" in what or what.endswith(".py") or (what.endswith(".json") and Path(what).exists()):
        # Not at the top: runs are drawn without loading any code.
        from durable_wf.cli.commands.run import load_target

        workflow = load_target(what, code=False)
        return workflow, None, workflow.name
    with settings.reading() as store:
        row = pick(store.log, what)
        workflow = load_definition(store.log, row)
        facts = facts_of(store, row)
    workflow = with_added(workflow, facts.added)
    states = {name: facts.task_shown(task) for name, task in facts.tasks.items()}
    return workflow, states, f"{row.run_id}: {MARKS[facts.shown].word}"


def _characters(
    workflow: Workflow,
    states: Mapping[str, TaskShown] | None,
    title: str,
    limit: int | None,
    look: Look,
) -> str:
    width = look.width or _WIDTH
    for fold in (limit,) if limit else _FOLDS:
        art = ascii_art(picture(workflow, states, limit=fold, title=title), look, width=width)
        if art is not None:
            return art
    return listing(picture(workflow, states, limit=limit or DEFAULT_LIMIT, title=title), look)
