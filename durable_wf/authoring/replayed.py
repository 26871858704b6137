"""Replayed tasks: what stands in for the recorded tasks of an imported workflow.

Owns: the two ways to spend a given time.
Must never: do anything else; workers import this by name.
Read next: `wfformat.py`.
"""

from __future__ import annotations

import time


def sleep(seconds: float) -> None:
    """Wait, as a task does that waits for disks or networks."""
    time.sleep(seconds)


def burn(seconds: float) -> None:
    """Keep one core busy for this much CPU time of the calling thread."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        sum(range(500))
