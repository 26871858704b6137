"""Examples: histories made by hand, to test a rule with.

Owns: `example`.
Must never: be used by an engine.
Read next: `history.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_wf.core.circuit import Outcome, What
from durable_wf.core.past import Past, PastAttempt
from durable_wf.core.status import FaultKind
from durable_wf.recovery.history import Fault, History

_START_US = 1_767_225_600_000_000  # 2026-01-01, any time would do


def example(
    *kinds: FaultKind | str,
    exceptions: Sequence[type[BaseException]] = (),
    waits_s: Sequence[float] = (),
    wall_s: float = 1.0,
    task: str = "task",
    run_id: str = "run",
    workflow: str = "workflow",
    message: str = "it went wrong",
    retry_after_s: float | None = None,
    run_retries: int | None = None,
    outcomes: Sequence[str] = (),
) -> tuple[History, Fault]:
    """What a rule would see after attempts that failed in these ways: `example("error", "lost")`.

    Each attempt takes `wall_s` seconds; `waits_s` are the waits between them (0 where not given).
    `exceptions` belong to the last attempts. Without kinds it is one error. `outcomes` ("ok",
    "failed") are those of other attempts behind the task's breaker, one each second, the last one
    at the fault.
    """
    all_kinds = [FaultKind(kind) for kind in kinds] or [FaultKind.ERROR] * max(1, len(exceptions))
    at = _START_US
    past = Past.begin(at, at + round(wall_s * 1e6))
    last: type[BaseException] | None = None
    for number, kind in enumerate(all_kinds, 1):
        place = number - 1 - (len(all_kinds) - len(exceptions))
        last = exceptions[place] if place >= 0 else None
        ended = at + round(wall_s * 1e6)
        name = _qualified(last) if last is not None else ""
        past.fail(PastAttempt(number, at, ended, kind, name))
        at = ended
        if number < len(all_kinds):
            at += round((waits_s[number - 1] if number <= len(waits_s) else 0.0) * 1e6)
            past.retry(at, ended)
    fault = Fault(
        all_kinds[-1],
        _qualified(last) if last is not None else "",
        tuple(_qualified(base) for base in last.__mro__[1:-1]) if last is not None else (),
        message,
        retry_after_s=retry_after_s,
        attempt=len(all_kinds),
    )
    spent = past.retries if run_retries is None else run_retries
    rows = tuple(
        Outcome("key", at - (len(outcomes) - number) * 1_000_000, What(what), f"other/t/{number}")
        for number, what in enumerate(outcomes, 1)
    )
    return History(run_id, workflow, task, at, past, spent, read_outcomes=lambda: rows), fault


def _qualified(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
