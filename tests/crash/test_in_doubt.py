"""What tasks declare about doubt, with real engines and real workers killed at any time.

The promise is judged by the tasks' own marks and effects: "fail" and "ask" give at most one begin,
a probe at most one effect and in the end exactly one, "rerun" at least one and sometimes two.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from durable_wf.core import events as e
from durable_wf.core.judge import ASK, FAIL, PROBE
from durable_wf.core.status import FaultKind
from tests.crash.dying import check_log, history
from tests.crash.test_engine_deaths import (
    DEADLINE_S,
    check_no_overlap,
    dwf,
    environment,
    lines,
    wait_for,
)
from tests.faults import scale

DOUBTFUL = Path(__file__).with_name("doubtful.py")
RUN = "r"
DEATHS = 50 if scale.TORTURE else 3
TASKS = 6

EACH_POLICY = pytest.mark.parametrize("policy", ["rerun", "fail", "ask", "probe"])
DECLARED = {"fail": FAIL, "ask": ASK, "probe": PROBE, "rerun": ""}
DOUBT = {FaultKind.IN_DOUBT, FaultKind.LOST}


@contextmanager
def doubtful(store: Path, marks: Path, policy: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(DOUBTFUL), str(store), str(marks), RUN, policy],
        env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def begins(marks: Path) -> Counter[str]:
    """How often each task's own function has begun."""
    return Counter(line[1] for line in lines(marks) if line[0] == "begin")


def effects(marks: Path) -> Counter[str]:
    """How often each task has had its effect, by its number."""
    file = marks.with_name(marks.name + ".effects")
    found = file.read_text().splitlines() if file.exists() else []
    return Counter(line.split()[1] for line in found)


def doubts(store: Path) -> dict[str, str]:
    """Tasks that were in doubt, and under which rule that was decided first."""
    found = history(store, RUN)
    assert found is not None
    rules: dict[str, str] = {}
    doubtful: set[str] = set()
    for recorded in found[1]:
        event = recorded.event
        if isinstance(event, e.AttemptFailed) and event.fault.kind in DOUBT:
            doubtful.add(event.task)
        elif getattr(event, "task", "") in doubtful and hasattr(event, "rule"):
            rules.setdefault(event.task, event.rule)
    return rules


def judge(store: Path, marks: Path, policy: str) -> int:
    """What must hold after the kill and all that followed; how many tasks were in doubt."""
    check_log(store, RUN)
    rules = doubts(store)
    if policy != "rerun":
        assert set(rules.values()) <= {DECLARED[policy]}, rules
    match policy:
        case "fail" | "ask":
            assert max(begins(marks).values()) == 1, begins(marks)
        case "probe":
            check_no_overlap(marks)
            assert effects(marks) == Counter(str(k) for k in range(TASKS))
        case _:
            check_no_overlap(marks)
            assert len(begins(marks)) == len(effects(marks)) == TASKS
    return len(rules)


@pytest.mark.slow
@EACH_POLICY
def test_an_engine_killed_at_any_time(policy: str, tmp_path: Path) -> None:
    """The next engine does with what had begun as the task says."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    in_doubt = repeated = 0
    for number in range(DEATHS):
        store, marks = tmp_path / f"s{number}", tmp_path / f"m{number}"
        with doubtful(store, marks, policy) as process:
            after = rng.randrange(1, 2 * TASKS - 2)
            wait_for(lambda m=marks, a=after: len(lines(m)) >= a, f"{after} marks (seed {seed})")
            process.kill()
            process.wait(DEADLINE_S)
        resumed = dwf(store, "resume", RUN)
        in_doubt += judge(store, marks, policy)
        expected = 7 if policy == "ask" and doubts(store) else 0
        assert resumed.returncode == expected, resumed.stderr
        repeated += sum(count > 1 for count in begins(marks).values())
    scale.say(f"{policy}: {DEATHS} engines killed, {in_doubt} in doubt, {repeated} begun twice")
    assert in_doubt > 0
    if policy == "rerun":
        assert repeated > 0, "the positive control: what runs again is seen to begin twice"


@pytest.mark.slow
@EACH_POLICY
def test_workers_killed_at_any_time(policy: str, tmp_path: Path) -> None:
    """The engine lives on; the world outside cannot tell which of the two processes died."""
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    rng = random.Random(seed)
    in_doubt = repeated = 0
    for number in range(DEATHS):
        store, marks = tmp_path / f"s{number}", tmp_path / f"m{number}"
        with doubtful(store, marks, policy) as process:
            killed: set[int] = set()
            while process.poll() is None and len(killed) < 2:
                after = len(lines(marks)) + rng.randrange(1, 4)
                wait_for(
                    lambda p=process, m=marks, a=after: p.poll() is not None or len(lines(m)) >= a,
                    f"{after} marks (seed {seed})",
                )
                pid = next((int(line[4]) for line in reversed(lines(marks))), 0)
                if pid and pid not in killed and process.poll() is None:
                    killed.add(pid)
                    os.kill(pid, signal.SIGKILL)
            out, errors = process.communicate(timeout=DEADLINE_S)
        in_doubt += judge(store, marks, policy)
        waits = policy == "ask" and doubts(store)
        assert out.strip() == ("running" if waits else "succeeded"), errors
        repeated += sum(count > 1 for count in begins(marks).values())
    scale.say(f"{policy}: workers killed, {in_doubt} tasks in doubt, {repeated} begun twice")
    assert in_doubt > 0
    if policy == "rerun":
        assert repeated > 0, "the positive control: what runs again is seen to begin twice"
