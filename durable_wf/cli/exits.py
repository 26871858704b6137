"""Exit codes, and how an error is told.

Owns: the one table from error classes to exit codes, the codes of run states, and the form of an
error on stderr: `error: what`, then what to do; with `--json` one JSON document.
Must never: print a traceback unless it was asked for (`--debug`, `DWF_DEBUG=1`).
Read next: `main.py`.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from enum import IntEnum

import click
from click.exceptions import NoArgsIsHelpError

from durable_wf import errors as e
from durable_wf.cli.states import INTERRUPTED, WAITING, RunShown
from durable_wf.cli.terminal import look_at
from durable_wf.core.status import RunStatus


class Exit(IntEnum):
    """What `dwf` ends with. Scripts may rely on these."""

    OK = 0
    RUN_FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    WRONG_STATE = 4
    STORE = 5
    VERIFICATION = 6
    WAITING = 7
    CANCELLED = 8
    INTERNAL = 70
    INTERRUPTED = 130


CODES: dict[type[BaseException], Exit] = {
    e.CallerError: Exit.USAGE,
    e.NotFound: Exit.NOT_FOUND,
    e.WrongState: Exit.WRONG_STATE,
    e.RunConflict: Exit.WRONG_STATE,
    e.NotTrusted: Exit.STORE,
    e.TaskError: Exit.RUN_FAILED,
    e.NotStorable: Exit.USAGE,
    e.StoreBusy: Exit.STORE,
    e.OwnedElsewhere: Exit.WRONG_STATE,
    e.StoreError: Exit.STORE,
    e.HistoryError: Exit.STORE,
    e.VerificationFailed: Exit.VERIFICATION,
    e.DurableWorkflowError: Exit.INTERNAL,
    click.UsageError: Exit.USAGE,
    click.ClickException: Exit.USAGE,
    click.Abort: Exit.INTERRUPTED,
    KeyboardInterrupt: Exit.INTERRUPTED,
    OSError: Exit.USAGE,
}
"""Class -> exit code; the nearest base class that stands here counts."""

DEBUG_HINT = "dwf --debug shows where it happened"


def code_of(error: BaseException) -> Exit:
    """The exit code of an error."""
    for cls in type(error).__mro__:
        if cls in CODES:
            return CODES[cls]
    return Exit.INTERNAL


def report(error: BaseException, *, as_json: bool, debug: bool) -> Exit:
    """Tell an error on stderr; returns the exit code."""
    code = code_of(error)
    if debug or os.environ.get("DWF_DEBUG", "") not in {"", "0"}:
        traceback.print_exception(error, file=sys.stderr)
    what, hint = _parts(error, code)
    if as_json:
        document = {"type": type(error).__name__, "message": what, "hint": hint, "code": int(code)}
        print(json.dumps({"error": document}), file=sys.stderr)
        return code
    look = look_at(sys.stderr)
    if isinstance(error, NoArgsIsHelpError):
        print(look.clean(what), file=sys.stderr)
        return code
    label = "" if code is Exit.INTERRUPTED else look.paint("error: ", "red", "bold")
    print(f"{label}{look.clean(what)}", file=sys.stderr)
    if hint:
        print(look.paint("  hint:", "bold"), look.clean(hint), file=sys.stderr)
    return code


def _parts(error: BaseException, code: Exit) -> tuple[str, str | None]:
    """What happened, and what to do about it."""
    match error:
        case e.DurableWorkflowError():
            return error.message, error.hint
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else "dwf"
            return error.format_message(), f"{path} --help"
        case click.ClickException():
            return error.format_message(), None
        case e.Interrupted():
            return "interrupted; what has finished is safe", f"dwf resume {error.run_id}"
        case click.Abort() if isinstance(error.__cause__, e.Interrupted):
            return _parts(error.__cause__, code)
        case KeyboardInterrupt() | click.Abort():
            return "interrupted", None
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            return f"{where}{error.strerror}", None
        case _:
            kind = "internal error: " if code is Exit.INTERNAL else ""
            return f"{kind}{type(error).__name__}: {error}", DEBUG_HINT


RUN_CODES: dict[RunShown, Exit] = {
    RunStatus.SUCCEEDED: Exit.OK,
    RunStatus.FAILED: Exit.RUN_FAILED,
    RunStatus.CANCELLED: Exit.CANCELLED,
    RunStatus.PAUSED: Exit.WAITING,
    WAITING: Exit.WAITING,
    INTERRUPTED: Exit.WRONG_STATE,
}


def code_of_run(shown: RunShown) -> Exit:
    """The exit code that says how a run stands."""
    return RUN_CODES.get(shown, Exit.WAITING)
