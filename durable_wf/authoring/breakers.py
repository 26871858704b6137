"""Circuit breakers as people write them.

Owns: `breaker`, and the reading of its settings.
Must never: know the state of a circuit.
Read next: `core/breaker.py` for the value, `core/circuit.py` for what it means.
"""

from __future__ import annotations

from durable_wf.core.breaker import MOST_FAILURES, Breaker, WhenOpen
from durable_wf.core.fault import class_name
from durable_wf.core.names import ALLOWED, is_name
from durable_wf.core.units import Duration, parse_limit
from durable_wf.errors import DefinitionError
from durable_wf.recovery.combine import Exceptions, read_exceptions


def breaker(
    key: str,
    *,
    failures: int = 5,
    within: Duration = "1m",
    cooldown: Duration = "30s",
    when_open: str = "wait",
    on: Exceptions | None = None,
) -> Breaker:
    """A circuit breaker for a task's `breaker=`: tasks of all runs in a store that name the same
    `key` share it.

    It opens after `failures` failures in a row, the first of them at most `within` before the last;
    a success between them begins the count anew. For `cooldown` no such task starts; then one may,
    and how that ends closes the circuit or opens it again. Meanwhile tasks wait
    (`when_open="wait"`), or have a fault of kind "breaker", about which their rules decide
    (`when_open="fault"`). `on`: only these exceptions are failures, as in `retry`; a task that ran
    into its `timeout` counts as a TimeoutError. Others say nothing about the service.
    """
    given: object = key
    if not isinstance(given, str) or not is_name(given):
        raise DefinitionError(f"breaker({key!r:.80}): a key is {ALLOWED}")
    if isinstance(failures, bool) or not isinstance(failures, int):
        raise DefinitionError(f"failures must be a whole number, not {failures!r:.60}")
    if not 1 <= failures <= MOST_FAILURES:
        raise DefinitionError(f"failures must be from 1 to {MOST_FAILURES}, not {failures}")
    try:
        choice = WhenOpen(when_open)
    except ValueError:
        raise DefinitionError(
            f'when_open must be "wait" or "fault", not {when_open!r:.60}',
            hint='"fault" with fallback(...) takes something else instead',
        ) from None
    names = tuple(map(class_name, read_exceptions(on)))
    within_s, cooldown_s = _time("within", within), _time("cooldown", cooldown)
    return Breaker(key, failures, within_s, cooldown_s, choice, names)


def read_breaker(value: object) -> Breaker | None:
    """What `breaker=` was given: a Breaker, or a key alone. Raises DefinitionError."""
    if value is None or isinstance(value, Breaker):
        return value
    if isinstance(value, str):
        return breaker(value)
    raise DefinitionError(f"{value!r:.60} is no breaker: give wf.breaker(key, ...) or a key")


def _time(name: str, value: Duration) -> float:
    try:
        return parse_limit(value)
    except DefinitionError as error:
        raise DefinitionError(f"{name}: {error.message}", hint=error.hint) from None
