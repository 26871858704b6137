"""`dwf events`: what is recorded, event by event.

Owns: the JSON Lines and the readable form of events, and following a run.
Must never: hold a read transaction while it waits.
Read next: `logs.py`.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator

import click

from durable_wf.cli.context import (
    Number,
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    run_argument,
    say,
    typed,
)
from durable_wf.cli.documents import dumps, event_document
from durable_wf.cli.kin import note_newer
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.picking import pick
from durable_wf.cli.stores import alive_in
from durable_wf.cli.terminal import Look, cells, one_line, pad, shorten
from durable_wf.cli.times import clock, local
from durable_wf.core.compensation import SUFFIX
from durable_wf.core.events import KINDS
from durable_wf.core.resolver import nearest
from durable_wf.core.status import RUN_FINAL
from durable_wf.core.summary import RunRow
from durable_wf.engine.view import load_definition
from durable_wf.store.opening import Store
from durable_wf.store.port import Stored

STORE_STREAM = "@store"
_POLL_S = 0.1
_WIDE = 100
_BAD = frozenset({"AttemptFailed", "TaskFailed", "RunFailed", "TaskCancelled", "RunCancelled"})
_GOOD = frozenset({"AttemptSucceeded", "TaskCompleted", "TaskFellBack", "RunSucceeded"})
_TIMES = frozenset({"until", "deadline_at"})


def _kinds(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> frozenset[str]:
    known = {kind.lower(): kind for kind in KINDS}
    for value in values:
        if value.lower() not in known:
            guess = nearest(value, KINDS)
            hint = f"; did you mean {guess}?" if guess else "; dwf events --help lists them"
            raise click.BadParameter(f"there are no events of kind {value!r:.80}{hint}")
    return frozenset(known[value.lower()] for value in values)


@click.command(
    "events",
    epilog=examples(
        ("dwf events @last", "for people"),
        ("dwf events @last --json", "JSON Lines, for programs"),
        ("dwf events @last --follow", "until the run ends"),
        ("dwf events @last --kind AttemptFailed", ""),
        ("dwf events @store", "what belongs to no run: engines, breakers, trust"),
    ),
)
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run has ended.")
@click.option("-t", "--task", multiple=True, metavar="NAME", help="Only events of this task.")
@click.option(
    "-k",
    "--kind",
    multiple=True,
    callback=_kinds,
    metavar="KIND",
    help=f"Only events of this kind: {', '.join(KINDS)}.",
)
@click.option("-n", "--last", type=Number(1), metavar="N", help="Only the last N of them.")
@json_option("Print JSON Lines: seq, run, n, at, kind, task, attempt, body, hash.")
@pass_settings
def events(
    settings: Settings,
    *,
    run: str,
    follow: bool,
    task: tuple[str, ...],
    kind: frozenset[str],
    last: int | None,
    as_json: bool,
) -> None:
    """Print the recorded events of a run, in order.

    The log is the truth about a run: everything else that dwf shows is computed from it.
    """
    look = out()
    with settings.reading() as store:
        number, run_id = (0, STORE_STREAM)
        if run != STORE_STREAM:
            row = pick(store.log, run)
            note_newer(store.log, row)
            number, run_id = row.run, row.run_id
            _refuse_unknown(store, row, task)
        chosen = _Chosen(frozenset(task), kind)
        past = (event for event in store.log.stored(number) if chosen(event))
        seen = 0
        for event in deque(past, last) if last else past:
            _print(event, run_id, look, as_json=as_json)
            seen = event.n
        if follow:
            sys.stdout.flush()
            for event in _following(store, run_id, number, seen):
                if chosen(event):
                    _print(event, run_id, look, as_json=as_json)
                    sys.stdout.flush()


def _refuse_unknown(store: Store, row: RunRow, tasks: tuple[str, ...]) -> None:
    """Raise NotFound for a task that the run does not have."""
    if tasks:
        names = [task.name for task in load_definition(store.log, row).tasks]
        for name in tasks:
            task_or_raise(row.run_id, name.removesuffix(SUFFIX), names)


class _Chosen:
    """Whether an event was asked for."""

    def __init__(self, tasks: frozenset[str], kinds: frozenset[str]) -> None:
        self._tasks = tasks
        self._kinds = kinds

    def __call__(self, event: Stored) -> bool:
        return (not self._tasks or event.task in self._tasks) and (
            not self._kinds or event.kind in self._kinds
        )


def _following(store: Store, run_id: str, number: int, after: int) -> Iterator[Stored]:
    """Events as they come, until the run is final. A run without an engine is waited for, since
    another may resume it; that is said once.
    """
    told = False
    while True:
        row = store.log.row(run_id)
        for event in store.log.stored(number, after):
            after = event.n
            yield event
        if row is not None and row.status in RUN_FINAL and after >= row.n:
            return
        if row is not None and not told and not alive_in(store, row):
            told = True
            note(f"no engine runs this now; waiting. To go on: {typed('resume', run_id)}")
        time.sleep(_POLL_S)


def _print(event: Stored, run_id: str, look: Look, *, as_json: bool) -> None:
    if as_json:
        say(dumps(event_document(event, run_id)))
        return
    style = "red" if event.kind in _BAD else "green" if event.kind in _GOOD else ""
    task = one_line(event.task) + (f" #{event.attempt}" if event.attempt > 1 else "")
    head = f"{event.n:>6}  {clock(event.at)}  "
    kind = pad(event.kind, 18)
    if task and (look.width is None or look.width >= _WIDE):
        task = pad(task, 20)
    tail = "  " + "  ".join(text for text in (task, _words(event)) if text)
    if look.width is not None:
        tail = shorten(tail, max(0, look.width - cells(head) - cells(kind)), symbols=look.symbols)
    say(f"{look.paint(head, 'dim')}{look.paint(kind, style)}{tail}".rstrip())


def _words(event: Stored) -> str:
    """The body in a few words: `key=value`, nested values as compact JSON."""
    try:
        body = json.loads(event.body or "{}")
    except (ValueError, RecursionError):
        return one_line(event.body)
    if not isinstance(body, dict):
        return one_line(event.body)
    fault = body.pop("fault", None)
    words = []
    if isinstance(fault, dict):
        words.append(f"{fault.get('kind', '')}: {fault.get('message', '')}")
    for key, value in body.items():
        if key in _TIMES and type(value) is int:
            value = local(value)  # noqa: PLW2901
        text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        if text not in {"", "[]", "{}"}:
            words.append(f"{key}={text}")
    return one_line(" ".join(words))
