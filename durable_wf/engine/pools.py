"""Pools: units of named pools, shared by every engine of a store.

Owns: what this engine holds of each pool. Units are leases in the store, taken before an attempt
is announced and given back in the transaction that records its end; a dead engine's are void.
Must never: admit by this engine's own ledger alone; another engine may hold the rest.
Read next: `loop.py`, which asks before it announces; `store/leases.py` for the arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from durable_wf.core.definition import Task
from durable_wf.errors import DiskFull, StoreBusy
from durable_wf.store.port import Batch, LeaseDrop, LeaseTake, Log

RETRY_S = 0.2
"""How long a task waits that found its pool held by others."""

_Place = tuple[int, int]
"""run key and task index"""


class PoolLeases:
    """The leases of one engine. `limits` are units by pool; other pools have no limit. Where there
    are none it is not `in_use`, and need not be asked.
    """

    def __init__(self, log: Log, engine: str, limits: Mapping[str, int]) -> None:
        self._log = log
        self._engine = engine
        self._limits = limits
        self.in_use = bool(limits)
        self._held: dict[_Place, tuple[tuple[str, int], ...]] = {}
        self._drops: list[LeaseDrop] = []

    def needs(self, task: Task) -> tuple[tuple[str, int], ...]:
        """What of limited pools a task needs."""
        pools = task.resources.pools
        return tuple(p for p in pools if p[0] in self._limits) if pools else ()

    def take(self, wanted: Sequence[tuple[_Place, tuple[tuple[str, int], ...]]]) -> set[_Place]:
        """Take units for attempts about to be announced; returns the places that got them.

        One transaction for all. Nobody gets any while the store cannot be written for a while
        (full disk, busy writer). Errors: as `Log.append` otherwise.
        """
        takes = [
            LeaseTake(_key(pool), self._engine, f"{place}", units, self._limits[pool])
            for place, needs in wanted
            for pool, units in needs
        ]
        drops = self.released()
        try:
            appended = self._log.append(Batch(takes=takes, drops=drops))
        except (DiskFull, StoreBusy):
            self._drops = drops  # the loop's own commit waits for better times, and says so
            return set()
        granted = {place: needs for place, needs in wanted if f"{place}" not in appended.conflicts}
        self._held.update(granted)
        return set(granted)

    def end(self, place: _Place) -> None:
        """The attempt at `place` has ended: its units go back with the next transaction."""
        for pool, units in self._held.pop(place, ()):
            self._drops.append(LeaseDrop(_key(pool), self._engine, units))

    @property
    def owes(self) -> bool:
        """Whether units wait to be given back, though nothing else may be there to record."""
        return bool(self._drops)

    def released(self) -> list[LeaseDrop]:
        """What is to be given back, once."""
        drops, self._drops = self._drops, []
        return drops


def _key(pool: str) -> str:
    return f"pool/{pool}"
