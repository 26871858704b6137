"""Inputs of `decide`: reports of executors, commands of people, decisions of rules.

Owns: their shapes. Every input says when it came (`at`, UTC microseconds), since the core has no
clock. Tasks are named by their index in the definition, which is what executors are given.
Must never: be written to the log; events are.
Read next: `decide.py`.
"""

from __future__ import annotations

from durable_wf.core.events import Facts, RunCreated, TaskImported
from durable_wf.core.hot import frozen, hot
from durable_wf.core.reports import Failed as Failed
from durable_wf.core.reports import Report as Report
from durable_wf.core.reports import Returned as Returned
from durable_wf.core.reports import Succeeded as Succeeded
from durable_wf.core.status import Otherwise, Verdict


@frozen
class Create:
    """A run comes into being, as `created` describes it, in the hands of `engine`. `imports` are
    results that it takes over from another run, in the order in which they were completed there.
    """

    created: RunCreated
    engine: str
    imports: tuple[TaskImported, ...] = ()


@hot
class AttemptBegins:
    """The engine means to start task `index` on this worker, once this is committed. `detail` is
    the last heartbeat of the attempt before.
    """

    index: int
    worker: str
    pid: int
    born: int
    detail: str = ""


@frozen
class Pause:
    """Command: start nothing more until resumed."""

    actor: str
    cause: str = ""


@frozen
class Resume:
    """Command: start again."""

    actor: str


@frozen
class Cancel:
    """Command: end the run; what runs is stopped. With `compensate` what has succeeded is taken
    back, where tasks say how.
    """

    actor: str
    cause: str = ""
    compensate: bool = True


@frozen
class Claim:
    """An engine takes the run. `engine` is its lock's name. A run over which `crash_limit` engines
    in a row have died is paused instead of going on; 0: never.
    """

    engine: str
    why: str
    crash_limit: int = 0


@frozen
class Release:
    """The engine lets go of the run."""

    engine: str
    why: str


@frozen
class AcceptCode:
    """A person accepts changed code: `definition` is the digest of the payload that has it,
    `code` its code digest.
    """

    actor: str
    definition: str
    code: str
    tasks: tuple[str, ...]


@frozen
class Signal:
    """Somebody sends the run a signal with a value (exact JSON text)."""

    name: str
    value: str
    actor: str


@frozen
class Answer:
    """A person answers about a task that waits. `value` (exact JSON text) goes with
    `Verdict.VALUE`. With `attempt` the answer is meant for the time after that attempt only.
    """

    task: str
    verdict: Verdict
    actor: str
    comment: str = ""
    value: str = ""
    attempt: int | None = None


@frozen
class Due:
    """A timer of the run is due."""


@frozen
class Refuse:
    """The circuit breaker `breaker` lets task `index` not begin until `until` (UTC microseconds);
    rules shall decide. `facts` are the numbers it went by.
    """

    index: int
    breaker: str
    until: int
    facts: Facts = ()


Command = Pause | Resume | Cancel | AcceptCode | Signal | Answer


# --- decisions: what the rules answer about a FAULTED task ------------------------------------


@frozen
class Retry:
    """Try again `delay_us` after the input's time."""

    index: int
    rule: str
    reason: str
    delay_us: int = 0
    version: str = ""
    facts: Facts = ()


@frozen
class Fail:
    """Give the task up. With `keep_going` the run goes on with what does not depend on it. With
    `compensate` the effects that it may have had are taken back too.
    """

    index: int
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()
    keep_going: bool = False
    compensate: bool = False


@frozen
class Skip:
    """Go on without the task: what comes after it finds no value."""

    index: int
    rule: str
    reason: str
    version: str = ""
    facts: Facts = ()


@frozen
class FallBack:
    """Take `value` (exact JSON text) for the result."""

    index: int
    rule: str
    reason: str
    value: str
    version: str = ""
    facts: Facts = ()


@frozen
class FallBackTo:
    """Call another function, named `function`, in place of the task's own."""

    index: int
    rule: str
    reason: str
    function: str
    version: str = ""
    facts: Facts = ()


@frozen
class Escalate:
    """Ask a person, `whom` if it is somebody in particular. Nobody having answered within
    `timeout_us`, `on_timeout` happens; None: wait for ever.
    """

    index: int
    rule: str
    reason: str
    question: str
    version: str = ""
    facts: Facts = ()
    whom: str = ""
    timeout_us: int | None = None
    on_timeout: Otherwise = Otherwise.FAIL


@frozen
class ProbeFirst:
    """Call the probe `function`, which finds out what became of the attempt in doubt."""

    index: int
    rule: str
    reason: str
    function: str
    version: str = ""
    facts: Facts = ()


Decision = Retry | Fail | Skip | FallBack | FallBackTo | Escalate | ProbeFirst

Input = Create | Claim | Release | Command | Due | AttemptBegins | Refuse | Report | Decision
