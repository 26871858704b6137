"""Beats: the heartbeats of running attempts, on their way into the log and to the next attempt.

Owns: how often executors are asked, the rows that the next commit writes, and the last detail of
each task until its end.
Must never: cost a run without heartbeats more than a look at a clock and a dict in each turn.
Read next: `loop.py`; `execute/mark.py`, where heartbeats come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from durable_wf.core.reports import Failed
from durable_wf.core.state import RunState
from durable_wf.core.status import TASK_FINAL
from durable_wf.engine.choosing import Bench
from durable_wf.engine.clock import Clock
from durable_wf.engine.live import LiveRun
from durable_wf.execute.port import Heartbeat
from durable_wf.store.port import Beat, Log

PERIOD_S = 1.0
"""How often running attempts are asked: so often, at most, heartbeats alone make a commit."""


class Beats:
    """Heartbeats of the runs that the loop holds. `runs` and `benches` are the loop's own."""

    def __init__(
        self, clock: Clock, benches: Mapping[str, Bench], runs: Mapping[int, LiveRun]
    ) -> None:
        self._clock = clock
        self._benches = benches
        self._runs = runs
        self.look_at = 0.0
        self._fresh: dict[tuple[int, int], Heartbeat] = {}

    def look(self, now: float) -> None:
        """Ask the executors at which anything runs. To be done from `look_at` on."""
        self.look_at = now + PERIOD_S
        for bench in self._benches.values():
            if bench.is_busy:
                self.put(bench.executor.beats())

    @property
    def owes(self) -> bool:
        """Whether there are heartbeats to be written."""
        return bool(self._fresh)

    def collect(self) -> None:
        """Ask the executors now: before a failure is decided, and when they have closed."""
        for bench in self._benches.values():
            self.put(bench.executor.beats())

    def put(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Write these with the next commit, and keep their details for the next attempts."""
        for beat in heartbeats:
            live = self._runs.get(beat.run)
            if live is not None:
                self._fresh[beat.run, beat.index] = beat
                if beat.detail:
                    live.last_details[beat.index] = beat.detail

    def rows(self) -> list[Beat]:
        """What the next commit is to write, once. Tasks that have ended have no more say."""
        if not self._fresh:
            return []
        fresh, self._fresh = self._fresh, {}
        rows = []
        for (run, index), beat in fresh.items():
            live = self._runs.get(run)
            if live is None:
                continue
            _drop_ended(live)
            if live.state.tasks[index] not in TASK_FINAL:
                name = live.state.graph.names[index]
                rows.append(Beat(live.run, name, beat.attempt, beat.at, beat.detail))
        return rows


def last_details(log: Log, run: int, state: RunState) -> dict[int, str]:
    """The last details that the log has of a run's tasks, by their index."""
    known = state.graph.index
    beats = log.beats(run).items()
    return state.given_details | {
        known[task]: beat.detail for task, beat in beats if task in known and beat.detail
    }


def with_last_words(live: LiveRun, report: Failed) -> Failed:
    """The report with the last detail of its attempt, if it has sent one."""
    attempt = live.state.running.get(report.index)
    detail = live.last_details.get(report.index, "")
    if attempt is None or not detail or detail == attempt.started.detail:
        return report
    return Failed(
        report.run, report.index, report.attempt, report.fault, report.began_at, report.wall_us,
        report.cpu_us, report.rss_kib, report.output, report.kept, detail,
    )  # fmt: skip


def _drop_ended(live: LiveRun) -> None:
    tasks = live.state.tasks
    for index in [index for index in live.last_details if tasks[index] in TASK_FINAL]:
        del live.last_details[index]
