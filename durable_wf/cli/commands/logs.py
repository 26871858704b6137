"""`dwf logs`: what the tasks of a run printed.

Owns: finding the output of each attempt, of those that run now too, and following it.
Must never: let a task's output write to a terminal unfiltered: it could hold escape sequences.
Read next: `watch.py`.
"""

from __future__ import annotations

import codecs
import os
import shlex
import sys
import time
from collections.abc import Iterator

import attrs
import click

from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    run_argument,
    say,
    typed,
)
from durable_wf.cli.documents import dumps
from durable_wf.cli.facts import RunFacts, TaskFacts
from durable_wf.cli.kin import note_newer
from durable_wf.cli.names import task_or_raise
from durable_wf.cli.picking import pick
from durable_wf.cli.terminal import Look
from durable_wf.cli.watched import Watched
from durable_wf.core.fault import OutputRef
from durable_wf.core.status import RUN_FINAL
from durable_wf.engine.view import load_definition
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.execute.port import output_name
from durable_wf.store.opening import Store
from durable_wf.store.payload_files import open_plain

_POLL_S = 0.1
_CHUNK = 1 << 20


@attrs.frozen
class Piece:
    """Output of one attempt, so far: the part of a file that belongs to it."""

    task: str
    attempt: int
    file: str
    start: int
    end: int


@click.command(
    "logs",
    epilog=examples(
        ("dwf logs @last", "everything, task by task"),
        ("dwf logs @last --task load", "one task"),
        ("dwf logs @last -f", "follow a run"),
    ),
)
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on printing until the run has ended.")
@click.option("-t", "--task", multiple=True, metavar="NAME", help="Only this task.")
@json_option("Print JSON Lines: task, attempt, text.")
@pass_settings
def logs(
    settings: Settings, *, run: str, follow: bool, task: tuple[str, ...], as_json: bool
) -> None:
    """Print what the tasks of a run wrote to stdout and stderr, in the order they ended.

    Output of tasks that run now comes last. On a terminal, escape sequences are taken out.
    """
    with settings.reading() as store:
        row = pick(store.log, run)
        note_newer(store.log, row)
        workflow = load_definition(store.log, row)
        watched = Watched(store, row.run_id, workflow)
        for name in task:
            task_or_raise(row.run_id, name, watched.look().tasks)
        printer = _Printer(store, out(), as_json=as_json, single=len(task) == 1)
        wanted = frozenset(task)
        while True:
            facts = watched.look()
            for piece in pieces(store, facts):
                if not wanted or piece.task in wanted:
                    printer.take(piece)
            if not follow or facts.row.status in RUN_FINAL:
                break
            sys.stdout.flush()
            time.sleep(_POLL_S)
        if not printer.printed and not as_json:
            note("nothing was printed")
        for name, one in facts.tasks.items():
            if one.kept is not None and (not wanted or name in wanted):
                step = f"dwf show {row.run_id} --task {shlex.quote(name)}"
                note(f"task {name!r}: what it returned could not be stored, and is kept: {step}")
        for origin in _origins(facts, wanted):
            line = typed("logs", origin)
            note(f"what its tasks printed in run {origin}, whose results it has: {line}")


def _origins(facts: RunFacts, wanted: frozenset[str]) -> list[str]:
    """The runs that results of these tasks (none: of all) were taken over from."""
    tasks = [task for name, task in facts.tasks.items() if not wanted or name in wanted]
    return sorted({task.origin for task in tasks if task.origin})


def pieces(store: Store, facts: RunFacts) -> Iterator[Piece]:
    """The output of all attempts: finished ones in the order of their end, then running ones."""
    ended = [
        (output.at, name, output.attempt, output.ref)
        for name, task in facts.tasks.items()
        for output in task.outputs
    ]
    for _, name, attempt, ref in sorted(ended, key=lambda one: one[0]):
        yield _piece(name, attempt, ref)
    for name, task in facts.tasks.items():
        growing = _growing(store, facts, name, task)
        if growing is not None:
            yield growing


def _piece(task: str, attempt: int, ref: OutputRef) -> Piece:
    return Piece(task, attempt, ref.file, ref.offset, ref.offset + ref.length)


def _growing(store: Store, facts: RunFacts, name: str, task: TaskFacts) -> Piece | None:
    """The output of an attempt that runs now, or ran when its engine died."""
    running = task.running
    if running is None:
        return None
    file = output_name(running.worker)
    seq = store.log.seqs(facts.row.run, [running.n]).get(running.n)
    try:
        # The size first: what the file holds while the mark still names this attempt is its own.
        end = (store.folder.output / file).lstat().st_size
        mark = BegunMark(path_of(store.folder.locks, running.worker), create=False)
    except (OSError, ValueError):
        return None
    try:
        start, begun = mark.offset, mark.seq
    finally:
        mark.close()
    return Piece(name, task.attempts, file, start, end) if begun == seq and start < end else None


class _Printer:
    """Prints each piece once, a growing one as far as it has grown."""

    def __init__(self, store: Store, look: Look, *, as_json: bool, single: bool) -> None:
        self._folder = store.folder.output
        self._look = look
        self._as_json = as_json
        self._single = single
        self._done: dict[tuple[str, int], int] = {}
        self._decoders: dict[tuple[str, int], codecs.IncrementalDecoder] = {}
        self._last: tuple[str, int] | None = None
        self.printed = False

    def take(self, piece: Piece) -> None:
        """Print what is new of it."""
        key = (piece.task, piece.attempt)
        start = self._done.setdefault(key, piece.start)
        for data in self._read(piece.file, start, piece.end):
            self._done[key] += len(data)
            self._print(piece, data)

    def _read(self, file: str, start: int, end: int) -> Iterator[bytes]:
        if start >= end:
            return
        if not (self._folder / file).resolve().is_relative_to(self._folder.resolve()):
            note(f"the log names an output file outside the store: {file!r}")
            return
        try:
            fd = open_plain(self._folder / file)
        except OSError as error:
            note(f"output {file} cannot be read: {error.strerror}")
            return
        try:
            while start < end and (data := os.pread(fd, min(_CHUNK, end - start), start)):
                start += len(data)
                yield data
        finally:
            os.close(fd)

    def _print(self, piece: Piece, data: bytes) -> None:
        self.printed = True
        key = (piece.task, piece.attempt)
        if key not in self._decoders:
            self._decoders[key] = codecs.getincrementaldecoder("utf-8")("replace")
        if self._as_json:
            text = self._decoders[key].decode(data)
            say(dumps({"task": piece.task, "attempt": piece.attempt, "text": text}))
            return
        if key != self._last and not self._single:
            gap = "\n" if self._last is not None else ""
            more = f" (attempt {piece.attempt})" if piece.attempt > 1 else ""
            say(gap + self._look.paint(f"==> {piece.task}{more} <==", "bold"))
        self._last = key
        if self._look.terminal:
            sys.stdout.write(self._look.clean(self._decoders[key].decode(data)))
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
