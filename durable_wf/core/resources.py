"""Resources: what an attempt occupies, what an engine has, and the ledger between the two.

Owns: Resources, Capacity and Ledger.
Must never: measure a machine; capacities arrive as arguments.
Read next: `scheduler.py`, which admits tasks by these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import attrs


@attrs.frozen(cache_hash=True)
class Resources:
    """What one attempt occupies while it runs.

    `cpu` in cores, `memory` in bytes (0: not counted), `gpu` in devices, `pools` as sorted pairs of
    pool name and units.
    """

    cpu: float = 1.0
    memory: int = 0
    gpu: int = 0
    pools: tuple[tuple[str, int], ...] = ()


DEFAULT_RESOURCES = Resources()

MOST_CORES = 1e6
"""What an attempt may ask for is less."""


@attrs.frozen
class Capacity:
    """What an engine has to give. `memory` None means it is not counted; a pool that is not named
    in `pools` has no limit.
    """

    cpu: float
    memory: int | None = None
    gpu: int = 0
    pools: Mapping[str, int] = attrs.field(factory=dict)

    @classmethod
    def of(cls, resources: Resources) -> Self:
        """The capacity of a machine that has exactly these; `memory` 0 is not counted."""
        return cls(resources.cpu, resources.memory or None, resources.gpu, dict(resources.pools))

    @classmethod
    def for_all(cls, needs: Iterable[Resources]) -> Self:
        """A capacity in which all of these fit at once; memory and pools are not limited."""
        cpu, gpu = 1.0, 0
        for need in needs:
            cpu += need.cpu
            gpu += need.gpu
        return cls(cpu, gpu=gpu)

    def lacks(self, need: Resources) -> str:
        """What of `need` this capacity could not give even when idle, as words; "" if nothing."""
        if need.cpu > self.cpu:
            return f"{need.cpu:g} cpu of {self.cpu:g}"
        if self.memory is not None and need.memory > self.memory:
            return f"{need.memory} bytes of memory of {self.memory}"
        if need.gpu > self.gpu:
            return f"{need.gpu} gpu of {self.gpu}"
        for pool, units in need.pools:
            limit = self.pools.get(pool)
            if limit is not None and units > limit:
                return f"{units} of pool {pool!r}, which has {limit}"
        return ""


@attrs.frozen
class Grant:
    """What was taken from a ledger; `gpus` are the device numbers assigned."""

    need: Resources
    gpus: tuple[int, ...] = ()


_PARTS = 1_000_000
"""A core is counted in whole parts: sums of binary fractions would drift, and never come back."""


class Ledger:
    """What is free of a capacity. `take` and `give` are each other's inverse."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._cpu = round(capacity.cpu * _PARTS)
        self._memory = capacity.memory
        self._gpus = list(range(capacity.gpu))
        self._pools = dict(capacity.pools)

    def fits(self, need: Resources) -> bool:
        """Whether `need` could be taken now."""
        if need is DEFAULT_RESOURCES:
            return self._cpu >= _PARTS
        if round(need.cpu * _PARTS) > self._cpu:
            return False
        if self._memory is not None and need.memory > self._memory:
            return False
        if need.gpu > len(self._gpus):
            return False
        return all(self._pools.get(pool, units) >= units for pool, units in need.pools)

    def uses(self, need: Resources) -> frozenset[str]:
        """The kinds of what `need` takes that are limited here: "cpu", "gpu", "memory", and
        "pool/" with a pool's name.
        """
        return frozenset([kind for kind, _, _ in self._limited(need)])

    def short(self, need: Resources) -> frozenset[str]:
        """What must be kept for somebody who waits for `need`: its kinds in a fixed order, up to
        the first of which there is not enough.

        So two who wait never keep from each other what the other needs to go on, as with locks
        that everybody takes in the same order. The core comes last, since everybody needs one:
        it is kept for nobody who lacks something else.
        """
        kinds = []
        for kind, units, free in self._limited(need):
            kinds.append(kind)
            if units > free:
                break
        return frozenset(kinds)

    def _limited(self, need: Resources) -> list[tuple[str, int, int]]:
        """Kind, units needed and units free."""
        found = [
            (f"pool/{pool}", units, self._pools[pool])
            for pool, units in need.pools
            if pool in self._pools
        ]
        if need.gpu:
            found.append(("gpu", need.gpu, len(self._gpus)))
        if need.memory and self._memory is not None:
            found.append(("memory", need.memory, self._memory))
        found.append(("cpu", round(need.cpu * _PARTS), self._cpu))
        return found

    def has_cpu(self) -> bool:
        """Whether any part of a core is free."""
        return self._cpu > 0

    def take(self, need: Resources) -> Grant:
        """Occupy `need`, which must fit."""
        if need is DEFAULT_RESOURCES:
            self._cpu -= _PARTS
            return _DEFAULT_GRANT
        self._cpu -= round(need.cpu * _PARTS)
        if self._memory is not None:
            self._memory -= need.memory
        gpus = tuple(self._gpus[: need.gpu])
        del self._gpus[: need.gpu]
        for pool, units in need.pools:
            if pool in self._pools:
                self._pools[pool] -= units
        return Grant(need, gpus)

    def give(self, grant: Grant) -> None:
        """Give back what `take` gave."""
        if grant is _DEFAULT_GRANT:
            self._cpu += _PARTS
            return
        need = grant.need
        self._cpu += round(need.cpu * _PARTS)
        if self._memory is not None:
            self._memory += need.memory
        self._gpus = sorted([*self._gpus, *grant.gpus])
        for pool, units in need.pools:
            if pool in self._pools:
                self._pools[pool] += units


_DEFAULT_GRANT = Grant(DEFAULT_RESOURCES)
