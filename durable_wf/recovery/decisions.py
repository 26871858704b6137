"""Decisions: what a rule may answer.

Owns: the answers, and what is nonsense in them.
Must never: be carried out here; `core/decide.py` says what follows from each.
Read next: `rule.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from durable_wf.core.status import Otherwise
from durable_wf.core.units import LONGEST_S, Duration, parse_delay
from durable_wf.errors import DefinitionError

_NO_FACTS: Mapping[str, int] = {}


def seconds(value: object, what: str) -> float:
    """A time of 0 s or more, as people write it. Raises DefinitionError."""
    if not isinstance(value, bool) and isinstance(value, int | float):
        found = float(value) if abs(value) <= LONGEST_S else math.inf
    else:
        try:
            found = parse_delay(value)
        except DefinitionError as error:
            raise DefinitionError(f"{what}: {error.message}") from None
    if not 0 <= found <= LONGEST_S:
        raise DefinitionError(f"{what} must be from 0 to {LONGEST_S:g} seconds, not {value!r:.60}")
    return found


@attrs.frozen
class Retry:
    """Try again after `delay`: seconds, a timedelta, or text such as "90s". `reason` is for people,
    `facts` are the numbers it went by; both are written down.
    """

    delay: Duration = 0.0
    reason: str = ""
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)

    @property
    def delay_us(self) -> int:
        """The delay in microseconds. Raises DefinitionError for what is none."""
        return round(seconds(self.delay, "the delay of a retry") * 1e6)


@attrs.frozen
class Fallback:
    """Take `instead`: a value, or a function that is called in place of the task's own, with the
    same arguments, as an attempt of its own. Functions must be announced: `rule(functions=[...])`.
    """

    instead: Any
    reason: str = ""
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function, or None for a value."""
        return self.instead if callable(self.instead) else None


@attrs.frozen
class Skip:
    """Go on without the task; downstream receives a `Missing` of kind "skipped"."""

    reason: str = ""
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)


@attrs.frozen
class Fail:
    """Give the task up. With `keep_going` the run goes on with what does not depend on it, and
    fails when all that has ended.
    """

    reason: str = ""
    keep_going: bool = False
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)


@attrs.frozen
class Escalate:
    """Ask a person: `question`, to `whom` if it is somebody in particular. The task waits, and
    holds no worker. Nobody having answered within `timeout`, `on_timeout` happens: "fail", "skip"
    or "retry".
    """

    question: str
    reason: str = ""
    whom: str = ""
    timeout: Duration | None = None
    on_timeout: str = "fail"
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)

    @property
    def timeout_us(self) -> int | None:
        """The timeout in microseconds. Raises DefinitionError for what is none."""
        if self.timeout is None:
            return None
        return round(seconds(self.timeout, "the timeout of an escalation") * 1e6)

    @property
    def otherwise(self) -> Otherwise:
        """What happens when nobody answers. Raises DefinitionError for what cannot."""
        if self.on_timeout not in _ON_TIMEOUT:
            choice = ", ".join(_ON_TIMEOUT)
            raise DefinitionError(f"on_timeout is one of {choice}, not {self.on_timeout!r:.60}")
        return Otherwise(self.on_timeout)


_ON_TIMEOUT = tuple(one.value for one in (Otherwise.FAIL, Otherwise.SKIP, Otherwise.RETRY))


@attrs.frozen
class Compensate:
    """Give the task up as `Fail` does, and take back what the failed attempt may have done too:
    the task's own compensation runs, before those of the tasks that succeeded.
    """

    reason: str = ""
    facts: Mapping[str, int] = attrs.field(default=_NO_FACTS, kw_only=True)


Decision = Retry | Fallback | Skip | Fail | Escalate | Compensate
