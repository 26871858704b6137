"""200 tasks over a service that fails in bursts; the engine is killed and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from engine_rig import environment, wait_for
from flaky_service import COOLDOWN_S, KEY, SCRIPT, WORKERS, judge, service, spans, story

from durable_wf.core import events as e
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import CircuitState, fold
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.errors import NotFound
from durable_wf.store.check import check
from durable_wf.store.opening import open_store

TASKS = 200
KILLS = 5
SETTINGS = Breaker(KEY, failures=3, within_s=60.0, cooldown_s=COOLDOWN_S)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class World:
    """A store, the service, and an engine in a process of its own."""

    def __init__(self, folder, url, calls):
        self.folder, self.url, self.calls = folder, url, calls
        (folder / "script.py").write_text(SCRIPT)
        self.process = None

    def start(self, tasks=TASKS, how=""):
        words = [self.folder / "script.py", self.url, tasks, self.folder / "s", how]
        self.process = subprocess.Popen(
            [sys.executable, *map(str, words)], env=environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=30)

    def finish(self):
        out, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return out.split()

    def store(self):
        return open_store(self.folder / "s", readonly=True)

    def last_told(self):
        """What the store told last of the breaker, as the name of its kind; "" if nothing."""
        try:
            store = self.store()
        except NotFound:
            return ""
        try:
            told = story(store)
        finally:
            store.close()
        return type(told[-1][1].event).__name__ if told else ""

    def ended(self):
        return self.process.poll() is not None


@pytest.fixture
def world(tmp_path):
    with service() as (url, calls):
        world = World(tmp_path, url, calls)
        yield world
        if world.process is not None and world.process.poll() is None:
            world.kill()


def moments(world):
    """When the engine is killed: amid the calls, while the circuit is open, while it probes."""
    calls = world.calls
    return [
        lambda: len(calls) >= 20,
        lambda: world.last_told() == "BreakerOpened",
        lambda: world.last_told() == "ProbeTaken" or len(calls) >= 120,
        lambda: len(calls) >= 130,
        lambda: world.last_told() == "BreakerOpened" or len(calls) >= 190,
    ]


def test_it_ends_right_and_nothing_but_probes_calls_while_the_circuit_is_open(world):
    began = time.monotonic()
    world.start()
    for number, is_time in enumerate(moments(world)):
        wait_for(lambda is_time=is_time: is_time() or world.ended(), f"kill {number}")
        assert not world.ended(), world.process.communicate()
        world.kill()
        world.start()
    assert world.finish() == ["succeeded"]

    store = world.store()
    row = store.log.row("r")
    events = list(store.log.history(row.run))
    assert row.status is RunStatus.SUCCEEDED
    assert row.counts.succeeded == TASKS
    claims = [one.event.why for one in events if isinstance(one.event, e.RunClaimed)]
    assert len(claims) == 1 + KILLS

    found = judge(store, world.calls)
    assert found.wrong == []
    openings = sum(span.openings for span in spans(story(store)))
    assert openings >= 3
    assert len(found.underway) <= openings * (WORKERS - 1)
    assert len(found.probes) >= len(spans(story(store)))

    check_decisions(events, world.calls)
    check_story(store, events)
    assert check(store) == []
    store.close()
    print(
        f"\n{len(world.calls)} calls, {openings} openings, {len(found.probes)} probes, "
        f"{len(found.underway)} underway, 0 wrong; {time.monotonic() - began:.1f} s"
    )


def check_decisions(events, calls):
    """Every fault is followed by a decision with its rule, reason and numbers."""
    faults = [one for one in events if isinstance(one.event, e.AttemptFailed)]
    decided = [one for one in events if isinstance(one.event, e.TaskRetryScheduled)]
    assert len(decided) == len(faults)
    for fault, decision in zip(faults, decided, strict=True):
        assert decision.event.task == fault.event.task
        assert decision.event.rule.startswith("retry up to 50 attempts")
        assert decision.event.reason
        assert dict(decision.event.facts)
    kinds = Counter(one.event.fault.kind for one in faults)
    refused = sum(not call.answered for call in calls)
    assert kinds[FaultKind.ERROR] <= refused
    assert kinds[FaultKind.ERROR] >= refused - KILLS * WORKERS


def check_story(store, events):
    """Each opening names a failure that is in the log; the rows agree with the story."""
    failed = {(one.event.task, one.at) for one in events if isinstance(one.event, e.AttemptFailed)}
    for _, one in story(store):
        if isinstance(one.event, e.BreakerOpened):
            assert (one.event.task, one.at) in failed
            assert one.event.until == one.at + round(COOLDOWN_S * 1e6)
    rows = store.log.outcomes(KEY)
    assert fold(SETTINGS, rows, rows[-1].at).state is CircuitState.CLOSED


def test_control_an_engine_that_does_not_ask_is_caught(world):
    """It tells when the circuit opens, and calls all the same."""
    world.start(90, "leaky")
    assert world.finish() == ["succeeded"]
    store = world.store()
    found = judge(store, world.calls)
    store.close()
    assert len(found.wrong) > 20
