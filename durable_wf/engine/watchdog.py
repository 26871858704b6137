"""Watchdog: says which rule an engine waits for, while it still runs.

Owns: one thread of the process, asleep while no rule runs.
Must never: stop a rule, or touch a run.
Read next: `judging.py`, which tells it when a rule begins and ends.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

log = logging.getLogger("durable_wf.engine")


@attrs.frozen(eq=False)
class Asked:
    """A rule that was asked about a task."""

    rule: str
    task: str
    run_id: str


class Watchdog:
    """Reports each rule that has begun and not ended within `slow_s` seconds, once.

    One that never returns would otherwise hold up its engine without a word: who measures it
    afterwards never comes to that.
    """

    def __init__(self, slow_s: float) -> None:
        self._slow_s = slow_s
        self._pid = 0
        self._asked: dict[int, Asked] = {}
        self._begun = threading.Event()

    @contextmanager
    def watching(self, asked: Asked) -> Iterator[None]:
        """While this is open, the calling thread waits for this rule."""
        if self._pid != os.getpid():
            self._start()
        me = threading.get_ident()
        self._asked[me] = asked
        if not self._begun.is_set():
            self._begun.set()
        try:
            yield
        finally:
            self._asked.pop(me, None)

    def _start(self) -> None:
        """At the first rule of a process, which may be a fork: the thread is not there then."""
        self._pid, self._asked, self._begun = os.getpid(), {}, threading.Event()
        threading.Thread(target=self._watch, name="durable_wf-watchdog", daemon=True).start()

    def _watch(self) -> None:
        told: set[Asked] = set()
        while self._begun.wait():  # no wait: a daemon thread, which has nothing else to do
            self._begun.clear()
            before = set(self._asked.copy().values())
            time.sleep(self._slow_s)
            still = before & set(self._asked.copy().values())
            for asked in still - told:
                log.warning(
                    "rule %r has been deciding about task %r of run %s for more than %g s; its "
                    "engine does nothing else", asked.rule, asked.task, asked.run_id, self._slow_s,
                )  # fmt: skip
            told = still
            if self._asked:
                self._begun.set()
