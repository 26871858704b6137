"""One sample of each figure that `tools/bench` reports, each in a process of its own.

Owns: what is measured and against what. `python tools/bench_samples.py NAME FOLDER [N]` prints one
JSON object of plain numbers; what it is judged against is measured right after, in the same process
and on the same disk.
Must never: judge; `bench.py` holds the budgets.
Read next: `bench.py`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

Figures = dict[str, float]
LIMIT_S = 600.0
ROOT = Path(__file__).resolve().parent.parent


def noop() -> None:
    """The smallest task."""


def step(x: int) -> int:
    """The smallest link of a chain."""
    return x


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def rss_kib() -> float:
    """The most memory that this process has had resident since its exec (`ru_maxrss` would
    start with what the process that started this one had).
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return float(found[0].split()[1])
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def raw_database(folder: Path) -> sqlite3.Connection:
    """A bare SQLite database with the durability of a store."""
    folder.mkdir(parents=True, exist_ok=True)
    raw = sqlite3.connect(folder / "raw.db", isolation_level=None)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("PRAGMA synchronous=FULL")
    raw.execute("CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, body TEXT NOT NULL)")
    return raw


def raw_commits_per_s(folder: Path, n: int = 500) -> float:
    """One-row commits a second, as durable as ours. Taken before and after what is compared with
    it, since disks have moods.
    """
    raw = raw_database(folder)
    body = "x" * 200

    def work() -> None:
        for _ in range(n):
            raw.execute("BEGIN IMMEDIATE")
            raw.execute("INSERT INTO t (body) VALUES (?)", (body,))
            raw.execute("COMMIT")

    rate = n / timed(work)
    raw.close()
    return rate


def raw_rows_per_s(folder: Path, rows: Sequence[tuple[object, ...]], batch: int) -> float:
    """Rows a second by bare executemany of the same rows into a table of the same shape."""
    raw = raw_database(folder)
    raw.execute(
        "CREATE TABLE events (seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, n INTEGER NOT NULL,"
        " at INTEGER NOT NULL, kind TEXT NOT NULL, task TEXT NOT NULL, attempt INTEGER NOT NULL,"
        " body TEXT NOT NULL, hash BLOB NOT NULL, UNIQUE (run, n)) STRICT"
    )

    def work() -> None:
        for at in range(0, len(rows), batch):
            raw.execute("BEGIN IMMEDIATE")
            raw.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?)", rows[at : at + batch])
            raw.execute("COMMIT")

    rate = len(rows) / timed(work)
    raw.close()
    return rate


# --- tasks --------------------------------------------------------------------------------------


def fan_out(folder: Path, n: int) -> Figures:
    """n independent tasks in two workers, against a bare pool of two.

    From the call of `run` to its return, so writing the definition and three digests counts;
    building the workflow and starting the workers do not, here and there alike.
    """
    import durable_wf as wf

    before = rss_kib()
    builder = wf.WorkflowBuilder("fan_out")
    for i in range(n):
        builder.add_task(f"t{i}", noop)
    workflow = builder.build()
    warm = wf.WorkflowBuilder("warm").add_task("a", noop).add_task("b", noop).build()
    with wf.WorkflowEngine(folder / "store", workers=2, cpus=2) as engine:
        engine.run(warm, executor_type="parallel")
        took = timed(lambda: engine.run(workflow, executor_type="parallel", run_id="fan"))
        memory = rss_kib() - before
    return {
        "tasks_per_s": n / took,
        "kib_per_task": memory / n,
        "bytes_per_task": event_bytes(folder / "store" / "log.db") / n,
        **in_its_own_process("pool", folder, 10_000),
    }


def pool(_: Path, n: int) -> Figures:
    """The same with ProcessPoolExecutor.submit, which keeps nothing."""
    with ProcessPoolExecutor(2) as executor:
        wait([executor.submit(noop) for _ in range(4)], timeout=LIMIT_S)
        took = timed(lambda: wait([executor.submit(noop) for _ in range(n)], timeout=LIMIT_S))
    return {"pool_tasks_per_s": n / took}


