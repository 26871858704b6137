"""The house stands as pyproject.toml says; and each rule is shown to catch what it is for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import house_rules as house
import pytest
from house_rules import ROOT, Source, source

Rule = Callable[[Source], Iterator[str]]

# rule -> the folders it holds for, and sources that it must catch (the path matters to some)
RULES: dict[str, tuple[Rule, tuple[str, ...], list[tuple[str, str]]]] = {
    "imports point towards the core": (
        house.import_direction,
        ("durable_wf",),
        [
            ("durable_wf/core/x.py", "from durable_wf.store.port import Log"),
            ("durable_wf/core/x.py", "from durable_wf import store"),
            ("durable_wf/store/x.py", "import durable_wf.engine.loop"),
            ("durable_wf/store/x.py", "def f():\n    from durable_wf.cli import main"),
            ("durable_wf/engine/x.py", "from durable_wf import WorkflowBuilder"),
            ("durable_wf/engine/x.py", "import durable_wf"),
            ("durable_wf/engine/x.py", "from . import loop"),
            ("durable_wf/errors.py", "from durable_wf.core import status"),
            ("durable_wf/helpers/x.py", "import os"),
        ],
    ),
    "nothing hides behind TYPE_CHECKING": (
        house.type_checking,
        ("durable_wf", "tests", "tools"),
        [
            ("durable_wf/core/x.py", "from typing import TYPE_CHECKING as T\nif T: TYPE_CHECKING"),
            ("durable_wf/core/x.py", "import typing\nif typing.TYPE_CHECKING:\n    import os"),
        ],
    ),
    "imports inside functions say why": (
        house.imports_in_functions,
        ("durable_wf",),
        [
            ("durable_wf/cli/x.py", "def f():\n    import rich"),
            ("durable_wf/cli/x.py", "def f():\n    x = 1\n    from a import b\n    import c"),
        ],
    ),
    "the core is pure": (
        house.purity,
        ("durable_wf",),
        [
            ("durable_wf/core/x.py", "import time"),
            ("durable_wf/core/x.py", "from os import path"),
            ("durable_wf/core/x.py", "import sqlite3 as s"),
            ("durable_wf/core/x.py", "def f():\n    import random"),
            ("durable_wf/recovery/x.py", "import logging"),
            ("durable_wf/core/x.py", "print(1)"),
            ("durable_wf/core/x.py", "open('x')"),
            ("durable_wf/core/x.py", "import datetime\ndatetime.datetime.now()"),
            ("durable_wf/recovery/x.py", "import http.client"),
            ("durable_wf/recovery/x.py", "import ctypes"),
            ("durable_wf/recovery/x.py", "from datetime import datetime\nclock = datetime.now"),
            ("durable_wf/recovery/x.py", "from datetime import date\ndate.today()"),
            ("durable_wf/recovery/x.py", "jitter = hash('run')"),
            ("durable_wf/recovery/x.py", "read = open"),
            ("durable_wf/recovery/x.py", "import uuid\nuuid.uuid4()"),
        ],
    ),
    "files and functions keep their size": (
        house.size,
        ("durable_wf", "tests", "tools"),
        [
            ("durable_wf/core/x.py", "x = 1\n" * 501),
            ("durable_wf/core/x.py", "def f():\n" + "    x = 1\n" * 70),
        ],
    ),
    "modules say what they are": (
        house.docstring,
        ("durable_wf", "tests", "tools"),
        [
            ("durable_wf/core/x.py", "x = 1"),
            ("durable_wf/core/__init__.py", '"""The core."""'),
        ],
    ),
    "only listed modules run what was stored": (
        house.unsafe,
        ("durable_wf",),
        [
            ("durable_wf/core/x.py", "import pickle"),
            ("durable_wf/store/x.py", "from cloudpickle import loads"),
            ("durable_wf/store/x.py", "eval('1')"),
            ("durable_wf/store/x.py", "import importlib\nimportlib.import_module('x')"),
            ("durable_wf/store/x.py", "from importlib import import_module as find\nfind('x')"),
            ("durable_wf/store/x.py", "from builtins import eval as look"),
            ("durable_wf/store/x.py", "look = eval"),
            ("durable_wf/store/x.py", "import builtins\ngetattr(builtins, 'exec')('x')"),
            ("durable_wf/store/x.py", "from os import system"),
            ("durable_wf/store/x.py", "import os\nos.popen('x')"),
            ("durable_wf/store/x.py", "import runpy"),
            ("durable_wf/store/x.py", "import yaml"),
            ("durable_wf/store/x.py", "import marshal as m"),
            ("durable_wf/engine/x.py", "import pickle"),
            ("durable_wf/cli/x.py", "def f():\n    import dill  # heavy"),
            ("durable_wf/core/values_x.py", "import pickle"),
            ("durable_wf/core/values_x.py", "np.load(file, allow_pickle=True)"),
            ("durable_wf/core/values_x.py", "np.load(file, allow_pickle=flag)"),
            ("durable_wf/execute/supervisor.py", "import pickle"),
            ("durable_wf/execute/x.py", "connection.recv()"),
            ("durable_wf/execute/x.py", "subprocess.run(text, shell=True, timeout=1)"),
        ],
    ),
    "every wait has a deadline": (
        house.deadlines,
        ("durable_wf", "tools"),
        [
            ("durable_wf/execute/x.py", "thread.join()"),
            ("durable_wf/execute/x.py", "event.wait()"),
            ("durable_wf/execute/x.py", "lock.acquire()"),
            ("durable_wf/execute/x.py", "pipe.recv()"),
            ("durable_wf/execute/x.py", "queue.get()"),
            ("durable_wf/execute/x.py", "selector.select()"),
            ("durable_wf/execute/x.py", "select.select(a, b, c)"),
            ("durable_wf/execute/x.py", "connection.wait(pipes)"),
            ("durable_wf/execute/x.py", "os.waitpid(pid, 0)"),
            ("durable_wf/execute/x.py", "fcntl.flock(fd, fcntl.LOCK_EX)"),
            ("durable_wf/execute/x.py", "subprocess.run(['ls'])"),
            ("durable_wf/execute/x.py", "process.communicate()"),
            ("durable_wf/engine/x.py", "future.result()"),
        ],
    ),
    "every test asserts something": (
        house.assertions,
        ("tests",),
        [("tests/test_x.py", "def test_x():\n    run()")],
    ),
}

# sources that no rule may object to
FINE = [
    ("durable_wf/store/x.py", '"""X."""\nfrom durable_wf.core import status\n", ".join(x)\n'),
    ("durable_wf/store/x.py", '"""X."""\nd.get("k")\nlock.acquire(timeout=1)\nevent.wait(2.0)\n'),
    ("durable_wf/store/x.py", '"""X."""\nvar.get()  # no wait: a context variable\n'),
    ("durable_wf/store/x.py", '"""X."""\nfcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)\n'),
    ("durable_wf/cli/x.py", '"""X."""\ndef f():\n    # rich is slow to import\n    import rich\n'),
    ("durable_wf/cli/x.py", '"""X."""\ndef f():\n    import rich  # slow to import\n'),
    ("durable_wf/core/x.py", '"""X."""\nimport re\npattern = re.compile("x")\n'),
]  # fmt: skip

EACH_RULE = pytest.mark.parametrize("name", RULES)


@EACH_RULE
def test_the_project_keeps(name):
    """Each rule holds for every file in its reach."""
    rule, folders, _ = RULES[name]
    problems = [problem for src in house.sources(*folders) for problem in rule(src)]
    assert not problems, "\n" + "\n".join(problems)


@EACH_RULE
def test_the_rule_catches(name):
    """Each rule objects to each of its bad sources."""
    rule, _, bad = RULES[name]
    missed = [text for path, text in bad if not list(rule(source(path, text)))]
    assert not missed


@EACH_RULE
def test_the_rule_lets_pass(name):
    """No rule objects to good sources."""
    rule = RULES[name][0]
    wrong = [problem for path, text in FINE for problem in rule(source(path, text))]
    assert not wrong


def tracked() -> list[str]:
    """The text files of the project: those under version control, else all below the folders."""
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False
    )
    if done.returncode == 0 and done.stdout:
        return done.stdout.splitlines()
    folders = ("durable_wf", "tests", "tools", "docs")
    found = (path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())
    return [p.relative_to(ROOT).as_posix() for p in found if "__pycache__" not in p.parts]


def test_the_project_speaks_of_itself_alone():
    """No text names a path of one machine or a leftover to be done."""
    problems = []
    for path in tracked():
        file = ROOT / path
        if file.is_file() and (data := file.read_bytes()) and b"\0" not in data:
            problems += house.words(path, data.decode("utf-8", "replace"))
    assert not problems, "\n" + "\n".join(problems)


@pytest.mark.parametrize(
    "text", ["cd /wo" + "rk/main", "/ho" + "me/somebody/x", "/tm" + "p/x", "# TO" + "DO: later"]
)
def test_foreign_words_are_caught(text):
    assert list(house.words("x.py", text))


def test_every_layer_of_the_list_that_exists_is_a_package_or_module():
    """The list names no layer by a wrong word, and no folder stands outside of it."""
    there = {
        path.name.removesuffix(".py")
        for path in (ROOT / "durable_wf").iterdir()
        if path.suffix == ".py" or (path.is_dir() and any(path.glob("*.py")))
    }
    assert there - {"__init__", "__main__", "version"} <= set(house.LAYERS)
    assert {"errors", "core", "store", "execute"} <= there
