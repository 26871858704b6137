"""A parallel executor with folders of its own, for tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from durable_wf.core.events import OutputRef
from durable_wf.core.inputs import Failed, Report, Returned, Succeeded
from durable_wf.execute.pool import ParallelExecutor
from durable_wf.execute.port import NO_LIMITS, Assignment, Given, Limits, Places, RunCode

DEADLINE_S = 20.0


def wait_for(condition: Callable[[], Any], what: str = "condition") -> Any:
    """The first true answer of `condition`."""
    deadline = time.monotonic() + DEADLINE_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.002)
    return answer


def places_in(folder: Path) -> Places:
    """The folders of a store."""
    for name in ("locks", "output", "payloads"):
        (folder / name).mkdir(exist_ok=True)
    return Places(folder / "locks", folder / "output", folder / "payloads")


class Rig:
    """Starts attempts by function and collects what is reported about them."""

    def __init__(self, folder: Path, seats: int = 1, engine: str = "e-0123abcd") -> None:
        self.places = places_in(folder)
        self.executor = ParallelExecutor(self.places, engine, seats)
        self.reports: dict[int, Report] = {}
        self.started: dict[int, Assignment] = {}
        self._runs: dict[Any, int] = {}
        self._seq = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.executor.close(0.0)

    def ready(self, seats: int = 1) -> list[Any]:
        """As many open seats as asked for."""

        def enough() -> Any:
            found = [s for s in self.executor.seats(seats) if s.open]
            return found if len(found) >= seats else self.poll(0.5)

        return wait_for(enough, "open seats")

    def ready_worker(self) -> Any:
        """The first worker, as the executor knows it."""
        return next(iter(self.executor._workers.values()))

    def run_of(self, function: Callable[..., Any]) -> int:
        """The run whose only function is this one."""
        if function not in self._runs:
            run = len(self._runs) + 1
            self._runs[function] = run
            name = getattr(function, "__name__", "task")
            self.executor.prepare(RunCode(run, f"run-{run}", "w", f"run-{run}", [function], [name]))
        return self._runs[function]

    def make(
        self, function: Callable[..., Any], *args: Any, on: Any = None,
        limits: Limits = NO_LIMITS, estimate_us: int = 0,
    ) -> Assignment:  # fmt: skip
        """An assignment, on an open seat."""
        seat = on or next(iter(sorted(self.ready(), key=lambda s: s.queued)))
        self._seq += 1
        a = Assignment(
            self._seq, seat.worker, self.run_of(function), self._seq, 1, f"task{self._seq}", 0,
            args=tuple(Given(json.dumps(arg)) for arg in args),
            limits=limits, estimate_us=estimate_us,
        )  # fmt: skip
        self.started[a.seq] = a
        return a

    def start(self, function: Callable[..., Any], *args: Any, **more: Any) -> int:
        """Start an attempt; the answer is its number."""
        a = self.make(function, *args, **more)
        self.executor.start([a])
        return a.seq

    def poll(self, timeout_s: float = 0.0) -> None:
        """Collect what has come. Each attempt is reported once and no other is."""
        for report in self.executor.poll(timeout_s):
            assert report.index in self.started, report
            assert report.index not in self.reports, f"reported twice: {report}"
            self.reports[report.index] = report

    def wait(self, *numbers: int) -> list[Report]:
        """The reports of these attempts."""
        deadline = time.monotonic() + DEADLINE_S
        while not all(n in self.reports for n in numbers):
            assert time.monotonic() < deadline, f"no report of {numbers}: {self.reports}"
            self.poll(0.5)
        return [self.reports[n] for n in numbers]

    def run(self, function: Callable[..., Any], *args: Any, **more: Any) -> Report:
        """Start an attempt and wait for its report."""
        return self.wait(self.start(function, *args, **more))[0]

    def value(self, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
        """What an attempt returned, which must be plain JSON.

        An attempt may be given to a worker that is dying; it is returned then, and made again.
        """
        report = self.run(function, *args, **more)
        while isinstance(report, Returned):
            report = self.run(function, *args, **more)
        assert isinstance(report, Succeeded), report
        if isinstance(report.value, str):
            return json.loads(report.value)
        assert report.payload is not None
        return json.loads(report.payload)

    def output(self, ref: OutputRef | None) -> str:
        """What a reference to captured output names."""
        if ref is None:
            return ""
        with open(self.places.output / ref.file, "rb") as file:
            file.seek(ref.offset)
            return file.read(ref.length).decode()

    def begun(self, number: int) -> None:
        """Wait until an attempt has begun."""

        def has_begun() -> bool:
            self.poll()
            worker = self.executor._workers.get(self.started[number].worker)
            return bool(worker and worker.mark and worker.mark.seq >= number)

        wait_for(has_begun, f"the beginning of attempt {number}")


def kinds(reports: list[Report]) -> list[str]:
    """Reports in short: ok, returned, or the kind of the fault."""
    return [
        "ok" if isinstance(r, Succeeded) else "returned" if isinstance(r, Returned) else short(r)
        for r in reports
    ]


def short(report: Failed) -> str:
    return report.fault.kind.value
