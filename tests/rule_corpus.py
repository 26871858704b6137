"""What the ready-made rules answer to many histories: the same in every process, at any time.

Owns: a corpus of rules and histories, and `answers`, what the chain makes of them. Run as a script
it prints them, for a comparison between processes; `--mutant` makes the jitter impure first.
Must never: draw a number or read a clock, but in the mutant.
Read next: `property/test_rules.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from durable_wf.core import inputs
from durable_wf.core.status import FaultKind
from durable_wf.recovery import (
    NamedRule,
    example,
    exponential,
    fallback,
    fibonacci,
    first_of,
    fixed,
    jittered,
    keep_going,
    limit,
    linear,
    retry,
    skip,
    waits,
    when,
)
from durable_wf.recovery.chain import decide
from durable_wf.recovery.rule import named

WAITS = (fixed(2), linear(3), exponential(1), fibonacci(1), jittered(1, most=60))


def rules() -> Iterator[NamedRule]:
    """Each kind of rule, alone and combined."""
    for wait in WAITS:
        yield retry(4, wait=wait, losses=2)
        yield named(limit(retry(9, wait=wait), elapsed=100))
    yield named(first_of(when(retry(3), exception=ConnectionError), fallback({"a": {1, 2, 3}})))
    yield named(when(skip(), kind={"timeout", "memory", "exit", "error"}))
    yield named(keep_going())


def histories() -> Iterator[tuple[object, object]]:
    """Tasks that failed once, several times, in several ways."""
    for kind in FaultKind:
        for count in (1, 2, 5):
            for task in ("load", "transform"):
                yield example(*[kind] * count, task=task, waits_s=[1.5] * count, retry_after_s=0.5)
    yield example("error", "lost", "error", exceptions=[ConnectionError, ConnectionError])


def answers() -> list[str]:
    """What is decided, as text."""
    nobody = inputs.Fail(0, "default", "nobody answered")
    return [
        repr(decide(0, (rule,), history, fault, lambda _: nobody))
        for rule in rules()
        for history, fault in histories()
    ]


def by_hash(history, fault) -> float:
    """A jitter that looks pure, and differs from process to process."""
    return hash((history.run_id, history.task, fault.attempt)) % 1000 / 1000


if __name__ == "__main__":
    if "--mutant" in sys.argv:
        waits._share = by_hash
    print("\n".join(answers()))
