"""The reaper: a small process that ends all workers when their engine has died.

Owns: that nothing an engine started outlives it, even when the engine was killed and even when a
task computes in C without ever letting go of the interpreter. It runs in a session of its own and
reads a pipe whose other end only the engine holds: `+pid start` for each new worker, `-pid` for one
that has ended, `bye` at an orderly end. The end of the pipe without `bye` is the engine's death.
Must never: import more than the standard library; it runs with `python -I -S`.
Read next: `lifeline.py`, the engine's side.

Arguments: the common prefix of the engine's worker ids, its `locks` and its `output` folder.
"""

from __future__ import annotations

import os
import signal
import sys

PATIENCE_S = 5.0


def main(prefix: str, locks: str, output: str) -> None:
    """Read until the pipe ends, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    workers: dict[int, int] = {}
    text = b""
    while data := os.read(0, 65536):
        *lines, text = (text + data).split(b"\n")
        for line in lines:
            if line == b"bye":
                return
            if line.startswith(b"+"):
                pid, start = map(int, line[1:].split())
                workers[pid] = start
            else:
                workers.pop(int(line[1:]), None)
    end_all(workers, prefix, locks)
    tidy(prefix, output)


def end_all(workers: dict[int, int], prefix: str, locks: str) -> None:
    """Kill the groups of all workers, then whatever carries their marker or holds their locks."""
    groups = [pid for pid, start in workers.items() if processes.is_alive(pid, start)]
    for group in groups:
        processes.kill_group(group)
    processes.wait_gone(lambda: processes.marked(prefix, prefix=True), PATIENCE_S)
    path = os.path.join(os.path.realpath(locks), prefix)
    processes.wait_gone(lambda: processes.lock_holders(path, prefix=True), PATIENCE_S)


def tidy(prefix: str, output: str) -> None:
    """Remove the spools that nothing was written to."""
    try:
        for entry in os.scandir(output):
            if entry.name.startswith(prefix) and entry.stat().st_size == 0:
                os.unlink(entry.path)
    except OSError:
        return


if __name__ == "__main__":
    # Without site-packages there is no package to import from: the sibling file is the module.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    import processes  # type: ignore[import-not-found]

    main(*sys.argv[1:4])
else:
    from durable_wf.execute import processes
