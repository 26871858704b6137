"""`dwf cancel` and `dwf pause`: wishes to a run, wherever it is.

Owns: sending the wish and telling the answer.
Must never: decide whether it is legal; the run's engine does, or the same code without one.
Read next: `resume.py`.
"""

from __future__ import annotations

import click

from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    note,
    pass_settings,
    run_argument,
    say,
    trust_option,
)
from durable_wf.cli.documents import dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.picking import pick
from durable_wf.engine.control import send
from durable_wf.engine.origin import person
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb

reason_option = click.option(
    "-m", "--reason", default="", metavar="TEXT", help="Why; it is kept with the run."
)


@click.command(
    "cancel",
    epilog=examples(
        ("dwf cancel @last", ""),
        ("dwf cancel etl-2026 -m 'wrong input'", "with a reason that the log keeps"),
    ),
)
@run_argument
@reason_option
@trust_option
@json_option()
@pass_settings
def cancel(settings: Settings, *, run: str, reason: str, trust: bool, as_json: bool) -> int:
    """End a run for good. What runs is stopped; what has finished is kept.

    Tasks that run get an exception first and are killed when they do not end. A cancelled run
    cannot be resumed.
    """
    return tell(settings, run, Verb.CANCEL, reason, trust=trust, as_json=as_json)


@click.command(
    "pause",
    epilog=examples(("dwf pause @last", ""), ("dwf resume @last", "go on")),
)
@run_argument
@reason_option
@trust_option
@json_option()
@pass_settings
def pause(settings: Settings, *, run: str, reason: str, trust: bool, as_json: bool) -> int:
    """Start nothing more in a run until it is resumed. Tasks that run may finish."""
    return tell(settings, run, Verb.PAUSE, reason, trust=trust, as_json=as_json)


def tell(
    settings: Settings, run: str, verb: Verb, reason: str, *, trust: bool, as_json: bool
) -> int:
    """Send a command and tell what became of it. Raises what `send` raises."""
    store = open_store(settings.store, trust=trust)
    try:
        run_id = pick(store.log, run).run_id
        answer = send(store, run_id, verb, person(), reason)
    finally:
        store.close()
    if as_json:
        document = {
            "run_id": run_id,
            "command": verb.value,
            "accepted": answer.accepted,
            "text": answer.text,
        }
        say(dumps(document))
    else:
        note(f"{run_id}: {answer.text}")
    return Exit.OK if answer.accepted else Exit.WAITING
