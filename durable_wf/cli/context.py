"""What all commands share: which store is meant, and the options that every command takes.

Owns: Settings, `--store` (before or after the command), `--json`, the RUN argument.
Must never: open a store before a command asks.
Read next: `picking.py`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click
from click.shell_completion import CompletionItem

from durable_wf.cli.terminal import Look, look_at, one_line

MOST = 1 << 31
"""The largest number that an option takes."""

F = TypeVar("F", bound=Callable[..., Any])


@attrs.define
class Settings:
    """What was said for all commands. `store` is a folder, or the file of an exported run."""

    store: str | None = None

    @classmethod
    def named_store(cls) -> str | None:
        """The store that was named on the command line, for lines to type that name it too."""
        ctx = click.get_current_context(silent=True)
        settings = ctx.find_root().obj if ctx is not None else None
        return settings.store if isinstance(settings, Settings) else None

    @contextmanager
    def reading(self, *, before_writing: bool = False) -> Iterator[Any]:
        """The store, for reading. That its log has lost its end is told in a line; to who means to
        write to it next it is an error, before anything that may have been lost is looked for.
        """
        # Not at the top: sqlite3 and the store are not needed to print help.
        from durable_wf.cli.stores import open_for_reading

        store = open_for_reading(self.store)
        try:
            if (lost := store.lost_tail()) is not None:
                if before_writing:
                    raise lost
                note(f"the log is behind its head (dwf audit verify): {lost.message}")
            yield store
        finally:
            store.close()


def _remember_store(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    settings = ctx.find_root().ensure_object(Settings)
    if value == "":
        raise click.BadParameter("'' is no path of a store.", ctx)
    if value is not None:
        settings.store = value


def store_option(command: F) -> F:
    """`--store`, which may stand before and after the command."""
    return click.option(
        "--store",
        metavar="PATH",
        expose_value=False,
        callback=_remember_store,
        help="The store's folder. Default: DURABLE_WF_STORE, else the nearest .durable-wf from "
        "here upwards.",
    )(command)


def json_option(text: str = "Print one JSON document.") -> Callable[[F], F]:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help=text)


class Number(click.ParamType[int]):
    """N: a whole number of at least so much. Its limit above is so high that no help names it."""

    name = "N"

    def __init__(self, least: int) -> None:
        self._range = click.IntRange(least, MOST)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Fails as click's own do."""
        return int(self._range.convert(value, param, ctx))


class RunName(click.ParamType[str]):
    """RUN: an id, the beginning of one, or `@last`."""

    name = "RUN"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - click's signature
        incomplete: str,
    ) -> list[CompletionItem]:
        """The newest runs that begin like this."""
        # Not at the top, as above.
        from durable_wf.cli.stores import open_for_reading

        settings = ctx.find_root().ensure_object(Settings)
        try:
            with closing(open_for_reading(settings.store)) as store:
                rows = store.log.rows(prefix=incomplete, limit=50)
        except Exception:  # noqa: BLE001 - a shell that completes must not show errors
            return []
        return [CompletionItem(row.run_id, help=row.workflow) for row in rows]


class NewFile(click.ParamType[Path]):
    """FILE: where a new file is written. `-` is refused: what a pipe has lost the end of looks like
    the whole, and a file of that name is what nobody means.
    """

    name = "FILE"

    def convert(
        self, value: str | Path, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path:
        """The path."""
        if value == "-":
            self.fail("'-' is not written to: name a new file (./- if it is to be called that).",
                      param, ctx)  # fmt: skip
        return Path(value)


trust_option = click.option(
    "--trust",
    is_flag=True,
    help="Trust this store, made by somebody else, from now on: resuming its runs executes the "
    "code they name.",
)
run_argument = click.argument("run", metavar="RUN", type=RunName())
pass_settings = click.make_pass_decorator(Settings, ensure=True)


def examples(*lines: tuple[str, str], title: str = "Examples") -> str:
    """The end of a help text: commands to type, and what they do, one a line."""
    wide = max(len(command) for command, _ in lines)
    body = "\n".join(f"  {command:{wide}}  {what}".rstrip() for command, what in lines)
    # click keeps the lines of a paragraph that begins like this.
    return f"\b\n{title}:\n{body}"


def out() -> Look:
    """What stdout can show."""
    return look_at(sys.stdout)


def typed(*words: str) -> str:
    """A line to type: `dwf` with these words, and the store where one was named."""
    store = Settings.named_store()
    named = ("--store", store) if store else ()
    return one_line(shlex.join(("dwf", *words, *named)))


def say(text: str = "") -> None:
    """A line of data, to stdout."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """A line for people, to stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
