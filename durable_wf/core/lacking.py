"""Lacking: what a task needs and an engine cannot give now, as far as the log tells.

Owns: the sum over open attempts, resource by resource.
Must never: admit anything; `scheduler.py` does, by its own ledger. This one is for explanations.
Read next: `why.py`.

A worker holds what one attempt needs, however many tiny ones wait in it, so attempts of one
worker are counted once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from durable_wf.core.resources import Resources


@attrs.frozen
class Stock:
    """What an engine has to give. `limits` are by name: cpu, memory, gpu, `pool NAME`; what is not
    named has no limit, or none that is known. `assumed` names those that nobody declared.
    """

    engine: str
    limits: Mapping[str, float]
    assumed: frozenset[str] = frozenset()


@attrs.frozen
class Held:
    """What an open attempt occupies."""

    run_id: str
    task: str
    worker: str
    engine: str
    resources: Resources


@attrs.frozen
class Lack:
    """`needs` of a resource are more than is free of `has`. `holders` are (run, task) with what
    they hold; there are none where even an idle engine could not give it.
    """

    resource: str
    needs: float
    has: float
    held: float
    holders: tuple[tuple[str, str, float], ...] = ()
    assumed: bool = False


def amounts(need: Resources) -> dict[str, float]:
    """What is needed, by name."""
    found: dict[str, float] = {"cpu": need.cpu, "memory": need.memory, "gpu": need.gpu}
    found |= {f"pool {pool}": units for pool, units in need.pools}
    return {name: amount for name, amount in found.items() if amount}


def lacks(need: Resources, stock: Stock, held: Iterable[Held]) -> Iterator[Lack]:
    """Each resource of which too little is free."""
    grants = _by_worker(held)
    for name, amount in amounts(need).items():
        has = stock.limits.get(name)
        if has is None:
            continue
        holders = tuple(
            (one.run_id, one.task, taken)
            for one in grants
            if (taken := amounts(one.resources).get(name))
            # Pools are shared by all engines of a store, everything else belongs to one.
            and (name.startswith("pool ") or one.engine == stock.engine)
        )
        taken = sum(amount for _, _, amount in holders)
        has = max(has, taken)  # where more is held there is more, whoever declared what
        if amount > has:
            yield Lack(name, amount, has, taken, (), name in stock.assumed)
        elif amount > round(has - taken, 6):
            yield Lack(name, amount, has, taken, holders, name in stock.assumed)


def _by_worker(held: Iterable[Held]) -> list[Held]:
    """One attempt for each worker: the first."""
    found: dict[tuple[str, str], Held] = {}
    for one in held:
        found.setdefault((one.engine, one.worker), one)
    return list(found.values())
