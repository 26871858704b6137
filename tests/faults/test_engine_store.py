"""A store that fails under a running engine: full, busy, failed, taken by another, or robbed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
from crash.dying import check_log, check_marks, mark
from engine_rig import DEADLINE_S, Gate, environment, gated, kinds, wait_for
from faults.scale import show

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core import inputs as i
from durable_wf.core.decide import decide
from durable_wf.core.state import row_of
from durable_wf.core.status import RunStatus
from durable_wf.engine.fetching import PayloadCache
from durable_wf.engine.view import load_state, row_or_raise
from durable_wf.errors import DiskFull, StoreBusy, StoreFailed
from durable_wf.store.locks import is_held
from durable_wf.store.opening import open_store
from durable_wf.store.port import Appended, Batch, RunAppend

pytestmark = pytest.mark.faults
RUN = "r"


@attrs.define
class Faulty:
    """In place of a log's `append`: `before` and `after` may raise; the log itself is sound."""

    real: Callable[[Batch], Appended]
    before: Callable[[Batch], None] = lambda _: None
    after: Callable[[Batch], None] = lambda _: None

    def __call__(self, batch: Batch) -> Appended:
        self.before(batch)
        appended = self.real(batch)
        self.after(batch)
        return appended


def install(engine: wf.WorkflowEngine) -> Faulty:
    """Put a faulty `append` under an engine."""
    log: Any = engine._open().store.log
    log.append = faulty = Faulty(log.append)
    return faulty


@attrs.define
class Refusal:
    """Raises an error at each append while it is on, and counts them."""

    error: Exception
    on: bool = False
    met: int = 0

    def __call__(self, batch: Batch) -> None:
        if self.on:
            self.met += 1
            raise self.error


# --- full and busy --------------------------------------------------------------------------------

