"""Chains: runs that go on from one another by retries, and what they and forks are called.

Owns: which run of a chain is the newest, and the ids of new ones. The retries of `nightly` are
`nightly.2`, `nightly.3` and so on, also those of `nightly.2`; its forks `nightly.f1`, `nightly.f2`;
the retries of such a fork `nightly.f1.2`. What belongs together stands in the runs, not in their
ids: a run may be called `nightly.2` and have nothing to do with `nightly`.
Must never: count a run that was imported from another store: it could claim any ancestor.
Read next: `descending.py`.
"""

from __future__ import annotations

from durable_wf.core.names import RUN_ID_LENGTH
from durable_wf.core.summary import RunRow
from durable_wf.errors import CallerError, RunConflict
from durable_wf.store.port import Log


def members(log: Log, row: RunRow) -> list[RunRow]:
    """The runs of its chain of retries, newest first, the first one included. Of a run that came
    from another store it is the only one.
    """
    if row.imported:
        return [row]
    found = [one for one in log.rows(root=row.chain) if not one.imported]
    first = log.row(row.chain) if row.root else row
    return found if first is None or first.imported else [*found, first]


def newest(log: Log, row: RunRow) -> RunRow:
    """The newest run of its chain, for which all their ids stand."""
    return members(log, row)[0]


def retry_id(log: Log, row: RunRow, wanted: str | None = None) -> str:
    """What the next retry of its chain is called, or `wanted`. Raises RunConflict, CallerError."""
    return _free(log, wanted, f"{row.chain}.", len(members(log, row)) + 1)


def fork_id(log: Log, row: RunRow, wanted: str | None = None) -> str:
    """What the next fork of a run is called, or `wanted`. Raises RunConflict, CallerError."""
    return _free(log, wanted, f"{row.run_id}.f", 1)


def _free(log: Log, wanted: str | None, stem: str, number: int) -> str:
    if wanted is not None:
        if log.row(wanted) is not None:
            raise RunConflict(
                f"there is a run {wanted!r} already", hint="choose another id, or let one be made"
            )
        return wanted
    while log.row(run_id := f"{stem}{number}") is not None:
        number += 1
    if len(run_id) > RUN_ID_LENGTH:
        raise CallerError(
            f"the id {run_id!r} would be too long", hint="choose one: --id ID (or new_id=)"
        )
    return run_id
