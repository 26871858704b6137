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


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


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
def test_the_commands_work_in_their_order(page, shell):
    typed = [text for text in blocks(page, "bash") if not INSTALLS.search(text)]
    assert typed
    for line in "".join(typed).splitlines():
        if line.startswith(KILL):
            kill_half_way(line, shell)
        else:
            done = shell(line)
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_works_as_a_script(page, shell, tmp_path):
    for number, text in enumerate(blocks(page, "python")):
        script = tmp_path / f"block{number}.py"
        script.write_text(text)
        done = shell(f"python {script}")
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()
