"""Progress of a run while it runs: a bar on a terminal, plain lines elsewhere.

Owns: both forms, and a copy of stderr of their own, since a task may capture descriptor 2.
Must never: print more often than people can read, or raise into the engine.
Read next: `commands/run.py`.
"""

from __future__ import annotations

import io
import os
import sys
import time
from typing import IO, Any, Protocol, Self

from durable_wf.cli.asked import asked_lines, what_words
from durable_wf.cli.context import Settings, typed
from durable_wf.cli.render import row_counts_text
from durable_wf.cli.states import MARKS
from durable_wf.cli.terminal import Look, look_at, one_line, shorten
from durable_wf.cli.times import clock, span
from durable_wf.core.status import RunStatus
from durable_wf.engine.progress import Progress

_FIRST_S, _SLOWEST_S, _GROWTH = 1.0, 30.0, 1.5
_NAMES = 3
_SOON_US = 5_000_000


class Teller(Protocol):
    """Told of progress. A context manager: at its end the screen is as it was."""

    def __call__(self, progress: Progress) -> None:
        """Tell it, or remember it for later. Cheap."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...


class Quiet:
    """Says nothing."""

    def __call__(self, progress: Progress) -> None:
        """Nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def teller(*, quiet: bool) -> Teller:
    """The form that fits stderr."""
    if quiet:
        return Quiet()
    stream = _own_stderr()
    look = look_at(stream)
    return Bar(stream, look) if look.live else Lines(stream, look)


def _own_stderr() -> IO[str]:
    """A stream of our own to where stderr leads now: a task run in this process may redirect it."""
    try:
        fd = os.dup(sys.stderr.fileno())
    except (OSError, io.UnsupportedOperation, ValueError):
        return sys.stderr  # no descriptor, as in tests
    return os.fdopen(fd, "w", 1, encoding=sys.stderr.encoding, errors="backslashreplace")


def done_of(progress: Progress) -> int:
    """Tasks that have ended."""
    counts = progress.counts
    return counts.succeeded + counts.failed + counts.skipped + counts.cancelled


def eta_text(progress: Progress) -> str:
    """`about 12 s left`, where an earlier run tells."""
    eta = progress.eta_s
    if eta is None or progress.status is not RunStatus.RUNNING or eta <= 0:
        return ""
    return f"about {span(max(1.0, eta) * 1_000_000)} left"


def names_text(progress: Progress) -> str:
    """What runs now: a few names and how many more."""
    shown = ", ".join(one_line(name) for name in progress.running[:_NAMES])
    more = progress.counts.running - _NAMES
    return f"{shown} and {more} more" if shown and more > 0 else shown


def waiting_text(progress: Progress) -> str:
    """What somebody has to answer, and where: `waits for an approval (review): dwf inbox`."""
    asked = [f"{what_words(one)} ({one.task})" for one in progress.waiting]
    more = f" and {len(asked) - _NAMES} more" if len(asked) > _NAMES else ""
    return one_line(f"waits for {', '.join(asked[:_NAMES])}{more}: dwf inbox") if asked else ""


def timer_text(progress: Progress, now: int) -> str:
    """Until when nothing happens, where all wait for a timer that is not due at once."""
    at = progress.wake_at
    if progress.counts.running or not progress.counts.waiting or at is None or at - now < _SOON_US:
        return ""
    return f"nothing to do until {clock(at)[:-4]}Z, for {span(at - now)}"


