"""Leases: who of several engines may have what they share, decided inside a transaction.

Owns: the arithmetic of takes and drops; both logs use it.
Must never: read or write; holdings and the liveness of holders are arguments.
Read next: `sqlite_write.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from durable_wf.store.port import LeaseDrop, LeaseTake

Holdings = dict[str, dict[str, int]]
"""key -> holder -> units."""


def settle(
    held: Mapping[str, Mapping[str, int]],
    drops: Iterable[LeaseDrop],
    takes: Iterable[LeaseTake],
    excluded: Iterable[str],
    alive: Callable[[str], bool],
) -> tuple[Holdings, set[str]]:
    """The holdings after this transaction, and the runs that lost.

    Drops come first. A run gets all that it takes or nothing; runs in `excluded` take nothing.
    What dead holders hold is void and is cleared from every key that somebody takes.
    """
    after: Holdings = {key: dict(holders) for key, holders in held.items()}
    for drop in drops:
        holders = after.setdefault(drop.key, {})
        left = holders.get(drop.holder, 0) - drop.units
        if left > 0:
            holders[drop.holder] = left
        else:
            holders.pop(drop.holder, None)
    by_run: dict[str, list[LeaseTake]] = {}
    shut_out = set(excluded)
    for take in takes:
        if take.run_id not in shut_out:
            by_run.setdefault(take.run_id, []).append(take)
    for key in {take.key for group in by_run.values() for take in group}:
        after[key] = {who: units for who, units in after.get(key, {}).items() if alive(who)}
    lost: set[str] = set()
    for run_id, group in by_run.items():
        if not _take_all(after, group):
            lost.add(run_id)
    return after, lost


def _take_all(after: Holdings, group: list[LeaseTake]) -> bool:
    taken: list[LeaseTake] = []
    for take in group:
        holders = after[take.key]
        if sum(holders.values()) + take.units > take.limit:
            for back in taken:
                _add(after[back.key], back.holder, -back.units)
            return False
        _add(holders, take.holder, take.units)
        taken.append(take)
    return True


def _add(holders: dict[str, int], holder: str, units: int) -> None:
    left = holders.get(holder, 0) + units
    if left:
        holders[holder] = left
    else:
        holders.pop(holder, None)
