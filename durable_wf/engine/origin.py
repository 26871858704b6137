"""Origin: who creates a run, from where, and what it is called.

Owns: reading the process's own circumstances (script, arguments, folder, user) into RunCreated,
numbering the runs that a script makes, and making run ids.
Must never: put secrets of the environment into the log.
Read next: `entering.py`, which records it; `code.py` and `recall.py`, which load code again by it.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import secrets
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

import attrs

from durable_wf.authoring.fingerprint import script_of_main
from durable_wf.core.events import RunCreated, TaskImported
from durable_wf.core.names import RUN_ID_PATTERN
from durable_wf.errors import CallerError


def person() -> str:
    """Who acts, as far as the machine knows: user@host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{os.uname().nodename}"


def python_version() -> str:
    """The running Python, as "major.minor.micro"."""
    return platform.python_version()


@attrs.frozen
class Start:
    """How a run came to be started, as far as its code can be loaded again by it: by a `target`
    that somebody typed, or by a `script` with its arguments, which may have been started as
    `python -m module`. All empty in a notebook or at a prompt. `call` and `previous` are those of
    RunCreated.
    """

    target: str = ""
    script: str = ""
    module: str = ""
    argv: tuple[str, ...] = ()
    call: int = 0
    previous: str = ""

    @classmethod
    def of(cls, created: RunCreated) -> Start:
        """How that run was started."""
        return cls(
            created.target, created.script, created.module, created.argv, created.call,
            created.previous,
        )  # fmt: skip


@attrs.frozen
class Lineage:
    """The run that a new one is made from: forked off after event `origin_n` of `origin`, or (0)
    its retry. `root` is the first run of the chain of retries, "" for a fork. `imports` are the
    results that it takes over. `cwd` is the folder that its tasks belong to, "" for this one.
    `details` are the last heartbeats, by task, with which tasks of a retry begin.
    """

    origin: str
    origin_n: int
    root: str
    imports: tuple[TaskImported, ...]
    cwd: str
    details: tuple[tuple[str, str], ...] = ()


_target: ContextVar[str] = ContextVar("_target", default="")


@contextmanager
def started_by(target: str) -> Iterator[None]:
    """Runs that are created in this context come from what `target` names, not from a script."""
    token = _target.set(target)
    try:
        yield
    finally:
        _target.reset(token)


def start() -> Start:
    """How the run that is to be created now is started."""
    if target := _target.get(""):
        return Start(target)
    script = script_of_main()
    if not script:
        return Start()
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return Start("", script, spec.name if spec else "", tuple(sys.argv))


class _Made:
    """The runs that this process has made so far: how many, and the last one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.last = ""


_made = _Made()


@contextmanager
def numbered(start: Start, run_id: str) -> Iterator[Start]:
    """How the new run of this id is started, with its number among those that the script has made.
    It does not count when it is not made after all.
    """
    if start.target or not start.script:
        yield start
        return
    with _made.lock:
        before = _made.count, _made.last
        _made.count, _made.last = before[0] + 1, run_id
        mine = _made.count
    try:
        yield attrs.evolve(start, call=mine, previous=before[1])
    except BaseException:
        with _made.lock:
            if (_made.count, _made.last) == (mine, run_id):
                _made.count, _made.last = before
        raise


def after_those_made(start: Start) -> Start:
    """How a run is started that is made from another one: it has no number, and comes after the
    runs that the script has made.
    """
    return attrs.evolve(start, previous=_made.last) if start.script else start


def new_run_id(workflow: str, now_us: int) -> str:
    """A readable id: the workflow's name, the UTC time to the second, and four random digits."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", workflow).strip("-.") or "run"
    when = datetime.fromtimestamp(now_us / 1e6, UTC).strftime("%Y%m%d-%H%M%S")
    return f"{name[:60]}-{when}-{secrets.token_hex(2)}"


def check_run_id(run_id: object) -> str:
    """The id itself. Raises CallerError when it could not stand in a path, command or URL."""
    if not isinstance(run_id, str) or not re.fullmatch(RUN_ID_PATTERN, run_id):
        raise CallerError(
            f"run id {run_id!r:.160} is not usable",
            hint="letters, digits, '_', '.', '-'; at most 128, the first one a letter, digit or _",
        )
    return run_id
