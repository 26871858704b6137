"""Bulk: one verb for many runs, after a count and a question.

Owns: which runs are meant, which of them are left out, the question, the report of each, and the
exit code.
Must never: know what a verb does. A verb says to which runs it applies, and does it to those that
are chosen.
Read next: `choosing.py`, `commands/control.py`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Self, TypedDict, TypeVar

import attrs
import click

from durable_wf.cli.choosing import Filter, choose, filter_options, none_like
from durable_wf.cli.context import Number, RunName, note, say
from durable_wf.cli.documents import dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.states import MARKS, RunShown, shown_run
from durable_wf.core.summary import RunRow
from durable_wf.core.wording import count_of
from durable_wf.store.opening import Store

F = TypeVar("F", bound=Callable[..., Any])

_SHOWN = 5


@attrs.frozen
class Told:
    """What became of a verb in one run: whether it was done (None: it waits for somebody)."""

    run_id: str
    accepted: bool | None
    text: str


def _no_objection(_row: RunRow, _alive: bool) -> str:
    return ""


@attrs.frozen
class Applies:
    """To which runs a verb applies. Those in a state of `meant` are meant where nobody says any;
    it `can` do something to those in more. `but` says why not to a run all the same, given whether
    its engine lives, in a word that fits behind a count; else "".
    """

    meant: frozenset[RunShown]
    can: frozenset[RunShown]
    but: Callable[[RunRow, bool], str] = _no_objection

    @classmethod
    def to(cls, *states: RunShown) -> Self:
        """One that means all to which it can do something."""
        return cls(frozenset(states), frozenset(states))


@attrs.frozen
class Chosen:
    """What a verb is done to: the runs, each with whether its engine lives. `refused` are those of
    the runs that were named that it can do nothing to.
    """

    rows: tuple[tuple[RunRow, bool], ...] = ()
    refused: tuple[Told, ...] = ()


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
                type=Number(0),
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


def chosen_runs(store: Store, wanted: Wanted, verb: str, applies: Applies) -> Chosen:
    """The runs that are meant and that the verb can do something to, once it was said which, and
    how many are left out, and nobody was against it. None: there are none, or somebody was.

    Where neither a name nor a state was given, those are meant whose state the verb changes.
    Raises NotFound, and UsageError where nobody can be asked.
    """
    sifted = wanted.filter
    if not wanted.names and not sifted.states:
        sifted = attrs.evolve(sifted, states=applies.meant)
    left = _Left(applies)
    fitting = left.sift(choose(store, wanted.names, sifted))
    found = [*islice(fitting, wanted.limit or None)]
    more = wanted.limit and next(fitting, None) is not None
    refused = tuple(left.told) if wanted.names else ()  # told one by one, too
    words = left.words()
    if not found:
        if not refused:
            note(f"nothing to {verb}; left out: {words}" if words else none_like(store, sifted))
        return Chosen((), refused)
    if words and not (refused and wanted.yes):
        note(f"left out: {words}")
    count = count_of(len(found), "run") + " (the newest of more)" * bool(more)
    what = f"{verb} {count}: {_few(found)}"
    return Chosen(tuple(found), refused) if confirmed(what, yes=wanted.yes) else Chosen()


def confirmed(what: str, *, yes: bool) -> bool:
    """Whether `what` may be done: somebody has said so, now or with `--yes`. Raises UsageError
    where nobody can be asked.
    """
    if yes:
        return True
    if not _can_ask():
        raise click.UsageError(
            f"This would {what}. Off a terminal nobody can be asked: repeat with --yes.",
            click.get_current_context(),
        )
    if click.confirm(f"{what}?", err=True):
        return True
    note("nothing was changed")
    return False


class _Left:
    """The runs that a verb can do nothing to, and why."""

    def __init__(self, applies: Applies) -> None:
        self._applies = applies
        self._counts: Counter[str] = Counter()
        self.told: list[Told] = []

    def sift(self, rows: Iterable[tuple[RunRow, bool]]) -> Iterator[tuple[RunRow, bool]]:
        """Those of the rows that it can; the others are kept in mind."""
        for row, alive in rows:
            why = self._why(row, alive=alive)
            if not why:
                yield row, alive
                continue
            self._counts[why] += 1
            is_over = row.ended_at is not None and not row.imported
            text = f"left out: it {'has ended:' if is_over else 'is'} {why}"
            self.told.append(Told(row.run_id, accepted=False, text=text))

    def _why(self, row: RunRow, *, alive: bool) -> str:
        if row.imported:
            return "copied from another store"
        shown = shown_run(row, alive=alive)
        if shown not in self._applies.can:
            return MARKS[shown].word
        return self._applies.but(row, alive)

    def words(self) -> str:
        """`2 succeeded, 1 copied from another store`."""
        return ", ".join(f"{count} {why}" for why, count in self._counts.items())


def _can_ask() -> bool:
    """Whether somebody sits there who could answer."""
    return sys.stdin.isatty()


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