ERRORS = [DiskFull("no space is left"), StoreBusy("process 7 has kept it locked")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_while_nothing_can_be_written_nothing_starts_and_afterwards_all_goes_on(
    error: Exception, executor: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    marks = tmp_path / "marks"
    gate = Gate(tmp_path / "gate")

    def first(marks: str) -> int:
        mark(marks, "begin")
        gate.pass_through()
        return 1

    def later(marks: str, first: int) -> int:
        mark(marks, "begin")
        return first + 1

    builder = wf.WorkflowBuilder("w").add_task("first", first, parameters={"marks": str(marks)})
    for k in range(10):
        builder.add_task(f"later{k}", later, parameters={"marks": str(marks)}).depends_on("first")
    with wf.WorkflowEngine(tmp_path / "s", executor_type=executor, workers=2) as engine:
        refusal = install(engine).before = Refusal(error)
        handle = engine.submit(builder.build(), run_id=RUN)
        gate.wait_for_one()
        refusal.on = True
        gate.open()
        wait_for(lambda: refusal.met >= 3, "three attempts to commit")
        assert check_marks(tmp_path / "s", RUN, marks) == 1, "only what was announced has begun"
        assert not handle.done()
        refusal.on = False
        result = handle.result(DEADLINE_S)

    assert result.values() == {"first": 1, **{f"later{k}": 2 for k in range(10)}}
    assert kinds(result).count("AttemptStarted") == 11
    assert check_marks(tmp_path / "s", RUN, marks) == 11
    assert str(error) in caplog.text
    assert "can be written again" in caplog.text


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_tasks_that_wait_for_a_pool_wait_out_a_full_disk_too(
    error: Exception, tmp_path: Path
) -> None:
    builder = wf.WorkflowBuilder("w")
    for k in range(4):
        builder.add_task(f"t{k}", lambda k: k, parameters={"k": k}).resources(pools={"db": 1})
    with wf.WorkflowEngine(tmp_path / "s", workers=1, pools={"db": 1}) as engine:
        met = 0

        def refuse(batch: Batch) -> None:
            nonlocal met
            if batch.takes and met < 3:
                met += 1
                raise error

        install(engine).before = refuse
        result = engine.submit(builder.build()).result(DEADLINE_S)

    assert met == 3
    assert result.values() == {f"t{k}": k for k in range(4)}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_engine_can_be_closed_while_nothing_can_be_written(
    error: Exception, tmp_path: Path
) -> None:
    """It says so, keeps no lock, and what it could not write is found out by the next engine."""
    gate = Gate(tmp_path / "gate")
    engine = wf.WorkflowEngine(tmp_path / "s", workers=1, grace_s=1.0)
    refusal = install(engine).before = Refusal(error)
    handle = engine.submit(gated(gate), run_id=RUN)
    gate.wait_for_one()
    refusal.on = True
    gate.open()
    wait_for(lambda: refusal.met)
    engine.close()
    with pytest.raises(type(error)):
        handle.result(DEADLINE_S)
    locks = tmp_path / "s" / "locks"
    assert not any(is_held(locks, name) for name in os.listdir(locks))

    with wf.WorkflowEngine(tmp_path / "s", workers=1) as other:
        assert other.run(gated(gate), run_id=RUN)["second"] == 2
    check_log(tmp_path / "s", RUN)


REALLY_FULL = """
import logging, sys, threading
from pathlib import Path
import durable_wf as wf
from engine_rig import Gate, wait_for

root = Path(sys.argv[1])
gate = Gate(Path(sys.argv[2]) / "gate")
said = []
logging.getLogger("durable_wf.engine").addHandler(logging.Handler())
logging.getLogger("durable_wf.engine").handlers[0].emit = lambda record: said.append(record.msg)

def first():
    gate.pass_through()
    return "x" * 60_000

def huge():
    gate.pass_through()
    return "y" * 1_000_000

builder = wf.WorkflowBuilder("w").add_task("first", first).add_task("huge", huge)
for k in range(20):
    builder.add_task(f"t{k}", lambda first, k: first + str(k), parameters={"k": k})
    builder.depends_on("first")
with wf.WorkflowEngine(root / "store", workers=2) as engine:
    handle = engine.submit(builder.build(), run_id="r")
    wait_for(lambda: gate.came() == 2, "both to come")
    ballast = (root / "ballast").open("wb", buffering=0)
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
    gate.open()
    wait_for(lambda: said, "the engine to say that the disk is full")
    assert not handle.done()
    (root / "ballast").unlink()
    ballast.close()
    result = handle.result(40)
    assert all(result[f"t{k}"] == "x" * 60_000 + str(k) for k in range(20))
    assert result["huge"] == "y" * 1_000_000
    print(len(said), result.status.value)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_disk_that_is_really_full_delays_a_run_and_does_not_break_it(tmp_path: Path) -> None:
    """A file system of 6 MiB in a mount namespace of its own, filled by a file that then goes."""
    script, small = tmp_path / "full.py", tmp_path / "small"
    script.write_text(REALLY_FULL)
    small.mkdir()
    command = (
        f"mount -t tmpfs -o size=6m none {small} && exec {sys.executable} {script} {small} "
        f"{tmp_path}"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", command], env=environment(),
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    if "mount:" in done.stderr or "unshare" in done.stderr:
        pytest.skip("needs Linux that lets root mount a file system")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "succeeded"


# --- failed, and commits of unknown outcome -------------------------------------------------------


class Outcome(Enum):
    """What became of a commit that raised."""

    WRITTEN = "written"
    NOT_WRITTEN = "not written"


def marked_chain(marks: Path) -> wf.Workflow:
    def step(marks: str, k: int) -> int:
        mark(marks, "begin")
        return k

    builder = wf.WorkflowBuilder("w")
    for k in range(4):
        builder.add_task(f"t{k}", step, parameters={"marks": str(marks), "k": k})
        if k:
            builder.after(f"t{k - 1}")
    return builder.build()


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
@pytest.mark.parametrize("outcome", Outcome)
def test_a_commit_of_unknown_outcome_stops_the_engine_and_the_next_one_finishes(
    outcome: Outcome, executor: str, tmp_path: Path
) -> None:
    """At each commit in turn: nothing is acted on, nothing is there twice, nothing runs again."""
    counts: Counter[Outcome] = Counter()
    for number in count(1):
        store, marks = tmp_path / f"{number}", tmp_path / f"{number}.marks"
        engine = wf.WorkflowEngine(store, executor_type=executor, workers=1)
        met = 0

        def fail(_: Batch, number: int = number) -> None:
            nonlocal met
            met += 1
            if met >= number:
                raise StoreFailed("the sync of a commit failed")

        faulty = install(engine)
        setattr(faulty, "after" if outcome is Outcome.WRITTEN else "before", fail)
        handle = None
        try:
            handle = engine.submit(marked_chain(marks), run_id=RUN)
            handle.result(DEADLINE_S)
        except StoreFailed:
            counts[outcome] += 1
            check_marks(store, RUN, marks)
            with pytest.raises(StoreFailed):
                engine.run(marked_chain(marks), run_id=RUN)
            with wf.WorkflowEngine(store, executor_type=executor, workers=1) as other:
                result = other.run(marked_chain(marks), run_id=RUN)
            assert result.values() == {f"t{k}": k for k in range(4)}
            check_log(store, RUN)
            assert check_marks(store, RUN, marks) >= 4
        else:
            break
        finally:
            faulty.after = faulty.before = lambda _: None
            engine.close()
    show(f"engine, {executor}, commit that raised", counts, "failed commits")
    assert counts[outcome] >= 4


# --- taken by another -----------------------------------------------------------------------------


def seize(store: Path, run_id: str) -> None:
    """Append to a run as an engine would that has taken it over."""
    opened = open_store(store)
    try:
        for _ in range(100):  # its engine may write in between
            row = row_or_raise(opened.log, run_id)
            state = load_state(opened.log, run_id)
            decided = decide(state, i.Claim("e-99999999", "resume"), state.at + 1)
            append = RunAppend(row.run, run_id, row.n, decided.events, row_of(state))
            if row.n + 1 == state.n and not opened.log.append(Batch(appends=[append])).conflicts:
                return
        raise AssertionError("its engine was faster each time")
    finally:
        opened.close()


def _is_seizure(event: e.Event) -> bool:
    return isinstance(event, e.RunClaimed) and event.engine == "e-99999999"


def test_a_run_that_another_has_written_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    mine, theirs = Gate(tmp_path / "mine"), Gate(tmp_path / "theirs")
    ended = tmp_path / "ended"

    def task() -> int:
        theirs.pass_through()
        ended.touch()
        return 1

    def side() -> int:
        return 1

    taken = wf.WorkflowBuilder("w").add_task("first", task).add_task("side", side)
    taken.add_task("after", lambda side: side).depends_on("side")
    store = tmp_path / "s"
    with wf.WorkflowEngine(store, workers=3, cpus=3) as engine:
        kept = engine.submit(gated(mine), run_id="kept")
        mine.wait_for_one()
        lost = engine.submit(taken.build(), run_id="lost")
        theirs.wait_for_one()
        seize(store, "lost")
        with suppress(wf.WrongState):  # the side tasks may have met the conflict already
            engine.pause("lost")  # the next that it writes of this run is a conflict
        with pytest.raises(wf.OwnedElsewhere, match="has let go"):
            lost.result(DEADLINE_S)
        again = engine.submit(gated(mine), run_id="again")
        mine.open()
        assert (kept.result(DEADLINE_S)["second"], again.result(DEADLINE_S)["second"]) == (2, 2)
        theirs.open()
        history = engine.history("lost")
    assert not ended.exists(), "its attempt was killed"
    events = [recorded.event for recorded in history]  # type: ignore[union-attr]
    seized = max(n for n, event in enumerate(events) if _is_seizure(event))
    assert not any(isinstance(event, e.AttemptSucceeded) for event in events[seized:])
    for run_id in ("kept", "again", "lost"):
        check_log(store, run_id)


# --- robbed ---------------------------------------------------------------------------------------


@contextmanager
def a_run_at_its_gate(tmp_path: Path, size: int, **options: Any) -> Iterator[tuple[Any, ...]]:
    """`big` has given a result of `size` bytes; `use` needs it and waits for the gate's task."""
    gate = Gate(tmp_path / "gate")

    def wait() -> int:
        gate.pass_through()
        return 1

    workflow = (
        wf.WorkflowBuilder("w")
        .add_task("big", lambda: "b" * size)
        .add_task("wait", wait)
        .after("big")
        .add_task("use", lambda big, wait: len(big) + wait)
        .depends_on("big", "wait")
        .build()
    )
    with wf.WorkflowEngine(tmp_path / "s", **options) as engine:
        handle = engine.submit(workflow, run_id=RUN)
        gate.wait_for_one()
        yield engine, gate, handle, workflow


@pytest.mark.parametrize("damage", ["deleted", "damaged"])
@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_lost_payload_pauses_the_run_and_names_the_task_that_made_it(
    damage: str, executor: str, tmp_path: Path
) -> None:
    def opened(engine: wf.WorkflowEngine) -> list[Path]:
        return [p for p in (tmp_path / "s" / "payloads").rglob("*") if p.is_file()]

    options = {"executor_type": executor, "workers": 2}
    with a_run_at_its_gate(tmp_path, 100_000, **options) as (engine, gate, handle, _):
        (file,) = opened(engine)
        content = file.read_bytes()
        file.chmod(0o600)
        if damage == "deleted":
            file.unlink()
        else:
            file.write_bytes(content[:-1] + b"!")
        gate.open()
        paused = handle.result(DEADLINE_S)
        assert paused.status is RunStatus.PAUSED
        assert "the result of task 'big', which task 'use' needs, is lost" in paused.row.cause
        assert paused["wait"] == 1
        assert "AttemptFailed" not in kinds(paused)

        still = engine.resume(RUN)
        assert still.status is RunStatus.PAUSED, "the control: nothing has changed"
        file.write_bytes(content)
        result = engine.resume(RUN)

    assert result["use"] == 100_001
    check_log(tmp_path / "s", RUN)


def test_a_payload_lost_from_the_table_pauses_the_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PayloadCache, "keep", lambda *_: None)
    with a_run_at_its_gate(tmp_path, 10_000, workers=1) as (engine, gate, handle, _):
        log = engine._open().store.log
        with log.transaction() as connection:
            rows = connection.execute("SELECT digest, data FROM payloads").fetchall()
            (lost,) = [(digest, data) for digest, data in rows if data.startswith(b'"bbb')]
            connection.execute("DELETE FROM payloads WHERE digest = ?", (lost[0],))
        gate.open()
        paused = handle.result(DEADLINE_S)
        assert (paused.status, "'big'" in paused.row.cause) == (RunStatus.PAUSED, True)
        with log.transaction() as connection:
            connection.execute("INSERT INTO payloads (digest, at, data) VALUES (?, 1, ?)", lost)
        result = engine.resume(RUN)

    assert result["use"] == 10_001
    check_log(tmp_path / "s", RUN)


def test_a_task_that_raises_the_same_exception_has_failed(tmp_path: Path) -> None:
    """The control: only a payload that the task was to be given is the store's fault."""

    def fail() -> None:
        raise wf.PayloadMissing("my own business")

    workflow = wf.WorkflowBuilder("w").add_task("fail", fail).build()
    with wf.WorkflowEngine(tmp_path / "s", executor_type="sequential") as engine:
        assert engine.run(workflow, check=False).status is RunStatus.FAILED
