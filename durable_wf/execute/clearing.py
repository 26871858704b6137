"""Clearing a worker of a dead engine: proof that its attempts run no more.

Owns: the kill that comes before attempts in doubt are decided. The reaper has mostly done it
already; this is for the machine on which the reaper was killed too.
Must never: kill a process on its number alone, since numbers are used again. What is killed either
is the recorded process (number and start time), carries the worker's marker, or holds its lock.
Nor kill what belongs to another store: a backup that was restored, or a copy, names the workers of
the original, which may be alive. What tells them apart is the worker's lock file, which a backup
leaves out and a copy has anew; the marker says which file it is.
Read next: `mark.py`, which says what the cleared worker had begun.
"""

from __future__ import annotations

import time
from pathlib import Path

from durable_wf.execute import processes
from durable_wf.store.locks import identity, is_held

_WORKERS = "w-"
"""How names of workers begin. Other locks of the store may be held by whoever lives now."""


def clear_worker(locks: Path, worker: str, pid: int, born: int, timeout_s: float) -> bool:
    """End a worker and all it has started. Whether nothing of it is left within `timeout_s`.

    `pid` and `born` are those of its AttemptStarted. Does nothing to processes of the machine's
    other users; then the lock stays held and the answer is False. A worker without a lock file here
    was never one of this store's.
    """
    lock = identity(locks, worker)
    if not lock or not worker.startswith(_WORKERS):
        return True
    deadline = time.monotonic() + timeout_s
    if is_held(locks, worker) and processes.is_alive(pid, born):
        processes.kill_group(pid)
        processes.kill(pid)
    marker = processes.marker(worker, lock)
    left_s = max(0.0, deadline - time.monotonic())
    clean = processes.wait_gone(lambda: processes.marked(marker), left_s)
    path = f"{locks.resolve()}/{worker}"
    while is_held(locks, worker):
        if time.monotonic() >= deadline:
            return False
        for holder in processes.lock_holders(path):
            processes.kill(holder)
        time.sleep(0.002)
    return clean
