"""The sample of an engine that holds very many runs which only wait.

Owns: these runs, and what is measured of the engine: what it takes while nothing comes, and how
late it notices what does.
Must never: judge; `bench.py` holds the budgets.
Read next: `bench_samples.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figures = dict[str, float]

WAITING = """
import durable_wf as wf

def first():
    raise OSError("no such server")

def after():
    return None

asking = (
    wf.WorkflowBuilder("asking")
    .add_task("a", wf.approval("publish?")).add_task("b", after).after("a").build()
)
sleeping = (
    wf.WorkflowBuilder("sleeping")
    .add_task("a", wf.sleep("1d")).add_task("b", after).after("a").build()
)
backing_off = (
    wf.WorkflowBuilder("backing_off")
    .add_task("a", first, retry=wf.retry(3, wait="1d")).add_task("b", after).after("a").build()
)
"""
DAY_US = 86_400_000_000


def waiting(folder: Path, n: int) -> Figures:
    """An engine that has taken over n runs in approval, sleep and back-off: the share of a core
    that it takes, in percent, its memory, and how late it notices: an answer of another process,
    from its sending to its being told, and a timer. Of 20 of each the slowest counts.
    """
    import durable_wf as wf

    script = folder.resolve() / "waiting_runs.py"
    script.write_text(WAITING)
    due_us = time.time_ns() // 1000 + 45_000_000
    add_waiting_runs(folder / "store", script, n, due_us)
    with wf.WorkflowEngine(folder / "store", workers=2) as engine:
        recovering = timed(lambda: engine.recover(wait=0))
        time.sleep(1)
        before = time.process_time()
        time.sleep(5)
        used = time.process_time() - before
        rss = rss_now_kib()
        answers = [answered_in_s(folder / "store", f"asking-{k}") for k in range(20)]
        while time.time_ns() // 1000 < due_us + 500_000:
            time.sleep(0.1)
        late = [woken_after_s(engine, f"sleeping-{k}", due_us) for k in range(20)]
    return {
        "percent": 100 * used / 5,
        "recover_s": recovering,
        "rss_mib": rss / 1024,
        "answer_s": max(answers),
        "late_s": max(late),
    }


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rss_now_kib() -> float:
    """The memory that this process has resident now."""
    status = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in status if line.startswith("VmRSS:")).split()[1])


def answered_in_s(store: Path, run_id: str) -> float:
    """Approve by way of the inbox, as another process does."""
    from durable_wf.core.status import Verdict
    from durable_wf.engine.commands import answer_body
    from durable_wf.engine.control import send
    from durable_wf.store.opening import open_store
    from durable_wf.store.port import Verb

    opened = open_store(store)
    body = answer_body("a", Verdict.APPROVE)
    took = timed(lambda: send(opened, run_id, Verb.ANSWER, "bench", more=body))
    opened.close()
    return took


def woken_after_s(engine: Any, run_id: str, due_us: int) -> float:
    """How long after its time the end of a sleep was recorded."""
    from durable_wf.core import events as e

    (at,) = [r.at for r in engine.history(run_id) if isinstance(r.event, e.TaskCompleted)]
    return (at - due_us) / 1e6


def add_waiting_runs(path: Path, script: Path, n: int, due_us: int) -> None:
    """Runs whose engine is gone while they waited, by way of the log alone: a third each wait for
    an approval, for a sleep to end (20 of them at `due_us`), and for a retry.
    """
    from durable_wf.authoring.targets import load
    from durable_wf.core import events as e
    from durable_wf.core.definition import Workflow
    from durable_wf.core.digests import code_digest, inputs_digest, structure_digest
    from durable_wf.core.events import Fault, Recorded
    from durable_wf.core.evolve import replay as fold
    from durable_wf.core.state import RunState, row_of
    from durable_wf.core.status import FaultKind, WaitKind
    from durable_wf.store.opening import open_store
    from durable_wf.store.payload_files import digest_of
    from durable_wf.store.port import Batch, RunAppend

    now = time.time_ns() // 1000
    broke = e.AttemptFailed("a", 1, Fault(FaultKind.ERROR, "no such server", "OSError"), now, 5)
    store = open_store(path, create=True)

    def add(name: str, count: int, waits: Callable[[int], list[e.Event]]) -> None:
        workflow: Workflow = load(f"{script}:{name}")
        data = workflow.to_json().encode()
        created = e.RunCreated(
            name, digest_of(data), len(workflow.tasks), structure_digest(workflow),
            inputs_digest(workflow), code_digest(workflow), cwd=str(script.parent),
            target=f"{script}:{name}",
        )  # fmt: skip
        begun: list[e.Event] = [created, e.RunClaimed("e-00000000", "create"), e.RunStarted()]
        appends = []
        for k in range(count):
            events = [Recorded(m, now, fact) for m, fact in enumerate([*begun, *waits(k)], 1)]
            state = fold(RunState.of(f"{name}-{k}", workflow), events)
            appends.append(RunAppend(0, state.run_id, 0, events, row_of(state)))
        store.log.append(Batch(appends=appends, payloads=[(digest_of(data), data)]))

    add("asking", n // 3, lambda _: [e.TaskWaiting("a", WaitKind.APPROVAL)])
    add("sleeping", n // 3, lambda k: [
        e.TaskWaiting("a", WaitKind.SLEEP, due_us if k < 20 else now + DAY_US)
    ])  # fmt: skip
    add("backing_off", n - 2 * (n // 3), lambda _: [
        e.AttemptStarted("a", 1, "w-00000000-0", 4711, 123456), broke,
        e.TaskRetryScheduled("a", now + DAY_US, "retry", "attempt 1 of 3 failed"),
    ])  # fmt: skip
    store.close()
