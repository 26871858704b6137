"""Each example runs as a person would run it, and prints what its last lines say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))


def expected(example: Path) -> list[str]:
    """The lines that follow `# -> `."""
    lines = example.read_text().splitlines()
    return [line.removeprefix("# -> ") for line in lines if line.startswith("# -> ")]


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment,
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_prints_what_it_says(example, tmp_path):
    done = run(str(example), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == expected(example)
    assert expected(example), "an example says what it prints"


def test_the_examples_are_found():
    assert len(EXAMPLES) >= 8


def test_every_example_is_mentioned_in_the_docs():
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    text = "\n".join(page.read_text() for page in pages)
    unmentioned = [example.name for example in EXAMPLES if example.name not in text]
    assert not unmentioned
