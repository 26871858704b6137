"""What the README and the tutorial tell people to type works as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", ROOT / "docs" / "tutorial" / "first-workflow.md")
INSTALLS = re.compile(r"tools/demo|venv|pip install")
"""Blocks that install or take long; `tools/test` and tests/e2e/test_demo.py stand for them."""

KILL = "timeout --signal=KILL"


def blocks(page: Path) -> list[tuple[str, str]]:
    """The blocks of Python and of commands, in their order."""
    found = re.findall(r"^```(bash|python)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found


@pytest.fixture
def shell(tmp_path):
    """A folder as a checkout looks from inside, and `dwf` and `python` on the path."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "dwf").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m durable_wf "$@"\n')
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for script in tools.iterdir():
        script.chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}

    def run(text: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", text], cwd=tmp_path, env=environment,
            capture_output=True, text=True, timeout=50, check=False,
        )  # fmt: skip

    return run


def kill_half_way(line, shell):
    """Type it; on a machine that is too busy for a run to be there by then, give it more time."""
    seconds, _, command = line.removeprefix(KILL).strip().partition(" ")
    for factor in (1, 2, 3):
        done = shell(f"{KILL} {float(seconds) * factor} {command}")
        assert done.returncode in {137, -9}, f"{line}\n{done.stderr}"
        if shell("dwf show squares-1").returncode == 0:
            return
    raise AssertionError(f"no run came of: {line}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_written_works_in_its_order(page, shell, tmp_path):
    """Python as a script, commands line by line, in the order of the page."""
    done = set()
    for number, (language, text) in enumerate(blocks(page)):
        if language == "bash" and INSTALLS.search(text):
            continue
        done.add(language)
        if language == "bash":
            type_lines(text, shell)
        else:
            script = tmp_path / f"block{number}.py"
            script.write_text(text)
            ran = shell(f"python {script}")
            assert ran.returncode == 0, ran.stderr
            assert ran.stdout.strip()
    assert "bash" in done


def type_lines(text, shell):
    for line in text.splitlines():
        if line.startswith(KILL):
            kill_half_way(line, shell)
        else:
            ran = shell(line)
            assert ran.returncode == 0, f"{line}\n{ran.stdout}\n{ran.stderr}"