def in_its_own_process(sample: str, folder: Path, n: int) -> Figures:
    """A sample that shall not inherit this process's memory."""
    command = [sys.executable, __file__, sample, str(folder), str(n)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    figures: Figures = json.loads(done.stdout)
    return figures


def event_bytes(path: Path) -> float:
    """Bytes on disk of the table of events with its index."""
    log = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    query = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('events', 'sqlite_autoindex_events_1')"
    size: int = log.execute(query).fetchone()[0]
    log.close()
    return float(size)


def chain(folder: Path, n: int) -> Figures:
    """n steps, one after the other, in this process, against one-row commits."""
    import durable_wf as wf

    builder = wf.WorkflowBuilder("chain").add_task("s0", step, parameters={"x": 0})
    for i in range(1, n):
        builder.add_task(f"s{i}", step).depends_on(f"s{i - 1}")
    workflow = builder.build()
    before = raw_commits_per_s(folder)
    with wf.WorkflowEngine(folder / "store", executor_type="sequential") as engine:
        took = timed(lambda: engine.run(workflow))
    after = raw_commits_per_s(folder)
    return {"steps_per_s": n / took, "commits_per_s": (before + after) / 2}


def runs(folder: Path, n: int) -> Figures:
    """n runs of 5 steps, in this process, against one-row commits: all submitted and then waited
    for, as the budget means it, and one after the other.
    """
    import durable_wf as wf

    builder = wf.WorkflowBuilder("five").add_task("s0", step, parameters={"x": 0})
    for i in range(1, 5):
        builder.add_task(f"s{i}", step).depends_on(f"s{i - 1}")
    workflow = builder.build()
    before = raw_commits_per_s(folder)
    with wf.WorkflowEngine(folder / "store", executor_type="sequential") as engine:
        engine.run(workflow)
        one_by_one = timed(lambda: [engine.run(workflow) for _ in range(n)])

        def submit_all() -> None:
            for handle in [engine.submit(workflow) for _ in range(n)]:
                handle.result(LIMIT_S)

        together = timed(submit_all)
    after = raw_commits_per_s(folder)
    return {
        "runs_per_s": n / together,
        "one_by_one_per_s": n / one_by_one,
        "commits_per_s": (before + after) / 2,
    }


# --- store --------------------------------------------------------------------------------------


def append(folder: Path, n: int) -> Figures:
    """n events in batches of 100, against executemany of the same rows."""
    from durable_wf.core import events as e
    from durable_wf.core.events import Recorded
    from durable_wf.core.status import RunStatus
    from durable_wf.core.summary import Counts, RunRow
    from durable_wf.store.opening import open_store
    from durable_wf.store.port import Batch, RunAppend

    at = time.time_ns() // 1000
    store = open_store(folder / "store", create=True)
    row = RunRow("r", "w", RunStatus.RUNNING, 1, n, Counts(pending=n), at)
    created = Recorded(1, at, e.RunCreated("w", "00" * 16, n))
    store.log.append(Batch(appends=[RunAppend(0, "r", 0, [created], row)]))
    run = store.log.rows()[0].run
    pairs: list[Recorded] = []
    for i in range(n // 2):
        begun = e.AttemptStarted(f"t{i}", 1, "w-12345678-1", 4711, 123456)
        pairs.append(Recorded(2 * i + 2, at, begun))
        pairs.append(Recorded(2 * i + 3, at, e.AttemptSucceeded(f"t{i}", 1, "null", at, 12, 11)))

    def work() -> None:
        for k in range(0, n, 100):
            part = pairs[k : k + 100]
            store.log.append(Batch(appends=[RunAppend(run, "r", k + 1, part, row)]))

    took = timed(work)
    rows = [
        (None, s.run, s.n, s.at, s.kind, s.task, s.attempt, s.body, s.hash)
        for s in store.log.stored(run)
    ]
    store.close()
    return {"events_per_s": n / took, "rows_per_s": raw_rows_per_s(folder, rows, 100)}


def replay(folder: Path, n: int) -> Figures:
    """Reading a run of n tasks back: events a second, and seconds until it is ready."""
    import durable_wf as wf
    from durable_wf.core.evolve import replay as fold
    from durable_wf.core.state import RunState
    from durable_wf.engine.view import load_definition, load_state
    from durable_wf.store.opening import open_store

    builder = wf.WorkflowBuilder("fan_out")
    for i in range(n):
        builder.add_task(f"t{i}", noop)
    with wf.WorkflowEngine(folder / "store", workers=2, cpus=2) as engine:
        engine.run(builder.build(), executor_type="parallel", run_id="fan")
    store = open_store(folder / "store", readonly=True)
    row = store.log.rows()[0]
    ready = timed(lambda: load_state(store.log, "fan"))
    fresh = RunState.of("fan", load_definition(store.log, row))
    folding = timed(lambda: fold(fresh, store.log.history(row.run)))
    store.close()
    return {"events_per_s": row.n / folding, "ready_s": ready, "n": row.n}


def backtest(folder: Path, n: int) -> Figures:
    """Seconds until rules have been asked about n recorded faults."""
    import bench_rules

    return bench_rules.backtest(folder, n)


# --- starts -------------------------------------------------------------------------------------


def start(*command: str, folder: Path | None = None) -> float:
    """Seconds from exec to exit of a Python process."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def work() -> None:
        subprocess.run(
            [sys.executable, *command], check=True, capture_output=True, timeout=60,
            cwd=folder or ROOT, env=environment,
        )  # fmt: skip

    return timed(work)


def imports(folder: Path, _n: int) -> Figures:
    """A bare Python, the package, and two commands."""
    return {
        "python_s": start("-c", "pass"),
        "import_s": start("-c", "import durable_wf"),
        "import_engine_s": start(
            "-c", "import durable_wf as wf; wf.WorkflowBuilder; wf.WorkflowEngine"
        ),
        "help_s": start("-m", "durable_wf", "--help"),
        "list_s": start("-m", "durable_wf", "--store", str(one_run_store(folder)), "list"),
    }


def one_run_store(folder: Path) -> Path:
    """A store with one run."""
    start("-c", FIRST.format(kind="sequential", store=str(folder / "listed")))
    return folder / "listed"


FIRST = """
import durable_wf as wf
def noop(): return None
workflow = wf.WorkflowBuilder("first").add_task("a", noop).build()
with wf.WorkflowEngine({store!r}, executor_type={kind!r}, workers=2) as engine:
    assert engine.run(workflow)["a"] is None
"""

FORKSERVER = """
import multiprocessing as m
if __name__ == "__main__":
    p = m.get_context("forkserver").Process(target=print)
    p.start(); p.join(20)
"""


def first_run(folder: Path, _n: int) -> Figures:
    """From exec to exit of a script with one task in a new store."""
    script = folder / "forkserver.py"
    script.write_text(FORKSERVER)
    return {
        "python_s": start("-c", "pass"),
        "forkserver_s": start(str(script)),
        "sequential_s": start("-c", FIRST.format(kind="sequential", store=str(folder / "s"))),
        "parallel_s": start("-c", FIRST.format(kind="parallel", store=str(folder / "p"))),
    }


# --- kill and resume ----------------------------------------------------------------------------

KILLED = """
import time
import durable_wf as wf
def slow(x):
    time.sleep(0.02)
    return x
builder = wf.WorkflowBuilder("killed")
for i in range({n}):
    builder.add_task(f"t{{i}}", slow, parameters={{"x": i}})
wf.WorkflowEngine({store!r}, workers=2).run(builder.build(), run_id="killed")
"""


def resume(folder: Path, n: int) -> Figures:
    """Kill an engine half way; seconds from exec of the resuming process to its first attempt."""
    from durable_wf.core import events as e
    from durable_wf.store.opening import open_store

    script = folder / "killed.py"
    text = KILLED.format(store=str(folder / "store"), n=n)
    script.write_text(text)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    engine = subprocess.Popen([sys.executable, str(script)], env=environment)
    wait_for_half(folder / "store" / "log.db", n)
    engine.send_signal(signal.SIGKILL)
    engine.wait(timeout=20)
    began_at = time.time_ns() // 1000
    start("-m", "durable_wf", "--store", str(folder / "store"), "resume", "killed", folder=folder)
    store = open_store(folder / "store", readonly=True)
    history = list(store.log.history(store.log.rows()[0].run))
    store.close()
    done: set[str] = set()
    again = 0
    for recorded in history:
        match recorded.event:
            case e.AttemptSucceeded(task=task):
                done.add(task)
            case e.AttemptStarted(task=task) if task in done:
                again += 1
    first = min(r.at for r in history if isinstance(r.event, e.AttemptStarted) and r.at > began_at)
    return {"first_attempt_s": (first - began_at) / 1e6, "ran_again": again, "done": len(done)}


def wait_for_half(path: Path, n: int) -> None:
    """Wait until half of the tasks have succeeded."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            log = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)
            (done,) = log.execute("SELECT max(succeeded) FROM runs").fetchone()
            log.close()
            if (done or 0) >= n // 2:
                return
        except sqlite3.OperationalError:
            pass
        time.sleep(0.01)
    raise TimeoutError("the engine did not get half way in 60 s")


def small_run(folder: Path, _n: int) -> Figures:
    """Memory of the engine of a small run in worker processes."""
    import durable_wf as wf

    builder = wf.WorkflowBuilder("small")
    for i in range(20):
        builder.add_task(f"t{i}", noop)
    with wf.WorkflowEngine(folder / "store", workers=2) as engine:
        engine.run(builder.build(), executor_type="parallel")
    return {"rss_mib": rss_kib() / 1024}


def idle(folder: Path, n: int) -> Figures:
    """Share of a core that an engine takes in a store with n paused runs of 100 tasks, in percent,
    after it has looked for runs to recover.
    """
    import durable_wf as wf

    builder = wf.WorkflowBuilder("paused")
    for i in range(100):
        builder.add_task(f"t{i}", noop)
    add_paused_runs(folder / "store", builder.build(), n)
    workflow = wf.WorkflowBuilder("idle").add_task("a", noop).build()
    with wf.WorkflowEngine(folder / "store", workers=2) as engine:
        recovering = timed(engine.recover)
        engine.submit(workflow).result(timeout_s=30)
        time.sleep(0.5)
        before = time.process_time()
        time.sleep(3)
        used = time.process_time() - before
    return {"percent": 100 * used / 3, "recover_s": recovering, "rss_mib": rss_kib() / 1024}


def add_paused_runs(path: Path, workflow: Any, n: int) -> None:
    """Runs that somebody has paused and whose engine is gone, by way of the log alone."""
    from durable_wf.core import events as e
    from durable_wf.core.events import Recorded
    from durable_wf.core.evolve import replay as fold
    from durable_wf.core.state import RunState, row_of
    from durable_wf.store.opening import open_store
    from durable_wf.store.payload_files import digest_of
    from durable_wf.store.port import Batch, RunAppend

    at = time.time_ns() // 1000
    data = workflow.to_json().encode()
    facts: list[e.RunEvent] = [
        e.RunCreated(workflow.name, digest_of(data), len(workflow.tasks)),
        e.RunClaimed("e-00000000", "create"),
        e.RunStarted(),
        e.RunPaused("somebody"),
        e.RunReleased("e-00000000", "the engine was closed"),
    ]
    events = [Recorded(k, at, fact) for k, fact in enumerate(facts, 1)]
    store = open_store(path, create=True)
    appends = []
    for k in range(n):
        state = fold(RunState.of(f"paused-{k}", workflow), events)
        appends.append(RunAppend(0, state.run_id, 0, events, row_of(state)))
    store.log.append(Batch(appends=appends, payloads=[(digest_of(data), data)]))
    store.close()


def waiting(folder: Path, n: int) -> Figures:
    """An engine with n runs that wait."""
    import bench_waiting

    return bench_waiting.waiting(folder, n)


SAMPLES: dict[str, tuple[Callable[[Path, int], Figures], int]] = {
    "fan_out": (fan_out, 10_000),
    "fan_out_large": (fan_out, 100_000),
    "chain": (chain, 1_000),
    "runs": (runs, 500),
    "append": (append, 50_000),
    "replay": (replay, 50_000),
    "backtest": (backtest, 10_000),
    "imports": (imports, 0),
    "first_run": (first_run, 0),
    "resume": (resume, 200),
    "small_run": (small_run, 0),
    "idle": (idle, 10_000),
    "waiting": (waiting, 10_000),
}
"""Name -> what to run, and how many of them."""

REFERENCES = {"pool": (pool, 10_000)}
"""What samples are compared with, where it needs a process of its own."""


if __name__ == "__main__":
    sample, size = (SAMPLES | REFERENCES)[sys.argv[1]]
    if len(sys.argv) > 3:
        size = int(sys.argv[3])
    print(json.dumps(sample(Path(sys.argv[2]), size)))
