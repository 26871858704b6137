"""What a new engine makes of a dead one's attempts; and workers that die under a living engine."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, Gate, finish, gated, kinds, run_python, script, wait_for
from faults.scale import TORTURE, show

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import FaultKind, RunStatus
from durable_wf.engine import claiming
from durable_wf.execute import processes
from durable_wf.execute.mark import BegunMark, path_of
from durable_wf.store.locks import is_held
from durable_wf.store.opening import open_store

pytestmark = pytest.mark.faults
RUN = "r"

QUEUE = """
import sys, time
from pathlib import Path
import durable_wf as wf

folder, tiny = Path(sys.argv[2]), int(sys.argv[3])

def slow():
    (folder / "came").touch()
    while not (folder / "go").exists():
        if (folder / "hold the interpreter").exists():
            pow((1 << 300_000) - 1, 4)  # nobody else has a turn meanwhile
    return -1

def quick(k):
    if k == tiny // 2 and not (folder / "go").exists():
        return slow()
    return k

builder = wf.WorkflowBuilder("w")
for k in range(tiny):
    builder.add_task(f"t{k}", quick, parameters={"k": k})
result = wf.WorkflowEngine(sys.argv[1], workers=1).run(builder.build(), run_id="r")
print(sum(value for value in result.values().values() if value >= 0))
"""


def events(store: Path, run_id: str = RUN) -> list[Any]:
    """The events of a run."""
    opened = open_store(store, readonly=True)
    try:
        row = opened.log.row(run_id)
        assert row is not None
        return [recorded.event for recorded in opened.log.history(row.run)]
    finally:
        opened.close()


def open_attempts(store: Path) -> set[str]:
    """Tasks whose attempt was announced and has no outcome."""
    found: set[str] = set()
    for event in events(store):
        match event:
            case e.AttemptStarted(task=task):
                found.add(task)
            case e.AttemptSucceeded(task=task) | e.AttemptReturned(task=task):
                found.discard(task)
            case e.AttemptFailed(task=task):
                found.discard(task)
    return found


def killed_with_a_queue(tmp_path: Path) -> tuple[Path, set[str]]:
    """A store whose engine died while tiny tasks stood behind one that never ended.

    Whether some stood there is a matter of the recall's timing, so it is tried again until so.
    """
    for number in range(20):
        folder = tmp_path / f"{number}"
        folder.mkdir()
        (folder / "hold the interpreter").touch()
        with script(folder, QUEUE, folder / "s", folder, 400) as process:
            wait_for((folder / "came").exists)
            process.kill()
            finish(process)
        (folder / "go").touch()
        if len(left := open_attempts(folder / "s")) > 1:
            return folder, left
    raise AssertionError("no engine died with a queue")


def resume(folder: Path) -> None:
    """Run the script again, as its user would."""
    again = run_python(folder / "script.py", folder / "s", folder, 400)
    assert again.returncode == 0, again.stderr
    assert int(again.stdout) == sum(range(400))


def test_tasks_that_were_queued_and_never_began_are_returned_uncounted(tmp_path: Path) -> None:
    folder, left = killed_with_a_queue(tmp_path)
    resume(folder)

    seen = events(folder / "s")
    returned = {event.task for event in seen if isinstance(event, e.AttemptReturned)}
    in_doubt = [
        event.task
        for event in seen
        if isinstance(event, e.AttemptFailed) and event.fault.kind is FaultKind.IN_DOUBT
    ]
    assert "t200" in in_doubt, "the one that ran"
    assert all(int(task[1:]) <= 200 for task in in_doubt), "what follows it had not begun"
    assert returned == left - set(in_doubt)
    assert returned
    numbers = {event.task: event.attempt for event in seen if isinstance(event, e.AttemptSucceeded)}
    assert {task for task, n in numbers.items() if n != 1} == set(in_doubt)
    check_log(folder / "s", RUN)


def test_after_a_reboot_marks_say_nothing_and_all_open_attempts_are_in_doubt(
    tmp_path: Path,
) -> None:
    folder, left = killed_with_a_queue(tmp_path)
    locks = folder / "s" / "locks"
    changed = 0
    for path in locks.glob("*.begun"):
        mark = BegunMark(path_of(locks, path.stem), create=False)
        mark.words[3] += 1  # made in another boot
        mark.close()
        changed += 1
    assert changed
    resume(folder)

    in_doubt = {
        event.task
        for event in events(folder / "s")
        if isinstance(event, e.AttemptFailed) and event.fault.kind is FaultKind.IN_DOUBT
    }
    assert in_doubt == left
    check_log(folder / "s", RUN)


CRASHING = """
import os, signal, sys
import durable_wf as wf
from durable_wf.execute.sequential import SequentialExecutor

