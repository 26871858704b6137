"""The public names: one list, for people, for `import *` and for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import durable_wf

PACKAGE = Path(durable_wf.__file__).parent

HEAVY = (
    "attr", "cattrs", "click", "cloudpickle", "multiprocess", "numpy", "psutil", "rich", "sqlite3",
    "sqlite_utils",
)  # fmt: skip


def test_all_is_sorted():
    assert list(durable_wf.__all__) == sorted(durable_wf.__all__)
    assert dir(durable_wf) == durable_wf.__all__


@pytest.mark.parametrize("name", durable_wf.__all__)
def test_every_name_is_there(name):
    assert getattr(durable_wf, name) is not None


def test_type_checkers_are_told_the_same_names():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text())
    told = {
        alias.asname: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(told) == set(durable_wf.__all__) - {"__version__"}
    for name, (module, original) in told.items():
        assert name == original
        assert getattr(sys.modules[module], name) is getattr(durable_wf, name)


def test_every_error_is_public():
    from durable_wf import errors

    names = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and value.__module__ == errors.__name__
    }
    assert names <= set(durable_wf.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Workflo'"):
        durable_wf.Workflo


def imported(code: str) -> set[str]:
    """What stands in sys.modules of a fresh process after `code`."""
    said = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    return set(said.stdout.split())


def test_importing_the_package_imports_nothing_heavy():
    assert imported("import durable_wf").isdisjoint(HEAVY)
    assert "attr" in imported("import durable_wf; durable_wf.Task")  # it would have been seen


def test_building_a_workflow_imports_no_machinery():
    code = "import durable_wf as wf; wf.WorkflowBuilder('w').add_task('a', print).build().to_json()"
    assert imported(code).isdisjoint(set(HEAVY) - {"attr"})
