"""The last heartbeats of tasks that run: how far they are, and how long ago they said so.

Owns: reading them, from the log and from the marks of workers, which know more than the log does.
Must never: write; or believe a mark about another attempt than the one that is recorded as open.
Read next: `watched.py`, `execute/mark.py`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from durable_wf.cli.facts import Beaten, TaskFacts
from durable_wf.cli.times import span
from durable_wf.core.values import preview
from durable_wf.execute.mark import read_beat
from durable_wf.store.opening import Store


def note_heartbeats(store: Store, run: int, tasks: Mapping[str, TaskFacts]) -> None:
    """Give each task that has not ended the last heartbeat of its attempts."""
    recorded = store.log.beats(run)
    running = {name: task for name, task in tasks.items() if task.running is not None}
    for name, task in tasks.items():
        row = recorded.get(name)
        task.beaten = None if row is None else Beaten(row.attempt, row.at, row.detail)
    if not running:
        return
    seqs = store.log.seqs(run, [task.running.n for task in running.values() if task.running])
    workers = {task.running.worker for task in running.values() if task.running}
    marked = {worker: read_beat(store.folder.locks, worker) for worker in workers}
    now_us, now_ns = time.time_ns() // 1000, time.monotonic_ns()
    for task in running.values():
        assert task.running is not None
        beat = marked[task.running.worker]
        if beat is not None and beat.seq == seqs.get(task.running.n):
            at = now_us - max(0, now_ns - beat.at_ns) // 1000
            before = task.beaten.detail if task.beaten is not None else ""
            task.beaten = Beaten(task.attempts, at, beat.detail or before)


def heartbeat_line(task: TaskFacts, now: int) -> str:
    """`heartbeat 12 s ago: {"row": 41}`, or "" for a task that has sent none."""
    beaten = task.beaten
    if beaten is None:
        return ""
    about = f": {preview(beaten.detail, 120)}" if beaten.detail else ""
    return f"heartbeat {span(max(0, now - beaten.at))} ago{about}"