if len(sys.argv) > 2:
    SequentialExecutor.start = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
builder = wf.WorkflowBuilder("w").add_task("one", lambda: 1)
engine = wf.WorkflowEngine(sys.argv[1], executor_type="sequential")
print(engine.run(builder.build(), run_id="r")["one"])
"""


def test_announced_and_killed_before_it_was_handed_over_it_is_returned(tmp_path: Path) -> None:
    store = tmp_path / "s"
    assert run_python("-c", CRASHING, store, "die").returncode == -signal.SIGKILL
    assert open_attempts(store) == {"one"}
    assert run_python("-c", CRASHING, store).stdout == "1\n"

    seen = [type(event).__name__ for event in events(store)]
    assert seen.count("AttemptReturned") == 1
    assert "AttemptFailed" not in seen


# --- an old worker that will not die --------------------------------------------------------------

HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_an_old_worker_that_will_not_die_pauses_the_run_until_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper holds the dead worker's lock, and cannot be killed by this engine."""
    text = """
    import sys
    from pathlib import Path
    import durable_wf as wf
    from engine_rig import Gate, gated
    wf.WorkflowEngine(sys.argv[1], workers=1).run(gated(Gate(Path(sys.argv[2]))), run_id="r")
    """
    gate, store = Gate(tmp_path / "gate"), tmp_path / "s"
    with script(tmp_path, text, store, gate.path) as process:
        gate.wait_for_one()
        process.kill()
        finish(process)
    (started,) = [event for event in events(store) if isinstance(event, e.AttemptStarted)]
    wait_for(lambda: not is_held(store / "locks", started.worker))
    monkeypatch.setattr(claiming, "CLEARING_S", 0.3)
    monkeypatch.setattr(processes, "lock_holders", lambda *_, **__: [])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(store / "locks" / started.worker)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        gate.open()
        with wf.WorkflowEngine(store, workers=1) as engine:
            paused = engine.run(gated(gate), run_id=RUN)
            assert paused.status is RunStatus.PAUSED
            assert "old worker alive" in paused.row.cause
            assert started.worker in paused.row.cause
            assert engine.recover() == [], "a paused run is not recovered"
            assert engine.run(gated(gate), run_id=RUN).status is RunStatus.PAUSED, "it still lives"
            holder.communicate(timeout=DEADLINE_S)
            result = engine.run(gated(gate), run_id=RUN)
    finally:
        if holder.poll() is None:
            holder.kill()
            holder.communicate(timeout=DEADLINE_S)

    assert result["second"] == 2
    assert kinds(result).count("AttemptStarted") == 3
    check_log(store, RUN)


def test_recovery_does_not_resume_a_paused_run(tmp_path: Path) -> None:
    gate, store = Gate(tmp_path / "gate"), tmp_path / "s"
    with wf.WorkflowEngine(store, workers=1) as engine:
        handle = engine.submit(gated(gate), run_id=RUN)
        gate.wait_for_one()
        engine.pause(RUN)
        gate.open()
        handle.result(DEADLINE_S)
    before = events(store)
    with wf.WorkflowEngine(store, workers=1) as engine:
        assert engine.recover() == []

    assert events(store) == before


