"""Kin: the run that a run was made from, and the runs made from it.

Owns: how both are told, and when it is said that a run has a newer retry.
Must never: put another run in the place of the one that was named.
Read next: `picking.py`; `../engine/chains.py`.
"""

from __future__ import annotations

import attrs

from durable_wf.cli.context import note
from durable_wf.cli.documents import Document
from durable_wf.cli.states import MARKS, shown_run
from durable_wf.cli.stores import alive_in
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains
from durable_wf.store.opening import Store
from durable_wf.store.port import Log

_SHOWN = 5


@attrs.frozen
class Kin:
    """The later runs of its chain of retries, oldest first, and its forks, each with its state."""

    retries: tuple[tuple[str, str], ...] = ()
    forks: tuple[tuple[str, str], ...] = ()


def kin_of(store: Store, row: RunRow) -> Kin:
    """What was made from a run."""
    later = [one for one in chains.members(store.log, row) if one.run > row.run]
    forks = [one for one in store.log.rows(origin=row.run_id) if one.origin_n and not one.imported]
    return Kin(_named(store, later), _named(store, forks))


def _named(store: Store, rows: list[RunRow]) -> tuple[tuple[str, str], ...]:
    """Newest first, as rows are listed; told in the other order."""
    return tuple(
        (row.run_id, MARKS[shown_run(row, alive=alive_in(store, row))].word)
        for row in reversed(rows)
    )


def origin_text(row: RunRow) -> str:
    """`retry of nightly`, `fork of nightly after event 12`, or ""."""
    if not row.origin:
        return ""
    return f"fork of {row.origin} after event {row.origin_n}" if row.origin_n else (
        f"retry of {row.origin}"
    )  # fmt: skip


def kin_lines(row: RunRow, kin: Kin) -> list[tuple[str, str]]:
    """Lines for the head of a screen."""
    lines = [("origin", origin_text(row))] if row.origin else []
    for name, runs in (("retried as", kin.retries), ("forks", kin.forks)):
        if runs:
            more = f"... and {len(runs) - _SHOWN} more, " * (len(runs) > _SHOWN)
            shown = ", ".join(f"{run_id} ({state})" for run_id, state in runs[-_SHOWN:])
            lines.append((name, more + shown))
    return lines


def kin_document(kin: Kin) -> Document:
    """The same for programs."""
    return {
        "retries": [run_id for run_id, _ in kin.retries],
        "forks": [run_id for run_id, _ in kin.forks],
    }


def note_newer(log: Log, row: RunRow) -> None:
    """Say that what is shown is not the newest run of its chain."""
    newest = chains.newest(log, row)
    if newest.run_id != row.run_id:
        note(f"run {row.run_id} has a newer retry: {newest.run_id}")


def newest_of(log: Log, row: RunRow) -> RunRow:
    """The run that an id stands for where something is to be done: the newest of its chain. Says
    so where it is another one.
    """
    newest = chains.newest(log, row)
    if newest.run_id != row.run_id:
        note(f"{row.run_id} stands for its newest retry, {newest.run_id}")
    return newest
