"""`dwf`: the table of commands, each loaded only when it is called.

Owns: the names and order of commands, the options that all share, and the one place where errors
become exit codes.
Must never: import a command, the store or the engine at start-up: `dwf --help` reads this file and
click alone.
Read next: `context.py`, then `commands/`.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import importlib
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import attrs
import click

from durable_wf.cli.context import Settings, examples, store_option
from durable_wf.cli.exits import Exit, report
from durable_wf.version import VERSION


@attrs.frozen
class Lazy:
    """A command that is not loaded yet: where it is, its one line of help, and whether it `works`,
    that is runs tasks in worker processes.
    """

    where: str
    help: str
    works: bool = False


SECTIONS: dict[str, dict[str, Lazy]] = {
    "Run": {
        "run": Lazy("commands.run:run", "Run a workflow and show its progress.", works=True),
        "resume": Lazy(
            "commands.resume:resume", "Continue interrupted or paused runs.", works=True
        ),
        "recover": Lazy(
            "commands.resume:recover", "Continue every run that was interrupted.", works=True
        ),
        "retry": Lazy(
            "commands.retry:retry", "Run again what failed; the rest is taken over.", works=True
        ),
        "fork": Lazy(
            "commands.retry:fork", "Make a new run of an old one, as of some event.", works=True
        ),
        "pause": Lazy("commands.control:pause", "Start nothing more in runs until resumed."),
        "cancel": Lazy("commands.control:cancel", "End runs for good; compensations take back."),
        "demo": Lazy("demo:demo", "Run a real pipeline on this machine, and crash it if you like."),
    },
    "Look": {
        "list": Lazy("commands.list:list_runs", "List runs, newest first."),
        "show": Lazy("commands.show:show", "Show one run: state, tasks, failures, what to do."),
        "why": Lazy("commands.why:why", "Say why a task does not start, or did not at some event."),
        "breakers": Lazy(
            "commands.breakers:breakers", "List circuit breakers, or reset one that is open."
        ),
        "watch": Lazy("commands.watch:watch", "Watch a run until it ends."),
        "logs": Lazy("commands.logs:logs", "Print what the tasks of a run printed."),
        "events": Lazy("commands.events:events", "Print the recorded events of a run."),
    },
    "People": {
        "inbox": Lazy("commands.inbox:inbox", "List what waits for whom, and how to answer."),
        "approve": Lazy("commands.answers:approve", "Say yes to a task that waits for approval."),
        "reject": Lazy("commands.answers:reject", "Say no to a task that waits for approval."),
        "resolve": Lazy("commands.answers:resolve", "Decide about a task that failed or waits."),
        "signal": Lazy("commands.answers:signal", "Send a run a signal."),
    },
    "Workflows": {
        "graph": Lazy("commands.graph:graph", "Draw a workflow or a run."),
        "plan": Lazy("commands.plan:plan", "Say how a workflow would run, without running it."),
        "rules": Lazy("commands.rules:rules", "Show recovery rules, explain them, try them."),
    },
    "Store": {
        "db": Lazy("commands.db:db", "Check, back up and tidy the store."),
        "audit": Lazy("commands.audit:audit", "Prove that the log was not changed."),
        "export": Lazy("commands.exchange:export", "Write one run to a file of its own."),
        "import": Lazy("commands.exchange:import_run", "Take in a run that was exported."),
    },
}
_IDLE = frozenset({"-h", "--help", "--dry-run", "sequential", "--executor=sequential"})
"""Arguments with which a command that works has none for workers to do."""

COMMANDS = {name: lazy for section in SECTIONS.values() for name, lazy in section.items()}


class _NobodyReads(Exception):
    """Whoever read our output has closed it."""


class Dwf(click.Group):
    """A group that loads its commands when they are asked for, and turns errors into exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All commands, in the order of the help."""
        return list(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Load a command."""
        lazy = COMMANDS.get(cmd_name)
        if lazy is None:
            return None
        module, _, name = lazy.where.partition(":")
        with _nothing_collected():
            command = getattr(importlib.import_module(f"durable_wf.cli.{module}"), name)
        assert isinstance(command, click.Command)
        _take_store(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of this name. Where workers will be needed,
        they begin to load before the command itself does.
        """
        if args and args[0] in COMMANDS:
            if COMMANDS[args[0]].works and not _IDLE.intersection(args):
                # heavy, and needed by few commands
                from durable_wf.execute import launch

                launch.warm_up()
        elif args and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            guess = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(f"There is no command '{args[0]}'.{guess}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Commands by section, without loading any."""
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, lazy.help) for name, lazy in commands.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments; `--help` and `--version` print here, and perhaps nobody reads."""
        try:
            return super().make_context(*args, **extra)
        except BrokenPipeError as error:
            raise _NobodyReads from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; that nobody reads any more is not an error (click would say 1)."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _NobodyReads from error

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, and end the process with the exit code."""
        given = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        try:
            result = super().main(given, prog_name or "dwf", standalone_mode=False, **extra)
            sys.stdout.flush()
            code = result if isinstance(result, int) else Exit.OK
        except (_NobodyReads, BrokenPipeError):
            # Whoever read us has seen enough; nothing may be written when Python closes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = Exit.OK
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the one place for it
            code = report(error, as_json="--json" in given, debug="--debug" in given)
        sys.exit(int(code))


@contextlib.contextmanager
def _nothing_collected() -> Iterator[None]:
    """Look for no garbage while much is imported that is none: it takes a tenth of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _take_store(command: click.Command) -> None:
    """Let `--store` stand after the command too, wherever a person puts it."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            _take_store(inner)
        if not command.invoke_without_command:
            return
    if not any(parameter.name == "store" for parameter in command.params):
        store_option(command)


_EPILOG = examples(
    ("dwf demo", "a real pipeline on this machine"),
    ("dwf run pipeline.py:workflow", "run your own"),
    ("dwf list", "what ran here"),
    ("dwf show @last", "the newest run in detail"),
    title="A first look",
) + (
    "\n\nRUN is the id of a run, the beginning of one, or @last. TARGET is file.py:name, "
    "module:name or a .json file with a workflow or a recorded execution (WfFormat)."
    "\n\nExit codes: 0 ok, 1 run failed, 2 usage, 3 not found, 4 wrong state, 5 store problem, "
    "6 verification failed, 7 waiting, 8 cancelled, 70 internal error, 130 interrupted."
)


@click.group(
    cls=Dwf,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(VERSION, "-V", "--version", prog_name="dwf")
@store_option
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    help="Show a traceback with errors (or DWF_DEBUG=1).",
)
@click.pass_context
def dwf(ctx: click.Context) -> None:
    """Run durable workflows and look at what they did.

    Every step of a run is recorded before anything acts on it, so a run that was killed goes on
    where it stopped: dwf resume @last.
    """
    ctx.ensure_object(Settings)
    # Said to who runs a script; here the error itself is told. See `engine/interrupts.py`.
    logging.getLogger("durable_wf.interrupts").setLevel(logging.ERROR)


def main() -> NoReturn:
    """Entry point of `dwf`, `durable-wf` and `python -m durable_wf`."""
    _complete_streams()
    dwf.main()


def _complete_streams() -> None:
    """Make stdin, stdout and stderr usable, whoever started us and however.

    One that is closed is opened to nothing: otherwise the next file to be opened, the log perhaps,
    would get its number, and what somebody prints would be written into it. What the encoding of
    stdout has no bytes for is written as an escape, not an error.
    """
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
        if getattr(sys, name) is None:
            mode = "r" if fd == 0 else "w"
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