# --- workers that die -----------------------------------------------------------------------------


class End(Enum):
    """How attempts ended."""

    DONE = "done"
    LOST = "lost"
    RETURNED = "returned"


KILLS = 100 if TORTURE else 30


def _optional_tasks(marks: Path, tasks: int) -> wf.Workflow:
    """Optional tasks of some milliseconds, each leaving a mark."""

    def work(k: int) -> int:
        fd = os.open(marks, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(fd, f"{wf.current().task} {wf.current().attempt}\n".encode())
        os.close(fd)
        threading.Event().wait(0.002 * (k % 7))
        return k

    builder = wf.WorkflowBuilder("w")
    for k in range(tasks):
        builder.add_task(f"t{k}", work, parameters={"k": k}).optional()
    return builder.build()


def test_workers_killed_under_an_engine_cost_only_the_attempts_that_had_begun(
    tmp_path: Path,
) -> None:
    """300 optional tasks of some milliseconds; a random worker is killed again and again."""
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    print(f"seed {seed}")
    marks = tmp_path / "marks"
    tasks = 300 if not TORTURE else 1000
    kills = 0
    with wf.WorkflowEngine(tmp_path / "s", workers=2) as engine:
        gate, warm = Gate(tmp_path / "gate"), wf.WorkflowBuilder("warm")
        for k in range(2):
            warm.add_task(f"up{k}", gate.pass_through)
        warming = engine.submit(warm.build())
        wait_for(lambda: gate.came() == 2, "two workers at work")
        gate.open()
        warming.result(DEADLINE_S)
        session = engine._sessions.current
        assert session is not None
        executor: Any = session.loop.executors()["parallel"]
        assert len(executor._workers) == 2
        fds = _open_files()
        handle = engine.submit(_optional_tasks(marks, tasks), run_id=RUN)
        while not handle.done() and kills < KILLS:
            ready = [w.pid for w in list(executor._workers.values()) if w.mark is not None]
            busy = [w.pid for w in list(executor._workers.values()) if w.queue]
            if ready and busy:
                with contextlib.suppress(ProcessLookupError):  # it may just be gone
                    os.kill(rng.choice(ready), signal.SIGKILL)
                    kills += 1
                wait_for(lambda n=kills: handle.done() or _begun(marks) >= min(tasks, 2 * n))
        result = handle.result(DEADLINE_S)
        assert result.status is RunStatus.SUCCEEDED
        wait_for(lambda: _open_files() <= fds, "descriptors of dead workers to be closed")

    counts = Counter(
        {
            e.AttemptSucceeded: End.DONE,
            e.AttemptFailed: End.LOST,
            e.AttemptReturned: End.RETURNED,
        }[type(event)]
        for event in events(tmp_path / "s")
        if isinstance(event, e.AttemptSucceeded | e.AttemptFailed | e.AttemptReturned)
    )
    show(f"{kills} workers killed under an engine", counts, "attempts")
    assert kills >= 10
    assert counts[End.LOST] <= kills
    assert counts[End.LOST] + counts[End.DONE] == tasks
    assert counts[End.LOST] > 0
    lost = [ev for ev in events(tmp_path / "s") if isinstance(ev, e.AttemptFailed)]
    assert {ev.fault.kind for ev in lost} == {FaultKind.LOST}
    done = {ev.task for ev in events(tmp_path / "s") if isinstance(ev, e.AttemptSucceeded)}
    assert not done & {ev.task for ev in lost}
    ran = Counter(marks.read_text().splitlines())
    assert max(ran.values()) == 1, "an attempt that came back unbegun had not begun"
    assert sum(result.values().values()) == sum(
        k for k in range(tasks) if f"t{k}" not in result.failures()
    )
    assert os.listdir(tmp_path / "s" / "locks") == ["writer"]
    check_log(tmp_path / "s", RUN)


def _begun(marks: Path) -> int:
    return len(marks.read_text().splitlines()) if marks.exists() else 0


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
