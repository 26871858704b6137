"""How each state looks: word, symbol, colour and shape, so that no state is told by colour alone.

Owns: the mark of every state, and the two states of runs that are shown but never recorded:
INTERRUPTED (the log says running, but no engine is alive to run it) and WAITING (nothing of it
runs: it waits for people, signals or time).
Must never: decide what a state means.
Read next: `facts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs

from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.core.summary import RunRow


class OnlyShown(Enum):
    """What is shown of a run, or a task of it, that is recorded as running but is not."""

    INTERRUPTED = "interrupted"
    WAITING = "waiting"


INTERRUPTED = OnlyShown.INTERRUPTED
WAITING = OnlyShown.WAITING

RunShown = RunStatus | OnlyShown
TaskShown = TaskStatus | OnlyShown


@attrs.frozen
class Mark:
    """How a state looks. `fill`, `line` and `text` are the colours of drawings (contrast of text on
    fill is at least 4.5:1), `shape` its outline in Mermaid and DOT.
    """

    word: str
    symbol: str
    plain: str
    colour: str
    fill: str
    line: str
    shape: str
    text: str = "#1b1f24"


_PENDING = Mark("pending", "○", "o", "dim", "#ffffff", "#57606a", "box")
_RUNNING = Mark("running", "▶", ">", "cyan", "#cfe8ff", "#0550ae", "stadium")
_WAITING = Mark("waiting", "◷", "@", "yellow", "#fff3c4", "#7d4e00", "stadium")
_SUCCEEDED = Mark("succeeded", "✓", "+", "green", "#d2f4d9", "#116329", "round")
_FAILED = Mark("failed", "✗", "x", "red", "#ffd7d5", "#a40e26", "hexagon")
_CANCELLED = Mark("cancelled", "⊘", "/", "magenta", "#eddcff", "#5b2da3", "slant")
_INTERRUPTED = Mark("interrupted", "!", "!", "yellow", "#ffe2c2", "#8a3b00", "slant")

MARKS: Mapping[RunShown | TaskShown, Mark] = {
    INTERRUPTED: _INTERRUPTED,
    WAITING: _WAITING,
    RunStatus.PENDING: _PENDING,
    RunStatus.RUNNING: _RUNNING,
    RunStatus.PAUSED: attrs.evolve(_WAITING, word="paused", symbol="‖", plain="="),
    RunStatus.DRAINING: attrs.evolve(_WAITING, word="draining", symbol="▽", plain="v"),
    RunStatus.SUCCEEDED: _SUCCEEDED,
    RunStatus.FAILED: _FAILED,
    RunStatus.CANCELLED: _CANCELLED,
    TaskStatus.PENDING: _PENDING,
    TaskStatus.RUNNING: _RUNNING,
    TaskStatus.FAULTED: attrs.evolve(_FAILED, word="faulted"),
    TaskStatus.WAITING: _WAITING,
    TaskStatus.SUCCEEDED: _SUCCEEDED,
    TaskStatus.FAILED: _FAILED,
    TaskStatus.SKIPPED: Mark("skipped", "↷", "-", "dim", "#eaeef2", "#57606a", "slant"),
    TaskStatus.CANCELLED: _CANCELLED,
}

_LIGHT_TO_HEAVY: tuple[TaskShown, ...] = (
    TaskStatus.SUCCEEDED,
    TaskStatus.SKIPPED,
    TaskStatus.CANCELLED,
    TaskStatus.PENDING,
    TaskStatus.WAITING,
    TaskStatus.RUNNING,
    INTERRUPTED,
    TaskStatus.FAULTED,
    TaskStatus.FAILED,
)
WEIGHT: Mapping[TaskShown, int] = {s: weight for weight, s in enumerate(_LIGHT_TO_HEAVY)}
"""Which state stands for a group of tasks: the one with the highest weight among them."""


_WORKING = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.DRAINING})


def shown_run(row: RunRow, *, alive: bool) -> RunShown:
    """What to call a run, given what is recorded and whether its engine lives.

    Paused stays paused: nothing would start with an engine either. A run of which nothing runs
    waits; without an engine only where its own has let go of it, and none would bring what it waits
    for, as it would with timers. Of one whose engine has died nobody knows that without a replay.
    """
    if row.status not in _WORKING:
        return row.status
    waits = row.counts.waiting > 0 and row.counts.running == 0
    if waits and (alive or not (row.wake_at or row.engine)):
        return WAITING
    return row.status if alive else INTERRUPTED


def shown_task(status: TaskStatus, *, alive: bool) -> TaskShown:
    """What to call a task: one that was running under a dead engine is interrupted."""
    return INTERRUPTED if status is TaskStatus.RUNNING and not alive else status
