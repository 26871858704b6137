"""Settings: what a WorkflowEngine was asked to use, checked.

Owns: the frozen value behind the engine's keyword arguments and its defaults from the machine.
Must never: be changed after the engine was made.
Read next: `facade.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import Enum

import attrs

from durable_wf.core.resources import Capacity
from durable_wf.core.units import Duration, Size, parse_size
from durable_wf.engine.suspects import CRASH_LIMIT
from durable_wf.errors import CallerError, DefinitionError
from durable_wf.recovery.decisions import seconds


class ExecutorType(Enum):
    """Where attempts run."""

    SEQUENTIAL = "sequential"
    PARALLEL = "parallel"


def executor_type(name: str) -> ExecutorType:
    """The executor of that name. Raises CallerError."""
    try:
        return ExecutorType(name)
    except ValueError:
        known = ", ".join(repr(e.value) for e in ExecutorType)
        raise CallerError(f"there is no executor {name!r}", hint=f"one of {known}") from None


def usable_cpus() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine_memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@attrs.frozen
class Settings:
    """`workers` processes share `capacity`; `grace_s` is what running attempts get at the end.
    A run over which `crash_limit` engines in a row have died is paused (0: never).
    `given` is what of the capacity was asked for, not found on the machine: it is recorded.
    """

    executor: ExecutorType
    workers: int
    capacity: Capacity
    grace_s: float
    trust: bool
    crash_limit: int = CRASH_LIMIT
    given: tuple[tuple[str, str], ...] = ()


def settings(
    *,
    executor: str,
    workers: int | None,
    cpus: float | None,
    memory: Size | None,
    gpus: int,
    pools: Mapping[str, int] | None,
    grace_s: Duration,
    trust: bool,
    crash_limit: int = CRASH_LIMIT,
) -> Settings:
    """Check and complete what the caller gave. Raises CallerError."""
    given = [limit for limit in (cpus, workers) if limit is not None]
    if not all(map(_is_number, [*given, gpus])):
        raise CallerError("workers, cpus and gpus must be numbers")
    for name, number in (("workers", workers), ("gpus", gpus)):
        if number is not None and type(number) is not int:
            raise CallerError(f"{name}={number!r}: a whole number is needed")
    size, grace = _size(memory), _grace(grace_s)
    count = workers if workers is not None else max(1, int(cpus or usable_cpus()))
    if count < 1:
        raise CallerError(f"workers={count}: at least one is needed")
    cores = float(cpus if cpus is not None else max(usable_cpus(), count))
    if cores <= 0 or gpus < 0:
        raise CallerError("cpus must be more than 0, gpus not negative")
    for pool, units in (pools or {}).items():
        if type(units) is not int or units < 1:
            raise CallerError(f"pool {pool!r} has {units} units: at least one is needed")
    if type(crash_limit) is not int or crash_limit < 0:
        raise CallerError(
            f"crash_limit={crash_limit!r:.60}: a number of engines is needed; 0 means no limit"
        )
    capacity = Capacity(cores, size, gpus, dict(pools or {}))
    recorded = _recorded(cpus=cpus, memory=size, gpus=gpus or None, pools=pools or {})
    return Settings(executor_type(executor), count, capacity, grace, trust, crash_limit, recorded)


def _is_number(given: object) -> bool:
    """Whether it is one that a float can hold; True and False are none."""
    if isinstance(given, bool) or not isinstance(given, int | float):
        return False
    return abs(given) <= sys.float_info.max


def _size(memory: object) -> int | None:
    try:
        return None if memory is None else parse_size(memory)
    except DefinitionError as error:
        raise CallerError(f"memory={error.message}", hint=error.hint) from None


def _grace(grace_s: object) -> float:
    try:
        return seconds(grace_s, "grace_s")
    except DefinitionError as error:
        raise CallerError(error.message, hint=error.hint) from None


def _recorded(
    *, cpus: float | None, memory: int | None, gpus: int | None, pools: Mapping[str, int]
) -> tuple[tuple[str, str], ...]:
    """The limits that were asked for, as they are recorded with a run."""
    named = {"cpus": cpus, "memory": memory, "gpus": gpus}
    found = [(name, f"{number:.15g}") for name, number in named.items() if number is not None]
    return (*found, *((f"pool:{name}", str(units)) for name, units in sorted(pools.items())))
