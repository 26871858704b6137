"""Samples of recovery rules: how long they take to be asked about the past.

Owns: a store full of recorded faults, as an engine would have left it, and the backtest over it.
Must never: judge; `bench.py` holds the budgets.
Read next: `bench_samples.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from durable_wf import recovery
from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, Task, Workflow
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch, RunAppend

TASKS = 10
AT = 1_790_000_000_000_000
TRACEBACK = "".join(
    f'  File "etl.py", line {k}, in step_{k}\n    return load(k)\n' for k in range(12)
)


def _events(digest: str) -> Iterator[e.Event]:
    """A run in which each task fails once, and then succeeds."""
    yield e.RunCreated("flaky", digest, TASKS)
    yield e.RunClaimed("e-00000000", "create")
    yield e.RunStarted()
    fault = e.Fault(
        FaultKind.ERROR, "connection refused", "ConnectionError", ("OSError",), TRACEBACK
    )
    for k in range(TASKS):
        name = f"t{k}"
        yield e.AttemptStarted(name, 1, "w-00000000-0", 77, 88)
        yield e.AttemptFailed(name, 1, fault, AT, 1_000)
        yield e.TaskRetryScheduled(name, AT + 2_000_000, "retry", "again in 2 s", "1")
        yield e.TaskWoken(name)
        yield e.AttemptStarted(name, 2, "w-00000000-0", 77, 88)
        yield e.AttemptSucceeded(name, 2, "1", AT, 1_000)
    yield e.RunSucceeded()


def _fill(path: Path, runs: int) -> None:
    tasks = tuple(Task(f"t{k}", FunctionRef("step", "etl")) for k in range(TASKS))
    workflow = Workflow("flaky", tasks)
    text = workflow.to_json().encode()
    events = enumerate(_events(digest_of(text)), 1)
    history = [e.Recorded(n, AT + n, event) for n, event in events]
    row = row_of(replay(RunState.of("r", workflow), history))
    store = open_store(path, create=True)
    payloads = [(digest_of(text), text)]
    for first in range(0, runs, 50):
        names = [f"r{k}" for k in range(first, min(runs, first + 50))]
        appends = [RunAppend(0, name, 0, history, attrs.evolve(row, run_id=name)) for name in names]
        store.log.append(Batch(appends, payloads=payloads))
    store.close()


def backtest(folder: Path, n: int) -> dict[str, float]:
    """Ask a chain of rules about n recorded faults, from opening the store to the sum."""
    _fill(folder / "store", n // TASKS)
    rules = [
        recovery.when(recovery.fail_fast(), exception=PermissionError),
        recovery.retry(3, wait=recovery.jittered("1s", most="5m"), on="OSError", budget=100),
        recovery.fallback(None),
    ]
    start, cpu = time.perf_counter(), time.process_time()
    store = open_store(folder / "store", readonly=True)
    streams = ((row.run_id, store.log.history(row.run)) for row in store.log.rows())
    found = recovery.backtest(rules, streams)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    store.close()
    if found.faults != n or len(found.differences) < 0.9 * n:  # nearly every wait is another one
        raise SystemExit(f"{found.faults} faults, {len(found.differences)} differences, of {n}")
    return {"seconds": took, "cpu_s": cpu, "faults": found.faults, "runs": found.runs}