class Questions:
    """What runs ask of somebody, each told once, with the lines to type that answer it."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._store = Settings.named_store()
        self._inbox = typed("inbox")
        self._told: set[tuple[str, str, int]] = set()

    def news(self, progress: Progress) -> list[str]:
        """The lines about what is asked since the last time. None when the outcome comes next,
        which has them too.
        """
        if progress.at_rest:
            return []
        fresh = {
            place: one
            for one in progress.waiting
            if (place := (progress.run_id, one.task, one.since)) not in self._told
        }
        self._told.update(fresh)
        shown, now = [*fresh.values()][:_NAMES], time.time_ns() // 1000
        lines = [*asked_lines(progress.run_id, shown, self._look, now, self._store)]
        return [*lines, f"  and more: {self._inbox}"] if len(fresh) > len(shown) else lines


class Lines:
    """One line for each change of the state or of failures, else less and less often."""

    def __init__(self, stream: IO[str], look: Look) -> None:
        self._stream = stream
        self._look = look
        self._last: tuple[object, ...] = ()
        self._done = -1
        self._due = 0.0
        self._every = _FIRST_S
        self._questions = Questions(look)

    def __call__(self, progress: Progress) -> None:
        """Say it, if it is time."""
        now = time.monotonic()
        waiting = tuple(one.task for one in progress.waiting)
        timer = timer_text(progress, time.time_ns() // 1000)
        until = progress.wake_at if timer else None
        key = (progress.status, progress.counts.failed, waiting, until)
        asked = self._questions.news(progress)
        known = key == self._last and not asked
        if known and (now < self._due or done_of(progress) == self._done):
            return
        if known:
            self._every = min(_SLOWEST_S, self._every * _GROWTH)
        self._last, self._done, self._due = key, done_of(progress), now + self._every
        self._stream.writelines(f"{line}\n" for line in (self._line(progress, timer), *asked))
        self._stream.flush()

    def _line(self, progress: Progress, timer: str) -> str:
        at = clock(time.time_ns() // 1000)[:-4]
        state = MARKS[progress.status].word
        parts = [
            f"{at}Z {progress.run_id} {state} {done_of(progress)}/{progress.total}",
            row_counts_text(progress.counts, self._look, alive=True),
            eta_text(progress),
        ]
        if names := names_text(progress):
            parts.append(f"now {names}")
        parts += [waiting_text(progress), timer]
        return "; ".join(part for part in parts if part)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not sys.stderr:
            self._stream.close()


class Bar:
    """A bar with counts, what runs now, and how long it will take, redrawn in place."""

    def __init__(self, stream: IO[str], look: Look) -> None:
        # rich is slow to import and only needed here.
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._look = look
        self._stream = stream
        self._questions = Questions(look)
        self._as_text = Text.from_ansi
        self._progress: Progress | None = None
        self._began = time.monotonic()
        self._console = Console(
            file=stream,
            force_terminal=True,
            color_system="auto" if look.colour else None,
            no_color=not look.colour,
            highlight=False,
        )
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __call__(self, progress: Progress) -> None:
        """Remember it; it is drawn a few times a second. What it asks stays above the bar."""
        self._progress = progress
        if lines := self._questions.news(progress):
            self._console.print(self._as_text("\n".join(lines)), soft_wrap=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._stream is not sys.stderr:
            self._stream.close()

    def _draw(self) -> Any:
        progress = self._progress
        if progress is None:
            return self._as_text("starting ...")
        width = self._console.width
        return self._as_text("\n".join(bar_lines(progress, self._elapsed(), self._look, width)))

    def _elapsed(self) -> float:
        return (time.monotonic() - self._began) * 1_000_000


def bar_lines(progress: Progress, elapsed_us: float, look: Look, width: int) -> list[str]:
    """The two lines of the bar."""
    done = done_of(progress)
    percent = 100 * done // progress.total if progress.total else 100
    tail = f" {done}/{progress.total} {percent:>3}%  {span(elapsed_us)}"
    if eta := eta_text(progress):
        tail += f"  {eta}"
    room = max(5, min(40, width - len(tail) - 2))
    full = room * done // max(1, progress.total)
    solid, empty = ("━", "╌") if look.symbols else ("#", ".")
    colour = "red" if progress.counts.failed else "green"
    bar = look.paint(solid * full, colour) + look.paint(empty * (room - full), "dim")
    head = shorten(f"{progress.workflow}  {progress.run_id}", width - 1, symbols=look.symbols)
    lines = [
        look.paint(head, "bold"),
        bar + tail,
        row_counts_text(progress.counts, look, alive=True),
    ]
    if names := names_text(progress):
        now = shorten(f"now {names}", width - 1, symbols=look.symbols)
        lines.append(look.paint(now, "dim"))
    for waits in (waiting_text(progress), timer_text(progress, time.time_ns() // 1000)):
        if waits:
            lines.append(look.paint(shorten(waits, width - 1, symbols=look.symbols), "yellow"))
    return lines
