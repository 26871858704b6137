"""The documentation holds together, and its checks catch what they are for."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def load(name: str):
    """A script of tools/, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load("docs")


def test_links_lead_somewhere_and_code_parses():
    assert docs.problems() == []


def test_the_reference_pages_are_those_the_code_would_write():
    done = subprocess.run(
        [sys.executable, "tools/reference.py", "--check"],
        cwd=ROOT, capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("check", "text"),
    [
        ("broken_links", "[x](nowhere.md)"),
        ("broken_links", "# Title\n[x](#other)"),
        ("bad_code", "```python\ndef (:\n```"),
        ("crowded_lines", "One sentence. Another one."),
    ],
)
def test_a_bad_page_is_caught(check, text, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text(text)
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    assert list(getattr(docs, check)(page))


def test_a_page_that_no_link_leads_to_is_caught(tmp_path, monkeypatch):
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("[docs](docs/index.md)")
    (tmp_path / "docs" / "index.md").write_text("nothing")
    (tmp_path / "docs" / "lost.md").write_text("nobody comes here")
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    monkeypatch.setattr(docs, "DOCS", tmp_path / "docs")
    assert [line.partition(":")[0] for line in docs.unreachable()] == ["docs/lost.md"]
