"""What limits an engine: what it may use (`--cpus`, `--memory`, `--gpus`, `--pool`), what runs have
recorded of that, and how many of its kind may die over a run (`--crash-limit`).

Owns: these options, and their defaults for who continues a run: what its first engine was given.
Must never: check them; the engine does, as for everybody.
Read next: `commands/run.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypedDict, TypeVar

import click

from durable_wf.cli.context import Number
from durable_wf.core.events import RunCreated
from durable_wf.core.summary import RunRow
from durable_wf.core.units import parse_size
from durable_wf.engine.suspects import CRASH_LIMIT
from durable_wf.errors import DefinitionError
from durable_wf.store.port import Log

F = TypeVar("F", bound=Callable[..., Any])

_POOL = "pool:"


class Limits(TypedDict):
    """What was asked for; None and missing pools are left to the engine."""

    cpus: float | None
    memory: int | None
    gpus: int | None
    pools: dict[str, int]
    crash_limit: int


class Capacity(TypedDict):
    """Arguments of WorkflowEngine."""

    cpus: float | None
    memory: int | None
    gpus: int
    pools: dict[str, int]
    crash_limit: int


def limit_options(command: F) -> F:
    """The options that say what tasks may use together, and how often engines may die."""
    options = (
        click.option(
            "--cpus",
            type=click.FloatRange(min=0, min_open=True),
            metavar="N",
            help="Cores that tasks share. Default: those of this machine.",
        ),
        click.option(
            "--memory",
            callback=_size,
            metavar="SIZE",
            help="Memory that tasks share, such as 8GB. Default: not counted.",
        ),
        click.option(
            "--gpus", type=click.IntRange(min=0), metavar="N", help="Devices that tasks share."
        ),
        click.option(
            "--pool",
            "pools",
            multiple=True,
            callback=_pools,
            metavar="NAME=N",
            help="Units of a pool that tasks ask for; repeatable.",
        ),
        click.option(
            "--crash-limit",
            type=Number(0),
            default=CRASH_LIMIT,
            show_default=True,
            help="A run over which N engines in a row have died is paused when it is taken up "
            "again. 0: never.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _size(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else parse_size(value)
    except DefinitionError as error:
        raise click.BadParameter(error.message) from None


def _pools(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for value in values:
        name, _, units = value.rpartition("=")
        if (
            not name
            or not (units.isascii() and units.isdigit())
            or len(units) > 9
            or not int(units)
        ):
            raise click.BadParameter(f"{value!r} is not NAME=N, as in db=2")
        found[name] = int(units)
    return found


def capacity(given: Limits, recorded: Iterable[tuple[tuple[str, str], ...]] = ()) -> Capacity:
    """What the engine is asked for: what was given, else what the runs recorded, newest first.

    Of cores, memory and devices the most, so that every run fits; of a pool what the newest said,
    for it guards something outside.
    """
    most: dict[str, float] = {}
    pools: dict[str, int] = {}
    for limits in recorded:
        for name, text in limits:
            with contextlib.suppress(ValueError):
                if name.startswith(_POOL):
                    pools.setdefault(name.removeprefix(_POOL), int(text))
                else:
                    most[name] = max(most.get(name, 0.0), float(text))
    cpus, memory, gpus = given["cpus"], given["memory"], given["gpus"]
    if memory is None and "memory" in most:
        memory = int(most["memory"])
    return {
        "cpus": most.get("cpus") if cpus is None else cpus,
        "memory": memory,
        "gpus": int(most.get("gpus", 0)) if gpus is None else gpus,
        "pools": {**pools, **given["pools"]},
        "crash_limit": given["crash_limit"],
    }


def recorded_limits(log: Log, row: RunRow) -> tuple[tuple[str, str], ...]:
    """What the engine that created a run had been given."""
    for recorded in log.history(row.run):
        if isinstance(recorded.event, RunCreated):
            return recorded.event.limits
        break
    return ()
