"""Inputs of `decide`: reports of executors, commands of people, decisions of rules.

Owns: their shapes. Every input says when it came (`at`, UTC microseconds), since the core has no
clock. Tasks are named by their index in the definition, which is what executors are given.
Must never: be written to the log; events are.
Read next: `decide.py`.
"""

from __future__ import annotations

import attrs

from durable_wf.core.definition import Value
from durable_wf.core.events import Fault, OutputRef, RunCreated
from durable_wf.core.hot import hot


@attrs.frozen
class Create:
    """A run comes into being, as `created` describes it, in the hands of `engine`."""

    created: RunCreated
    engine: str


@hot
class AttemptBegins:
    """The engine means to start task `index` on this worker, once this is committed."""

    index: int
    worker: str
    pid: int
    born: int


@hot
class Succeeded:
    """Report: the attempt returned. `payload` are the bytes behind a table PayloadRef."""

    run: int
    index: int
    attempt: int
    value: Value
    began_at: int
    wall_us: int
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    payload: bytes | None = None


@attrs.frozen
class Failed:
    """Report: the attempt did not succeed."""

    run: int
    index: int
    attempt: int
    fault: Fault
    began_at: int = 0
    wall_us: int = 0
    cpu_us: int = 0
    rss_kib: int = 0
    output: OutputRef | None = None
    kept: str = ""


@attrs.frozen
class Returned:
    """Report: the attempt never began and will not; the worker gave it back."""

    run: int
    index: int
    attempt: int


Report = Succeeded | Failed | Returned


@attrs.frozen
class Pause:
    """Command: start nothing more until resumed."""

    actor: str
    cause: str = ""


@attrs.frozen
class Resume:
    """Command: start again."""

    actor: str


@attrs.frozen
class Cancel:
    """Command: end the run; what runs is stopped."""

    actor: str
    cause: str = ""


@attrs.frozen
class Claim:
    """An engine takes the run. `engine` is its lock's name."""

    engine: str
    why: str


@attrs.frozen
class Release:
    """The engine lets go of the run."""

    engine: str
    why: str


@attrs.frozen
class AcceptCode:
    """A person accepts changed code: `definition` is the digest of the payload that has it,
    `code` its code digest.
    """

    actor: str
    definition: str
    code: str
    tasks: tuple[str, ...]


Command = Pause | Resume | Cancel | AcceptCode


# --- decisions: what the rules answer about a FAULTED task ------------------------------------


@attrs.frozen
class Retry:
    """Try again `delay_us` after the input's time."""

    index: int
    rule: str
    reason: str
    delay_us: int = 0


@attrs.frozen
class Fail:
    """Give the task up."""

    index: int
    rule: str
    reason: str


Decision = Retry | Fail

Input = Create | Claim | Release | Command | AttemptBegins | Report | Decision
