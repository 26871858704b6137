"""What a task may ask about itself: `current()`.

Owns: the facts of the attempts that run in this process, and `Current`, made when it is asked for:
who the attempt is, and its heartbeats.
Must never: cost an attempt that does not ask more than a few hundred nanoseconds.
Read next: `calls.py`.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import attrs

from durable_wf.core.values import decode, encode
from durable_wf.errors import NotStorable, WrongState
from durable_wf.execute import tee
from durable_wf.execute.mark import DETAIL_MAX, BegunMark


class Attempt(NamedTuple):
    """The facts of a running attempt. `ends_at` is its deadline on the monotonic clock, seconds.

    `detail` is the last heartbeat of the attempts before, as stored; `mark` is where this one's go,
    under its number `seq`.
    """

    run_id: str
    workflow: str
    key_base: str
    task: str
    attempt: int
    ends_at: float | None = None
    detail: str = ""
    mark: BegunMark | None = None
    seq: int = 0


@attrs.frozen
class Deadline:
    """When the attempt will be stopped. `at` is UTC, by the wall clock as it was when asked."""

    at: datetime
    _ends_at: float

    @property
    def remaining_s(self) -> float:
        """Seconds left, by the monotonic clock; not below 0."""
        return max(0.0, self._ends_at - time.monotonic())


@attrs.frozen(repr=False)
class Current:
    """The attempt in which the caller runs. `current()` gives it; nobody makes one."""

    _attempt: Attempt

    def __repr__(self) -> str:
        return f"<attempt {self.attempt} of task {self.task!r} of run {self.run_id}>"

    @property
    def run_id(self) -> str:
        """The run."""
        return self._attempt.run_id

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self._attempt.workflow

    @property
    def task(self) -> str:
        """The task's name."""
        return self._attempt.task

    @property
    def attempt(self) -> int:
        """The number of the attempt, from 1."""
        return self._attempt.attempt

    @property
    def idempotency_key(self) -> str:
        """The same over all attempts of this task in this run: give it to whatever must not act
        twice.
        """
        return idempotency_key(self._attempt.key_base, self._attempt.task)

    @property
    def deadline(self) -> Deadline | None:
        """When the attempt will be stopped: `at` (a time in UTC) and `remaining_s`; None without a
        time limit.
        """
        ends_at = self._attempt.ends_at
        return None if ends_at is None else _deadline(ends_at)

    @property
    def logger(self) -> logging.Logger:
        """The logger `durable_wf.task.<task>`."""
        return tee.logger(f"{tee.TASKS}.{self.task}")

    def heartbeat(self, detail: object = None) -> None:
        """Say that the task is alive, and with `detail` how far it is.

        The next attempt, should there be one, finds the last detail in `last_heartbeat`. Without a
        detail the one before stays. It is cheap: call it as often as there is something to say.
        Raises NotStorable for a detail that is no plain value or larger than 8 KiB; WrongState when
        the attempt has ended.
        """
        attempt = self._attempt
        data = None if detail is None else self._packed(detail)
        try:
            if attempt.mark is not None and attempt.mark.seq == attempt.seq:
                attempt.mark.beat(attempt.seq, time.monotonic_ns(), data)
                return
        except ValueError:  # the mark has been closed
            pass
        raise WrongState(
            f"run {self.run_id}: attempt {self.attempt} of task {self.task!r} has ended; "
            "nobody listens to its heartbeats any more",
            hint="a thread that beats must end with its task",
        )

    @property
    def last_heartbeat(self) -> Any:
        """The last detail of the attempts before this one; None where there was none."""
        text = self._attempt.detail
        return decode(text) if text else None

    def _packed(self, detail: object) -> bytes:
        data = encode(detail, name="detail").encode()
        if len(data) > DETAIL_MAX:
            raise NotStorable(
                f"run {self.run_id}, task {self.task!r}, attempt {self.attempt}: the detail of a "
                f"heartbeat takes {len(data):,} bytes, and the limit is {DETAIL_MAX:,}",
                hint="write it to a file and give the path, or only how far the task has come",
            )
        return data


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
    return Current(attempt)


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
