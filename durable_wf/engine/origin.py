"""Origin: who creates a run, from where, and what it is called.

Owns: reading the process's own circumstances (script, arguments, folder, user) into RunCreated,
and making run ids.
Must never: put secrets of the environment into the log.
Read next: `creating.py`.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from durable_wf.core.definition import RUN_ID_PATTERN
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


def script() -> str:
    """The absolute path of the script this process was started with, or ""."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return str(Path(file).absolute()) if file else ""


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
