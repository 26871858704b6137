"""`dwf cancel` and `dwf pause`: wishes to runs, wherever they are.

Owns: sending the wish and telling the answer, for one run or many.
Must never: decide whether it is legal; the run's engine does, or the same code without one.
Read next: `../bulk.py`, `resume.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Unpack

import attrs
import click

from durable_wf.cli.bulk import (
    Applies,
    Asked,
    Told,
    Wanted,
    chosen_runs,
    report,
    wanted_of,
    wanted_options,
)
from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    note,
    pass_settings,
    say,
    trust_option,
)
from durable_wf.cli.documents import dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.picking import pick
from durable_wf.cli.states import OnlyShown
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.engine.commands import NOTHING_MORE, Body, cancel_body, check_reason
from durable_wf.engine.control import send, send_all
from durable_wf.engine.origin import person
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.opening import Store, open_store
from durable_wf.store.port import Verb

reason_option = click.option(
    "-m", "--reason", default="", metavar="TEXT", help="Why; it is kept with the run."
)

APPLIES: dict[Verb, Applies] = {
    Verb.CANCEL: Applies.to(*(frozenset(RunStatus) - RUN_FINAL), *OnlyShown),
    Verb.PAUSE: Applies.to(RunStatus.PENDING, RunStatus.RUNNING, *OnlyShown),
}
"""To which runs each of the verbs applies."""


@click.command(
    "cancel",
    epilog=examples(
        ("dwf cancel @last", ""),
        ("dwf cancel etl-2026 -m 'wrong input'", "with a reason that the log keeps"),
        ("dwf cancel trip-7 --no-compensate", "leave what it did as it is"),
        ("dwf cancel --workflow etl --since 7d", "all of them, after a question"),
    ),
)
@wanted_options("cancel")
@reason_option
@click.option(
    "--no-compensate", "leave", is_flag=True, help="Take nothing back of what has succeeded."
)
@trust_option
@json_option("Print JSON Lines, one run a line.")
@pass_settings
def cancel(
    settings: Settings,
    *,
    reason: str,
    leave: bool,
    trust: bool,
    as_json: bool,
    **asked: Unpack[Asked],
) -> int:
    """End runs for good. What runs is stopped; results are kept.

    Tasks that run get an exception first and are killed when they do not end. What has succeeded
    is taken back, the last first, where tasks say how (compensate=). A cancelled run cannot be
    resumed. More than one run, or a filter, is asked about first; those that have ended are left
    out, and counted.

    Exit code: 0 all were cancelled, or no run is like that; 4 one was refused, or was named and has
    ended; 7 one has not been answered yet.
    """
    return _tell_all(
        settings, Verb.CANCEL, reason, wanted_of(asked), cancel_body(compensate=not leave),
        trust=trust, as_json=as_json,
    )  # fmt: skip


@click.command(
    "pause",
    epilog=examples(
        ("dwf pause @last", ""),
        ("dwf resume @last", "go on"),
        ("dwf pause --tag nightly --yes", "all of them, without a question"),
    ),
)
@wanted_options("pause")
@reason_option
@trust_option
@json_option("Print JSON Lines, one run a line.")
@pass_settings
def pause(
    settings: Settings, *, reason: str, trust: bool, as_json: bool, **asked: Unpack[Asked]
) -> int:
    """Start nothing more in runs until they are resumed. Tasks that run may finish.

    More than one run, or a filter, is asked about first; those that have ended, or are paused
    already, are left out, and counted.

    Exit code: 0 all were paused, or no run is like that; 4 one was refused, or was named and cannot
    be paused; 7 one has not been answered yet.
    """
    return _tell_all(settings, Verb.PAUSE, reason, wanted_of(asked), trust=trust, as_json=as_json)


def _tell_all(
    settings: Settings,
    verb: Verb,
    reason: str,
    wanted: Wanted,
    more: Body = NOTHING_MORE,
    *,
    trust: bool,
    as_json: bool,
) -> int:
    check_reason(reason)
    if wanted.is_one:
        return tell(settings, wanted.names[0], verb, reason, more, trust=trust, as_json=as_json)
    store = open_store(settings.store, trust=trust)
    try:
        applies = APPLIES[verb]
        if wanted.names and verb is Verb.PAUSE:  # as of one run: it is paused already, and stays so
            applies = attrs.evolve(applies, can=applies.can | {RunStatus.PAUSED})
        chosen = chosen_runs(store, wanted, verb.value, applies)
        run_ids = [row.run_id for row, _ in chosen.rows]
        told = chain(chosen.refused, sent(store, run_ids, verb, reason, more))
        return report(verb.value, told, as_json=as_json)
    finally:
        store.close()


def sent(
    store: Store, run_ids: list[str], verb: Verb, reason: str, more: Body = NOTHING_MORE
) -> Iterator[Told]:
    """Give a command to runs; what became of each."""
    for run_id, answer in send_all(store, run_ids, verb, person(), reason, more=more):
        if isinstance(answer, DurableWorkflowError):
            yield Told(run_id, accepted=False, text=answer.message)
        else:
            # What is not accepted here was not refused either: it waits for an engine.
            yield Told(run_id, answer.accepted or None, answer.text)


def tell(
    settings: Settings,
    run: str,
    verb: Verb,
    reason: str,
    more: Body = NOTHING_MORE,
    *,
    trust: bool,
    as_json: bool,
) -> int:
    """Send a command to one run and tell what became of it. Raises what `send` raises."""
    store = open_store(settings.store, trust=trust)
    try:
        run_id = pick(store.log, run).run_id
        answer = send(store, run_id, verb, person(), reason, more=more)
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
