"""The public names: one list, for people, for `import *` and for type checkers."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
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


INTERNAL = {
    "Draft": "the builder hands it from one method of TaskFactory to the other",
    "Ledger": "an engine's executors share one; a scheduler of its own makes it",
    "Moved": "the store makes a row of it",
    "Plan": "dwf prints it before a retry or a fork",
    "RunState": "the engine makes histories of it",
    "Rules": "the engine has read them from a workflow already",
}
"""Classes in signatures that nobody outside has to write down."""


def signatures(thing: object) -> Iterator[Callable[..., object]]:
    """A public function; or the public methods and properties of a class, and its `__init__` where
    that is no list of fields.
    """
    if not isinstance(thing, type):
        if callable(thing):
            yield thing
        return
    for name, member in inspect.getmembers_static(thing):
        if name.startswith("_") and (name != "__init__" or attrs.has(thing)):
            continue
        found = member.fget if isinstance(member, property) else getattr(thing, name, None)
        if inspect.isfunction(found) or inspect.ismethod(found):
            yield found


def classes_in(hint: object) -> set[type]:
    """The classes of durable_wf in an annotation."""
    parts = {part for inner in typing.get_args(hint)
             for part in classes_in(inner)}  # fmt: skip
    if isinstance(hint, list):
        parts |= {part for inner in hint for part in classes_in(inner)}
    whole = typing.get_origin(hint) or hint
    if isinstance(whole, type) and whole.__module__.startswith("durable_wf."):
        parts.add(whole)
    return parts


def test_what_signatures_take_and_give_can_be_named_by_public_names():
    """Whoever annotates a function of their own needs no name of a module inside."""
    recovery = durable_wf.recovery
    public = [getattr(durable_wf, name) for name in durable_wf.__all__]
    public += [getattr(recovery, name) for name in recovery.__all__]
    named = {
        cls.__name__: f"{cls.__module__}, in {function.__qualname__}"
        for thing in public
        for function in signatures(thing)
        for hint in typing.get_type_hints(function).values()
        for cls in classes_in(hint)
        if not any(cls is one for one in public)
    }
    assert named.keys() == INTERNAL.keys(), named


def test_what_the_log_holds_can_be_told_apart_by_public_names():
    recorded = durable_wf.Recorded(1, 5, durable_wf.events.RunResumed("ann"))
    match recorded.event:
        case durable_wf.events.RunResumed(actor=who):
            assert who == "ann"
        case _:
            pytest.fail("it is another one")


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
