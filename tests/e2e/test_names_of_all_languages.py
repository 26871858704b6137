"""Names in other languages, from the builder to every screen."""

from __future__ import annotations

import json
import sys

import pytest
from cli_rig import Rig

SCRIPT = """
import durable_wf as wf

def extract(): print("données"); return 1

def boom(数据): raise ValueError("שגיאה")

workflow = (
    wf.WorkflowBuilder("обработка")
    .add_task("数据", extract)
    .add_task("données/été", boom, optional=True).depends_on("数据")
    .add_task("שלום", extract).after("données/été")
    .build()
)
"""
NAMES = ["数据", "données/été", "שלום"]


@pytest.fixture(scope="module")
def dwf(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("names"))
    (rig.folder / "flow.py").write_text(SCRIPT, encoding="utf-8")
    ended = rig("run", "flow.py:workflow", "--json")
    assert ended.code == 0, ended.err
    return rig


def test_the_run_id_stays_ascii(dwf):
    run = dwf("list", "--json").document
    assert run["run_id"].isascii()
    assert run["run_id"].startswith("run-")
    assert run["workflow"] == "обработка"


def test_every_document_names_the_tasks(dwf):
    assert list(dwf("show", "@last", "--json").document["task_states"]) == NAMES
    tasks = {event["task"] for event in dwf("events", "@last", "--json").lines}
    assert set(NAMES) < tasks
    assert "données" in dwf("logs", "@last", "-t", "数据").out


@pytest.mark.parametrize("form", ["ascii", "mermaid", "dot", "svg"])
def test_every_drawing_names_the_tasks(dwf, form):
    drawn = dwf("graph", "@last", "-f", form).out
    for name in NAMES:
        assert name in drawn or json.dumps(name)[1:-1] in drawn


def test_lists_and_screens_name_them_and_the_store_is_sound(dwf):
    assert "обработка" in dwf("list").out
    assert all(name in dwf("show", "@last").out for name in NAMES)
    assert all(name in dwf.execute("plan", "flow.py:workflow").out for name in NAMES)
    assert dwf("db", "check").code == 0
    paths = [str(path.relative_to(dwf.folder)) for path in (dwf.folder / ".durable-wf").rglob("*")]
    assert all(path.isascii() for path in paths)


def test_a_terminal_that_has_no_such_letters_gets_escapes(dwf):
    ended = dwf("show", "@last", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert ended.code == 0
    assert "\\u6570" in ended.out or sys.flags.utf8_mode
