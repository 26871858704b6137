"""Events of stream 0: facts that belong to no run.

Owns: their classes. Times are UTC microseconds; `engine` is the name of an engine's lock file.
Must never: decide anything.
Read next: `events.py`, where all kinds come together.
"""

from __future__ import annotations

from durable_wf.core.hot import frozen


@frozen
class EngineStarted:
    """An engine opened the store. `engine` names its lock file."""

    engine: str
    pid: int
    host: str
    version: str


@frozen
class EngineStopped:
    """The engine closed the store in an orderly way."""

    engine: str


@frozen
class Pruned:
    """Payloads and output that nothing names were deleted, and what was known of so many breaker
    `keys` that had been closed and silent for long.
    """

    actor: str
    files: int
    rows: int
    size: int
    keys: int = 0


@frozen
class Trusted:
    """A person accepted something: another store, or the loss of a cut tail."""

    actor: str
    what: str


@frozen
class RunImported:
    """The run `run` came from another store, with the `events` that stand right before this one. It
    is there to be read: no engine goes on with it. `source` is the same for all that comes from one
    store.
    """

    actor: str
    run: str
    events: int
    source: str = ""


@frozen
class BreakerOpened:
    """The circuit breaker `key` lets nobody through until `until` (UTC microseconds): the attempt
    of `task` in `run` was the last of `failures` failures.
    """

    key: str
    until: int
    failures: int
    run: str
    task: str


@frozen
class ProbeTaken:
    """The breaker `key` is half open, and `engine` lets this one attempt through."""

    key: str
    engine: str
    run: str
    task: str
    attempt: int


@frozen
class BreakerReset:
    """A person has closed the breaker `key`: it lets everybody through, and counts anew."""

    actor: str
    key: str
    reason: str = ""


@frozen
class BreakerClosed:
    """The probe, that attempt, has succeeded: the breaker `key` lets everybody through."""

    key: str
    run: str
    task: str
    attempt: int
