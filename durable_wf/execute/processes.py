"""Processes of the operating system: who is alive, who belongs to whom, and how to end them.

Owns: start times (so that a reused pid is never mistaken for the process we knew), process groups,
the environment marker that workers hand down, resident memory.
Must never: import anything but the standard library at module level; the reaper runs this file
without site-packages.
Read next: `reaper.py` and `clearing.py`, which use it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator

MARKER = "DURABLE_WF_WORKER"
"""Environment variable in all that a worker starts: its id, `@`, and which lock file is its own.
The id alone would not do: in a copy of the store the log names the workers of the original, too.
"""

_LINUX = sys.platform == "linux"
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def _stat(pid: int) -> list[bytes] | None:
    """Fields 3.. of /proc/<pid>/stat, or None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def born(pid: int) -> int:
    """When a process started, in the kernel's own units; 0 when it is gone or a zombie."""
    if _LINUX:
        fields = _stat(pid)
        return 0 if fields is None or fields[0] in b"ZX" else int(fields[19])
    import psutil  # heavy, and not needed on Linux

    try:
        process = psutil.Process(pid)
        return 0 if process.status() == psutil.STATUS_ZOMBIE else int(process.create_time() * 1000)
    except psutil.Error:
        return 0


def is_alive(pid: int, start: int) -> bool:
    """Whether the process `pid` that started at `start` still runs (stopped counts, zombie not)."""
    return born(pid) == start != 0


def boot() -> int:
    """A number for this boot of the machine: marks and start times mean nothing after the next."""
    if _LINUX:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return int(file.read(18).replace(b"-", b""), 16)
    import psutil  # heavy, and not needed on Linux

    return int(psutil.boot_time())


def pids() -> list[int]:
    """All processes."""
    if _LINUX:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    import psutil  # heavy, and not needed on Linux

    return list(psutil.pids())


def members(group: int) -> list[int]:
    """The live processes of a process group."""
    if _LINUX:
        want = b"%d" % group
        return [
            pid
            for pid in pids()
            if (fields := _stat(pid)) and fields[2] == want and fields[0] not in b"ZX"
        ]
    return [pid for pid in pids() if _group_of(pid) == group and born(pid)]


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except OSError:
        return 0


def rss_kib(group: int) -> int:
    """Resident memory of a process group in KiB, shared pages counted once per process."""
    if _LINUX:
        want = b"%d" % group
        found = (fields for pid in pids() if (fields := _stat(pid)) and fields[2] == want)
        return sum(int(fields[21]) for fields in found) * _PAGE_KIB
    import psutil  # heavy, and not needed on Linux

    total = 0
    for pid in members(group):
        with contextlib.suppress(psutil.Error):
            total += int(psutil.Process(pid).memory_info().rss) // 1024
    return total


def _environment_has(pid: int, wanted: bytes) -> bool:
    if _LINUX:
        try:
            with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
                return wanted in b"\0" + file.read() + b"\0"
        except OSError:
            return False
    import psutil  # heavy, and not needed on Linux

    try:
        environment = psutil.Process(pid).environ()
    except (psutil.Error, OSError):
        return False
    return any(wanted in f"\0{k}={v}\0".encode() for k, v in environment.items())


def marker(worker: str, lock: str) -> str:
    """The marker of a worker whose lock file is `lock`, as `store.locks` identifies files."""
    return f"{worker}@{lock}"


def marked(value: str, *, prefix: bool = False) -> list[int]:
    """Processes that carry a marker; with `prefix`, one that begins like that."""
    wanted = f"\0{MARKER}={value}".encode() + (b"" if prefix else b"\0")
    me = os.getpid()
    return [pid for pid in pids() if pid != me and _environment_has(pid, wanted)]


def lock_holders(path: str, *, prefix: bool = False) -> list[int]:
    """Processes that hold the exclusive lock on a file (Linux only: elsewhere nobody is found).

    Forked children of the one that took it count. Whoever only probes the lock does not.
    """
    if not _LINUX:
        return []
    me = os.getpid()
    return [pid for pid in pids() if pid != me and _holds(pid, path, prefix=prefix)]


def _holds(pid: int, path: str, *, prefix: bool) -> bool:
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}").removesuffix(" (deleted)")
            if target == path or (prefix and target.startswith(path)):
                with open(f"/proc/{pid}/fdinfo/{fd}", "rb", buffering=0) as file:
                    if b"FLOCK  ADVISORY  WRITE" in file.read():
                        return True
    except OSError:
        return False
    return False


def kill(pid: int) -> None:
    """SIGKILL; a process that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_group(group: int) -> bool:
    """SIGKILL to a process group. False when it has no members."""
    try:
        os.killpg(group, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def wait_gone(find: Callable[[], Iterable[int]], timeout_s: float) -> bool:
    """Kill what `find` finds, again and again until it finds nothing; False after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    for pause in _pauses():
        found = list(find())
        if not found:
            return True
        for pid in found:
            kill(pid)
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    raise AssertionError


def _pauses() -> Iterator[float]:
    pause = 0.0005
    while True:
        yield pause
        pause = min(pause * 2, 0.02)
