"""Inputs of `decide`: reports of executors, commands of people, decisions of rules.

Owns: their shapes. Every input says when it came (`at`, UTC microseconds), since the core has no
clock. Tasks are named by their index in the definition, which is what executors are given.
Must never: be written to the log; events are.
Read next: `decide.py`.
"""

from __future__ import annotations

import attrs

from durable_wf.core.events import Facts, RunCreated
from durable_wf.core.hot import hot
from durable_wf.core.reports import Failed as Failed
from durable_wf.core.reports import Report as Report
from durable_wf.core.reports import Returned as Returned
from durable_wf.core.reports import Succeeded as Succeeded


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


@attrs.frozen
class Due:
    """A timer of the run is due."""


Command = Pause | Resume | Cancel | AcceptCode


# --- decisions: what the rules answer about a FAULTED task ------------------------------------


@attrs.frozen
class Retry:
    """Try again `delay_us` after the input's time."""

    index: int
    rule: str
    reason: str
    delay_us: int = 0
    version: str = ""
    facts: Facts = ()


@attrs.frozen
class Fail:
    """Give the task up. With `keep_going` the run goes on with what does not depend on it."""

    index: int
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    keep_going: bool = False


@attrs.frozen
class Skip:
    """Go on without the task: what comes after it finds no value."""

    index: int
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@attrs.frozen
class FallBack:
    """Take `value` (exact JSON text) for the result."""

    index: int
    rule: str
    reason: str
    value: str
    version: str = ""
    facts: Facts = ()


@attrs.frozen
class FallBackTo:
    """Call another function, named `function`, in place of the task's own."""

    index: int
    rule: str
    reason: str
    function: str
    version: str = ""
    facts: Facts = ()


Decision = Retry | Fail | Skip | FallBack | FallBackTo

Input = Create | Claim | Release | Command | Due | AttemptBegins | Report | Decision
