"""One engine stays open, as in a notebook, while folder, environment and import path change."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

import durable_wf as wf


def look(name):
    import steps_of_today

    return os.getcwd(), os.environ.get("OF_TODAY"), steps_of_today.NAME, name


@pytest.mark.parametrize("executor", ["parallel", "sequential"])
def test_each_run_has_the_surroundings_of_its_own_begin(tmp_path, monkeypatch, executor):
    monkeypatch.delitem(sys.modules, "steps_of_today", raising=False)
    with wf.WorkflowEngine(tmp_path / "s", workers=1, executor_type=executor) as engine:
        warm = wf.WorkflowBuilder("warm").add_task("t", os.getpid).build()
        engine.run(warm)
        for name in ("monday", "tuesday"):
            folder = tmp_path / name
            folder.mkdir()
            if name == "monday":
                (folder / "steps_of_today.py").write_text("NAME = 'steps'\n")
                monkeypatch.syspath_prepend(folder)
            monkeypatch.chdir(folder)
            monkeypatch.setenv("OF_TODAY", name)
            workflow = (
                wf.WorkflowBuilder(name).add_task("t", look, parameters={"name": name}).build()
            )
            result = engine.run(workflow)
            assert result["t"] == (str(folder), name, "steps", name)
        assert Path.cwd() == folder
