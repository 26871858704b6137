"""Circuit breakers: what guards something that many tasks depend on.

Owns: Breaker, as it is declared.
Must never: read a clock or a store; what was recorded, and when it is asked, are arguments.
Read next: `task.py`, in which it stands.
"""

from __future__ import annotations

from enum import Enum

import attrs


class WhenOpen(Enum):
    """What becomes of a task that could start while its breaker is open."""

    WAIT = "wait"
    FAULT = "fault"


@attrs.frozen
class Breaker:
    """After `failures` failures within `within_s` seconds no task with this `key` starts for
    `cooldown_s` seconds; then one may try. Tasks of all runs of a store share the key.
    """

    key: str
    failures: int = 5
    within_s: float = 60.0
    cooldown_s: float = 30.0
    when_open: WhenOpen = WhenOpen.WAIT
