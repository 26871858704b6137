"""Loops with a circuit breaker, in each of its states.

Owns: the breaker PAY (two failures, half a minute), runs behind it, and what the store tells of it.
Must never: wait for real.
Read next: `loop_rig.py`; `unit/engine/test_breakers.py`.
"""

from __future__ import annotations

import attrs
from loop_rig import Rig
from strategies import task, workflow

from durable_wf.core.breaker import Breaker, WhenOpen

PAY = Breaker("pay", failures=2, within_s=60.0, cooldown_s=30.0)
STRICT = attrs.evolve(PAY, when_open=WhenOpen.FAULT)
COOLDOWN_S = 30.0


def pays(*names, breaker=PAY, **fields):
    """A workflow of independent tasks behind the breaker; none of them fails the run."""
    return workflow(*(task(name, breaker=breaker, optional=True, **fields) for name in names))


def story(rig):
    """The kinds of the store's own events about breakers."""
    kinds = ("BreakerOpened", "ProbeTaken", "BreakerClosed")
    return [one.kind for one in rig.log.stored(0) if one.kind in kinds]


def rows(rig, key="pay"):
    return [(row.what.value, row.place) for row in rig.log.outcomes(key)]


def opened(shelf=None, **options):
    """A rig whose first run "r" has opened the breaker with its tasks a and b; c and d wait."""
    rig = Rig(shelf, seats=2, **options)
    rig.enter(pays("a", "b", "c", "d"))
    rig.turn()
    for name in ("a", "b"):
        rig.executor.breaks(name)
    rig.turn()
    assert story(rig) == ["BreakerOpened"]
    return rig


def half_open(shelf=None, **options):
    """As `opened`, and its cooldown is over: c probes, d waits."""
    rig = opened(shelf, **options)
    rig.clock.pass_(COOLDOWN_S)
    rig.turn()
    assert rig.executor.tasks() == ["a", "b", "c"]
    return rig
