"""Bulk: one verb for many runs, after a count and a question.

Owns: which runs are meant, the question, the report of each, and the exit code.
Must never: know what a verb does. A verb gives `Verbs` its word, the states that it can change,
and a function that does it.
Read next: `choosing.py`, `commands/control.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypedDict, TypeVar

import attrs
import click

from durable_wf.cli.choosing import Filter, choose, filter_options
from durable_wf.cli.context import MOST, RunName, note, say
from durable_wf.cli.documents import dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.states import MARKS, RunShown, shown_run
from durable_wf.core.summary import RunRow
from durable_wf.store.opening import Store

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN = 5


@attrs.frozen
class Told:
    """What became of a verb in one run: whether it was done (None: it waits for somebody)."""

    run_id: str
    accepted: bool | None
    text: str


class Asked(TypedDict):
    """What the options of `wanted_options` say."""

    names: tuple[str, ...]
    status: frozenset[RunShown]
    workflow: str | None
    tag: tuple[str, ...]
    since: int | None
    limit: int
    yes: bool


@attrs.frozen
class Wanted:
    """Which runs were asked for, as the options say. `yes`: without a question."""

    names: tuple[str, ...]
    filter: Filter
    limit: int = 0
    yes: bool = False

    @property
    def is_one(self) -> bool:
        """Whether one run was named, and nothing else said: then nobody needs to be asked."""
        return len(self.names) == 1 and not self.filter.chooses


def wanted_options(verb: str) -> Callable[[F], F]:
    """`RUN...`, the filters, `--limit` and `--yes`; read them with `wanted_of`."""

    def add(command: F) -> F:
        options = (
            click.argument("names", metavar="[RUN]...", nargs=-1, type=RunName()),
            filter_options,
            click.option(
                "-n",
                "--limit",
                type=click.IntRange(0, MOST),
                default=0,
                help=f"{verb.capitalize()} at most this many, the newest. Default: all.",
            ),
            click.option("-y", "--yes", is_flag=True, help="Do not ask."),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return add


def wanted_of(asked: Asked) -> Wanted:
    """What was asked for. Raises UsageError where nothing was."""
    names = asked["names"]
    tags = frozenset(asked["tag"])
    chosen = Filter(asked["status"], asked["workflow"], tags, asked["since"])
    if not names and not chosen.chooses:
        raise click.UsageError(
            "Name a RUN, or say which: --status, --workflow, --tag, --since.",
            click.get_current_context(),
        )
    return Wanted(names, chosen, asked["limit"], asked["yes"])


def chosen_runs(
    store: Store,
    wanted: Wanted,
    verb: str,
    changes: frozenset[RunShown],
    fits: Callable[[RunRow], bool] = lambda _: True,
) -> list[tuple[RunRow, bool]]:
    """The runs that are meant, each with whether its engine lives, once it was said which and
    nobody was against it. None: there are none, or somebody was.

    Where neither a name nor a state was given, those are meant whose state the verb `changes`; of
    all of them those that it `fits`.
    Raises NotFound, and UsageError where nobody can be asked.
    """
    sifted = wanted.filter
    if not wanted.names and not sifted.states:
        sifted = attrs.evolve(sifted, states=changes)
    passing = (
        (row, alive)
        for row, alive in choose(store, wanted.names, sifted)
        if not row.imported and fits(row)
    )
    found = list(islice(passing, wanted.limit or None))
    if not found:
        note("no such runs")
        return []
    more = wanted.limit and next(passing, None) is not None
    what = f"{verb} {_count(len(found))}{' (the newest of more)' * bool(more)}: {_few(found)}"
    if wanted.yes:
        return found
    if not _can_ask():
        raise click.UsageError(
            f"This would {what}. Off a terminal nobody can be asked: repeat with --yes.",
            click.get_current_context(),
        )
    if not click.confirm(f"{what}?", err=True):
        note("nothing was changed")
        return []
    return found


def _can_ask() -> bool:
    """Whether somebody sits there who could answer."""
    return sys.stdin.isatty()


def _count(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def _few(found: Sequence[tuple[RunRow, bool]]) -> str:
    shown = (f"{row.run_id} ({_state(row, alive=alive)})" for row, alive in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(shown) + more


def _state(row: RunRow, *, alive: bool) -> str:
    return MARKS[shown_run(row, alive=alive)].word


def report(verb: str, told: Iterable[Told], *, as_json: bool) -> Exit:
    """Tell what became of each run, as it comes. 4 if one was refused, else 7 if one waits for
    somebody, else 0.
    """
    codes = {Exit.OK}
    for one in told:
        if as_json:
            accepted = bool(one.accepted)
            document = {"run_id": one.run_id, "command": verb, "accepted": accepted}
            say(dumps({**document, "text": one.text}))
        else:
            note(f"{one.run_id}: {one.text}")
        if not one.accepted:
            codes.add(Exit.WAITING if one.accepted is None else Exit.WRONG_STATE)
    return Exit.WRONG_STATE if Exit.WRONG_STATE in codes else max(codes)


def each(rows: Iterable[RunRow], act: Callable[[RunRow], Told]) -> Iterator[Told]:
    """For verbs that are done run by run."""
    for row in rows:
        yield act(row)
