"""Reasons: what may keep a task from starting, as values.

Owns: the causes, what is known of each, and the answer that they make.
Must never: find a reason; `why.py` does.
Read next: `why.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import attrs

from durable_wf.core.events import Recorded
from durable_wf.core.lacking import Held, Lack, Stock
from durable_wf.core.status import Otherwise, TaskStatus


class Cause(Enum):
    """What keeps a task from starting."""

    ENDED = "ended"
    BEGUN = "begun"
    IN_DOUBT = "in_doubt"
    FAULTED = "faulted"
    TIMER = "timer"
    SLEEP = "sleep"
    SIGNAL = "signal"
    APPROVAL = "approval"
    OPERATOR = "operator"
    UPSTREAM = "upstream"
    NOT_BEGUN = "run_not_begun"
    PAUSED = "run_paused"
    DRAINING = "run_draining"
    BREAKER = "breaker"
    RESOURCE = "resource"
    NO_ENGINE = "no_engine"


@attrs.frozen
class Reason:
    """One thing that keeps a task from starting. Which fields say something depends on the cause.

    `n` and `at` are the event that brought it about. `task` is another task that it is about, in
    the state `status`; `because` says why that task is where it is. `actor` is a person or an
    engine, `rule` with its `version` the rule that decided, `text` what was given as the reason.
    `until` is when a timer is due (UTC microseconds), `attempt` the one that is open or failed.
    `question` is for a person, `whom` if it is somebody in particular; `name` is that of a signal
    or a circuit breaker, or of the run that a result was taken over from; `otherwise` happens when
    nothing has come in time.
    """

    cause: Cause
    n: int = 0
    at: int = 0
    task: str = ""
    status: TaskStatus | None = None
    actor: str = ""
    rule: str = ""
    version: str = ""
    text: str = ""
    until: int | None = None
    attempt: int = 0
    question: str = ""
    whom: str = ""
    name: str = ""
    otherwise: Otherwise | None = None
    lack: Lack | None = None
    because: tuple[Reason, ...] = ()


@attrs.frozen
class Barred:
    """The circuit breaker `key` lets the task not begin, until `until` (UTC microseconds) at least;
    `text` says why.
    """

    key: str
    until: int
    text: str


@attrs.frozen
class Around:
    """What is known beside the events of the run. `alive`: whether the engine that owned it at
    that event lived; None: nobody knows. `barred`: tasks, by index, whose breaker was open then.
    `stock` is what that engine had to give, `others` what attempts of other runs held of it.
    """

    alive: bool | None = None
    barred: Mapping[int, Barred] = attrs.field(factory=dict)
    stock: Stock | None = None
    others: tuple[Held, ...] = ()


@attrs.frozen
class Answer:
    """Why a task may not start. With no reasons it may: nothing that is known holds it back.

    `roots` are the tasks at the bottom of it, each with its own reasons: those that others wait
    for and that wait for no other, or the one whose failure ended this. `since` is the event since
    which it could start, `ahead` how many tasks that could start too come before it, `crashes` how
    many engines in a row have died over the run: it may have to wait for its turn. `more` tasks
    that it waits for, and `more_roots`, are not told.
    """

    task: str
    status: TaskStatus
    reasons: tuple[Reason, ...] = ()
    roots: tuple[Reason, ...] = ()
    since: Recorded | None = None
    ahead: int = 0
    crashes: int = 0
    more: int = 0
    more_roots: int = 0
