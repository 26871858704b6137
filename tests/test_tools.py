"""The tools are sound: budgets are judged as they say, and one version stands everywhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
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


# --- what is tried again --------------------------------------------------------------------------

SUITE = """
from pathlib import Path
import pytest

def times(name):
    with (Path(__file__).parent / name).open("a") as file:
        file.write("x")
    return len((Path(__file__).parent / name).read_text())

def test_sound():
    assert times("sound") == 1

@pytest.mark.parametrize("case", {cases})
def test_flaky(case):
    assert times(f"flaky-{{case}}") > 1

{more}
"""


@pytest.fixture
def ci(tmp_path):
    """Runs `.ci/run` on a suite of its own; returns what it printed and its exit code."""
    for name in (".ci/run", "tools/second_try.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "tools" / "venv.sh").write_text(f"py={shlex.quote(sys.executable)}\n")
    tool = tmp_path / "tools" / "test"
    tool.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pytest -q "$@"\n')
    tool.chmod(0o755)

    def run(cases, more=""):
        (tmp_path / "test_suite.py").write_text(SUITE.format(cases=cases, more=more))
        done = subprocess.run(
            [tmp_path / ".ci" / "run"], capture_output=True, text=True, timeout=50, check=False
        )
        return done.stdout, done.returncode

    return run


def test_what_passes_only_at_the_second_try_is_named_at_the_end(ci):
    out, code = ci(["a", "b"])
    assert code == 0, out
    told = [
        "2 tests passed only at the second try:",
        *(f"  test_suite.py::test_flaky[{c}]" for c in "ab"),
    ]
    assert out.splitlines()[-3:] == told


def test_what_fails_twice_fails_and_is_not_called_a_flake(ci):
    out, code = ci(["a"], "def test_broken():\n    assert False")
    assert code == 1, out
    assert out.splitlines()[-2:] == [
        "1 test passed only at the second try:", "  test_suite.py::test_flaky[a]",
    ]  # fmt: skip


def test_when_all_pass_nothing_is_tried_again(ci):
    out, code = ci([])
    assert code == 0, out
    assert "second try" not in out


def test_tests_that_could_not_even_be_collected_are_not_tried_again(ci):
    """Trying only those would be green without the others having run."""
    out, code = ci(["a"], "times('flaky') > 1 or 1 / 0")
    assert code == 2, out
    assert "second try" not in out


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
