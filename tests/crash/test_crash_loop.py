"""A run that kills every engine is paused with the cause, and the others go on.

Real engines, real workers; the guilty run is recovered together with innocent ones whose tasks take
longer than any of these engines lives beside it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from durable_wf.core import events as e
from tests.crash.dying import check_log, history
from tests.crash.test_engine_deaths import DEADLINE_S, dwf, environment
from tests.faults import scale

LOOPING = Path(__file__).with_name("looping.py")
INNOCENT = [f"innocent-{k}" for k in range(3)]


def engine(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One engine, until it has nothing left to do or is killed."""
    return subprocess.run(
        [sys.executable, str(LOOPING), str(tmp_path / "s"), str(tmp_path), *words],
        env=environment(), text=True, capture_output=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip


def begins(tmp_path: Path, run_id: str) -> Counter[str]:
    """How often each task of a run has begun."""
    lines = [line.split() for line in (tmp_path / "marks").read_text().splitlines()]
    return Counter(task for word, run, task, _ in lines if (word, run) == ("begin", run_id))


def crashes_of(tmp_path: Path, run_id: str) -> list[str]:
    """What its history says of pauses."""
    found = history(tmp_path / "s", run_id)
    assert found is not None
    return [one.event.cause for one in found[1] if isinstance(one.event, e.RunPaused)]


@pytest.mark.slow
def test_the_guilty_run_is_paused_after_three_engines_and_the_innocent_ones_finish(
    tmp_path: Path,
) -> None:
    ends = [engine(tmp_path)]
    assert ends[0].returncode == -signal.SIGKILL, ends[0].stderr
    while ends[-1].returncode == -signal.SIGKILL and len(ends) < 10:
        ends.append(engine(tmp_path, "recover"))

    last = ends[-1]
    assert last.returncode == 0, last.stderr
    deaths = len(ends) - 1
    scale.say(f"engines killed until the guilty run was paused: {deaths}")
    cause = "crash loop: 3 engines in a row have died while it ran (last: kills)"
    assert crashes_of(tmp_path, "guilty") == [cause]
    assert begins(tmp_path, "guilty") == {"good": 1, "kills": 3}
    assert deaths == 3, "each engine that died was killed by it, and none died twice for a suspect"
    store = tmp_path / "s"
    for run_id in INNOCENT:
        assert crashes_of(tmp_path, run_id) == []
        check_log(store, run_id)
        assert "succeeded" in dwf(store, "show", run_id).stdout
    check_log(store, "guilty")
    shown = dwf(store, "show", "guilty").stdout
    assert cause in shown
    assert "dwf resume guilty" in shown
    listed = dwf(store, "list").stdout
    assert "PAUSED FOR" in listed
    assert cause in listed


@pytest.mark.slow
def test_a_person_resumes_it_and_progress_forgives(tmp_path: Path) -> None:
    """A resume counts anew; when its cause is cured, the run ends well."""
    assert engine(tmp_path, "guilty").returncode == -signal.SIGKILL
    while (end := engine(tmp_path, "recover")).returncode == -signal.SIGKILL:
        pass
    assert end.stdout.startswith("guilty paused crash loop: 3 engines"), end.stderr
    assert "to go on: dwf resume guilty" in end.stderr
    store = tmp_path / "s"
    assert engine(tmp_path, "recover").stdout == "", "what is paused is not recovered"

    (tmp_path / "cured").touch()
    resumed = dwf(store, "resume", "guilty")
    assert resumed.returncode == 0, resumed.stderr
    check_log(store, "guilty")


@pytest.mark.slow
def test_a_script_that_is_started_again_and_again_comes_to_rest(tmp_path: Path) -> None:
    """As a service manager would: `run` with the same id does not resume what loops."""
    ends = [engine(tmp_path, "guilty") for _ in range(5)]
    codes = [end.returncode for end in ends]
    assert codes == [-signal.SIGKILL] * 3 + [0, 0], ends[-1].stderr
    assert [end.stdout.split()[:2] for end in ends[3:]] == [["guilty", "paused"]] * 2
    assert begins(tmp_path, "guilty")["kills"] == 3
