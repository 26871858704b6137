"""A service that fails in bursts, workflows that call it, and the judgement of what it was asked.

Owns: the service (HTTP on the loopback, in the test's own process), which notes when each call came
and from which attempt; the script of an engine that works through a workflow of such calls; and
`Judgement`, which holds the calls against what the store tells about its circuit breaker.
Must never: judge by how long anything took.
Read next: `e2e/test_flaky_service.py`.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs

from durable_wf.core import events as e
from durable_wf.store.opening import Store

KEY = "service"
GOOD, BAD = 50, 4
"""Calls in a row that are answered well, and then that fail."""

COOLDOWN_S = 1.2
"""Longer than an engine takes to start on a quiet machine."""

WORKERS = 2

SCRIPT = (
    f"COOLDOWN_S = {COOLDOWN_S}\n"
    """
import os, sys, time, urllib.request
import durable_wf as wf

url, tasks, store, leaky = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4] == "leaky"
if leaky:
    from durable_wf.engine.breakers import Breakers
    Breakers.admits = lambda breakers, *_: breakers.recent("service") is not None

def call(url, number):
    now = wf.current()
    place = f"{now.run_id}/{now.task}/{now.attempt}"
    with urllib.request.urlopen(f"{url}/{place}/{number}", timeout=20) as answer:
        return int(answer.read())

builder = wf.WorkflowBuilder("flaky")
guard = wf.breaker("service", failures=3, within="1m", cooldown=COOLDOWN_S)
for number in range(tasks):
    builder.add_task(
        f"call{number}", call, parameters={"url": url, "number": number},
        breaker=guard, retry=wf.retry(50, wait=0.02, losses=50),
    )
with wf.WorkflowEngine(store, workers=2) as engine:
    result = engine.run(builder.build(), run_id="r")
    print(result.status.value)
"""
)
"""Continues the run if there is one."""


@attrs.frozen
class Call:
    """One call as the service saw it come (UTC microseconds)."""

    at: int
    run_id: str
    task: str
    attempt: int
    number: int
    answered: bool


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.lock = threading.Lock()
        self.calls: list[Call] = []

    def note(self, path: str) -> Call:
        """A call has come. It is one of a burst by its number alone."""
        _, run_id, task, attempt, number = path.split("/")
        with self.lock:
            good = len(self.calls) % (GOOD + BAD) < GOOD
            at = time.time_ns() // 1000
            call = Call(at, run_id, task, int(attempt), int(number), good)
            self.calls.append(call)
        return call


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        call = self.server.note(self.path)
        threading.Event().wait(0.01)  # so that calls overlap
        with contextlib.suppress(OSError):  # whoever asked was killed
            self.send_response(200 if call.answered else 503)
            self.end_headers()
            if call.answered:
                self.wfile.write(str(call.number * 7).encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def service() -> Iterator[tuple[str, list[Call]]]:
    """A running service: its address, and its calls as they come."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@attrs.frozen
class Span:
    """From an opening to the closing after it; `seq` is the opening's place in the log. `probes`
    are the attempts that were let through.
    """

    opened_at: int
    closed_at: int
    seq: int
    probes: frozenset[tuple[str, str, int]]
    openings: int


def story(store: Store) -> list[tuple[int, e.Recorded]]:
    """What the store tells of breakers: place in the log, and event."""
    kinds = (e.BreakerOpened, e.ProbeTaken, e.BreakerClosed)
    recorded = list(store.log.history(0))
    seqs = store.log.seqs(0, [one.n for one in recorded])
    return [(seqs[one.n], one) for one in recorded if isinstance(one.event, kinds)]


def spans(told: list[tuple[int, e.Recorded]]) -> list[Span]:
    """The times in which nothing but probes may call. Fails where the story makes no sense."""
    found: list[Span] = []
    opening: tuple[int, int] | None = None
    probes: set[tuple[str, str, int]] = set()
    openings = 0
    for seq, one in told:
        event = one.event
        match event:
            case e.BreakerOpened():
                assert opening is None or probes, "it was opened twice, and nobody had probed"
                opening = opening or (one.at, seq)
                openings += 1
            case e.ProbeTaken():
                assert opening is not None, "a probe of a closed circuit"
                probes.add((event.run, event.task, event.attempt))
            case e.BreakerClosed():
                assert opening is not None
                assert (event.run, event.task, event.attempt) in probes, "closed by no probe"
                found.append(Span(opening[0], one.at, opening[1], frozenset(probes), openings))
                opening, probes, openings = None, set(), 0
    if opening is not None:
        found.append(Span(opening[0], 2**62, opening[1], frozenset(probes), openings))
    return found


@attrs.define
class Judgement:
    """Calls that came while the circuit was not closed: by probes, by attempts that had been
    announced before (they were on their way), and by others, which is wrong.
    """

    probes: list[Call] = attrs.field(factory=list)
    underway: list[Call] = attrs.field(factory=list)
    wrong: list[Call] = attrs.field(factory=list)


def judge(store: Store, calls: list[Call]) -> Judgement:
    """Hold all calls against the story."""
    row = store.log.row("r")
    assert row is not None
    recorded = [one for one in store.log.stored(row.run) if one.kind == "AttemptStarted"]
    announced = {(one.task, one.attempt): one.seq for one in recorded}
    found = Judgement()
    for span in spans(story(store)):
        for call in calls:
            if not span.opened_at <= call.at < span.closed_at:
                continue
            if (call.run_id, call.task, call.attempt) in span.probes:
                found.probes.append(call)
            elif announced[call.task, call.attempt] < span.seq:
                found.underway.append(call)
            else:
                found.wrong.append(call)
    return found
