"""The demo does on this machine what the README says: run, be killed half way, go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def dwf(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "durable_wf", *arguments], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_demo_that_is_killed_half_way_finishes_without_repeating_what_was_done(tmp_path):
    done = dwf("demo", "--crash", "--json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["status"] == "succeeded"
    assert told["ran_again"] == 0
    assert told["killed_at"] * 2 >= told["tasks"]
    assert told["tasks"] > told["finished_before_resume"] >= told["killed_at"]
    assert Path(told["report"]).read_text().startswith("<!doctype html>")
    assert len(Path(told["table"]).read_text().splitlines()) > 100

    events = dwf("events", "@last", "--json", folder=tmp_path)
    kinds = [json.loads(line)["kind"] for line in events.stdout.splitlines()]
    assert kinds.count("AttemptSucceeded") == told["tasks"]
    assert kinds.count("RunClaimed") == 2
