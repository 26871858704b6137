"""Choosing runs: the filters that lists and verbs share.

Owns: `--status`, `--workflow`, `--tag`, `--since`, and which runs pass them.
Must never: replay a history; it reads the read model.
Read next: `bulk.py`, `commands/list.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import attrs
import click

from durable_wf.cli.picking import pick
from durable_wf.cli.states import OnlyShown, RunShown, shown_run
from durable_wf.cli.stores import alive_in
from durable_wf.cli.times import parse_since
from durable_wf.core.resolver import nearest
from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.store.opening import Store

F = TypeVar("F", bound=Callable[..., Any])

_STATES: dict[str, RunShown] = {state.value: state for state in (*RunStatus, *OnlyShown)}
_LOOKED_AT = 1000
_UNFINISHED = frozenset(RunStatus) - RUN_FINAL


@attrs.frozen
class Filter:
    """What runs must be like; what says nothing lets all pass. `since` is UTC microseconds."""

    states: frozenset[RunShown] = frozenset()
    workflow: str | None = None
    tags: frozenset[str] = frozenset()
    since: int | None = None

    @property
    def chooses(self) -> bool:
        """Whether anything was asked for."""
        return self != Filter()

    def passes(self, row: RunRow, shown: RunShown) -> bool:
        """Whether this run is like that."""
        return (
            (not self.states or shown in self.states)
            and (self.workflow is None or row.workflow == self.workflow)
            and self.tags.issubset(row.tags)
            and (self.since is None or row.created_at >= self.since)
        )


def _states(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> frozenset[RunShown]:
    return frozenset(_STATES[name] for name in values)


def _since(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_since(value, time.time_ns() // 1000)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def filter_options(command: F) -> F:
    """The options; the command gets `status`, `workflow`, `tag` and `since` for a Filter."""
    options = (
        click.option(
            "-s",
            "--status",
            multiple=True,
            type=click.Choice(list(_STATES), case_sensitive=False),
            callback=_states,
            help="Only runs in this state; may be given more than once.",
        ),
        click.option("-w", "--workflow", metavar="NAME", help="Only runs of this workflow."),
        click.option(
            "--tag", multiple=True, metavar="TAG", help="Only runs with this tag; repeatable."
        ),
        click.option(
            "--since",
            metavar="WHEN",
            callback=_since,
            help="Only runs created since: 30m, 2d, or 2026-11-23T14:50.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def select(store: Store, wanted: Filter, limit: int = 0) -> Iterator[tuple[RunRow, bool]]:
    """Runs that pass, newest first, with whether their engine lives. At least `limit` are looked
    for and one more, where there are so many; 0: all.

    What is shown may differ from what is recorded, so a state that depends on it is sifted here;
    only unfinished runs can be, and they are few.
    """
    recorded = {state for state in wanted.states if isinstance(state, RunStatus)}
    sifted = bool(wanted.tags) or not wanted.states.isdisjoint({*OnlyShown, *_UNFINISHED})
    if not wanted.states.isdisjoint(OnlyShown):
        recorded |= _UNFINISHED
    most = limit + 1 if limit and not sifted else None
    rows = store.log.rows(status=recorded, workflow=wanted.workflow, since=wanted.since, limit=most)
    for row in rows:
        alive = alive_in(store, row)
        if not sifted or wanted.passes(row, shown_run(row, alive=alive)):
            yield row, alive


def none_like(store: Store, wanted: Filter) -> str:
    """That there are no such runs; and which workflow may have been meant."""
    if wanted.workflow is None or store.log.rows(workflow=wanted.workflow, limit=1):
        return "no such runs"
    known = {row.workflow for row in store.log.rows(limit=_LOOKED_AT)}
    guess = nearest(wanted.workflow, known)
    return f"no runs of workflow {wanted.workflow!r:.220} at all" + (
        f"; did you mean {guess!r}?" if guess else ""
    )


def choose(store: Store, names: tuple[str, ...], wanted: Filter) -> Iterator[tuple[RunRow, bool]]:
    """The runs that are named, where any are, and pass the filter. Raises NotFound."""
    if not names:
        yield from select(store, wanted)
        return
    named = {row.run_id: row for row in (pick(store.log, name) for name in names)}
    for row in named.values():
        alive = alive_in(store, row)
        if wanted.passes(row, shown_run(row, alive=alive)):
            yield row, alive
