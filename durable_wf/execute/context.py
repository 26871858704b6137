"""What a task may ask about itself: `current()`.

Owns: the facts of the attempts that run in this process, and `Current`, made when it is asked for.
Must never: cost an attempt that does not ask more than a few hundred nanoseconds.
Read next: `calls.py`.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple

import attrs

from durable_wf.errors import WrongState


class Attempt(NamedTuple):
    """The facts of a running attempt. `ends_at` is its deadline on the monotonic clock, seconds."""

    run_id: str
    workflow: str
    key_base: str
    task: str
    attempt: int
    ends_at: float | None = None


@attrs.frozen
class Deadline:
    """When the attempt will be stopped. `at` is UTC, by the wall clock as it was when asked."""

    at: datetime
    _ends_at: float

    @property
    def remaining_s(self) -> float:
        """Seconds left, by the monotonic clock; not below 0."""
        return max(0.0, self._ends_at - time.monotonic())


@attrs.frozen
class Current:
    """The attempt in which the caller runs.

    `idempotency_key` is the same over all attempts of this task in this run: give it to whatever
    must not act twice. `deadline` is None without a time limit.
    """

    run_id: str
    workflow: str
    task: str
    attempt: int
    idempotency_key: str
    deadline: Deadline | None

    @property
    def logger(self) -> logging.Logger:
        """The logger `durable_wf.task.<task>`."""
        return logging.getLogger(f"durable_wf.task.{self.task}")


_mine: ContextVar[Attempt | None] = ContextVar("durable_wf_attempt", default=None)
_running: list[Attempt] = []
"""All attempts of this process: threads that a task starts do not inherit its context."""


def current() -> Current:
    """The attempt in which the caller runs.

    Raises WrongState outside of one, and in a thread that could belong to several.
    """
    attempt = _mine.get()  # no wait: a context variable
    if attempt is None:
        # Another thread may end its attempt meanwhile: look once.
        running = tuple(_running)
        if len(running) != 1:
            raise WrongState(
                "current() was called outside of a task"
                if not running
                else "current() was called in a thread, and several attempts run in this process",
                hint="call it inside a task's function"
                if not running
                else "call it in the task's own thread and pass the result on",
            )
        attempt = running[0]
    return Current(
        run_id=attempt.run_id,
        workflow=attempt.workflow,
        task=attempt.task,
        attempt=attempt.attempt,
        idempotency_key=idempotency_key(attempt.key_base, attempt.task),
        deadline=None if attempt.ends_at is None else _deadline(attempt.ends_at),
    )


def enter(attempt: Attempt) -> Token[Attempt | None]:
    """Say that `attempt` runs in this thread from now on; give the token to `leave`."""
    _running.append(attempt)
    return _mine.set(attempt)


def leave(attempt: Attempt, token: Token[Attempt | None]) -> None:
    """Say that `attempt` has ended."""
    _mine.reset(token)
    _running.remove(attempt)


def idempotency_key(key_base: str, task: str) -> str:
    """32 hex digits that stay the same over all attempts of a task.

    `key_base` is the id of the run, or of the first run of its retry chain.
    """
    # The length keeps ("a", "bc") and ("ab", "c") apart.
    text = f"{len(key_base)}:{key_base}{task}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _deadline(ends_at: float) -> Deadline:
    now = datetime.now(UTC).timestamp()
    left_s = ends_at - time.monotonic()
    return Deadline(at=datetime.fromtimestamp(now + left_s, UTC), ends_at=ends_at)
