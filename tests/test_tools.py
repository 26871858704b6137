"""The tools are sound: budgets are judged as they say, and one version stands everywhere."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
VERSION = re.compile(r'^(?:__version__|VERSION)\b.*= "(.+)"', re.MULTILINE)


def load(name: str):
    """A script of tools/, as a module."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


bench = load("bench")
samples = load("bench_samples")


def test_every_budget_names_a_sample_and_every_sample_has_a_budget():
    assert {budget.sample for budget in bench.BUDGETS} == set(samples.SAMPLES)


@pytest.mark.parametrize(
    ("bounds", "values", "holds"),
    [
        ({"at_least": 2.0}, [1.0, 2.5, 3.0], True),
        ({"at_least": 2.0}, [1.0, 1.5, 3.0], False),
        ({"at_most": 0.1}, [0.05, 0.1, 0.9], True),
        ({"at_most": 0.1}, [0.05, 0.2, 0.9], False),
        ({"at_most": 0.1, "limit": lambda f: 10 * f["x"]}, [0.2, 0.2, 0.2], True),
    ],
)
def test_the_median_is_judged(bounds, values, holds):
    budget = bench.Budget("title", "sample", bench.of("x"), **bounds)
    assert budget.holds([{"x": value} for value in values]) is holds


def test_one_version_stands_everywhere():
    found = {
        match.group(1)
        for path in (ROOT / "durable_wf").glob("*.py*")
        for match in VERSION.finditer(path.read_text())
    }
    assert len(found) == 1, found


@pytest.mark.parametrize("name", ["demo", "test", "check", "bench"])
def test_a_tool_can_be_started_and_its_shell_is_sound(name):
    path = TOOLS / name
    assert path.stat().st_mode & stat.S_IXUSR
    done = subprocess.run(["bash", "-n", path], capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_a_machine_without_a_new_enough_python_is_told_so(tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["/bin/bash", "-c", f'. "{TOOLS}/venv.sh"; prepare_venv test'],
        env={"PATH": str(tmp_path), "DURABLE_WF_VENV": str(tmp_path / "venv"), "HOME": os.devnull},
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Python 3.11" in done.stderr
