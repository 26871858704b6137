"""Functions of scripts, prompts and modules travel to processes that never saw the script."""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import socket
import subprocess
import sys
import textwrap
import threading

import pytest
from script_bundles import CHILD, SENDS, run

from durable_wf.errors import NotSendable
from durable_wf.execute import bundle
from durable_wf.execute.port import RunCode

HARD = """
from __future__ import annotations
import dataclasses, enum, functools, json, typing

class Kind(enum.Enum):
    OLD = "old"
    NEW = "new"

@dataclasses.dataclass
class Row:
    n: int
    kind: Kind

class Base:
    def name(self): return "base"

class Derived(Base):
    def name(self): return "derived of " + super().name()

TABLE = {"start": 3}
counter = 0

def helper(n):
    global counter
    counter += 1
    return Row(n, Kind.NEW)

def even(n): return True if n == 0 else odd(n - 1)
def odd(n): return False if n == 0 else even(n - 1)

def logged(function):
    @functools.wraps(function)
    def inner(*args):
        return function(*args)
    return inner

def closing_over(step):
    def add(row: Row) -> Row:
        return Row(row.n + step, row.kind)
    return add

@logged
def make() -> Row:
    return helper(TABLE["start"])

def check(row: Row) -> Row:
    assert isinstance(row, Row), type(row)
    assert row.kind is Kind.NEW
    assert Derived().name() == "derived of base"
    assert even(10) and not even(7)
    assert counter == 1, "globals are shared by the tasks of a worker"
    assert json.dumps([1]) == "[1]"
    return row

FUNCTIONS = [make, closing_over(4), check, lambda row: row.n, functools.partial(pow, 2)]
"""
EXPECTED = [
    '{"$":"object","c":"Row","v":[["n",3],["kind",{"$":"enum","c":"Kind","v":"NEW"}]]}',
    '{"$":"object","c":"Row","v":[["n",7],["kind",{"$":"enum","c":"Kind","v":"NEW"}]]}',
    '{"$":"object","c":"Row","v":[["n",7],["kind",{"$":"enum","c":"Kind","v":"NEW"}]]}',
    "7",
    "128",
]
SCRIPT = HARD + SENDS


def test_a_script_without_a_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    assert run(["script.py"], tmp_path) == EXPECTED


def test_a_command_line(tmp_path):
    assert run(["-c", SCRIPT], tmp_path) == EXPECTED


def test_a_program_on_standard_input(tmp_path):
    assert run(["-"], tmp_path, input=SCRIPT) == EXPECTED


def test_an_interactive_prompt(tmp_path):
    # A prompt reads one statement at a time and ends a block at an empty line.
    typed = "def one(): return 20\n\ndef two(n): return n + one()\n\n"
    lines = [typed, "FUNCTIONS = [one, two, lambda n: n + 2]", f"exec({SENDS!r})"]
    assert run(["-i", "-q"], tmp_path, input="\n".join(lines) + "\n") == ["20", "40", "42"]


def test_functions_of_a_module_travel_by_name(tmp_path, monkeypatch):
    (tmp_path / "pipeline_steps.py").write_text(
        textwrap.dedent(
            """
            import functools
            STATE = []

            def traced(function):
                @functools.wraps(function)
                def inner(*args):
                    return function(*args)
                return inner

            class Step:
                def __init__(self, function):
                    functools.update_wrapper(self, function)
                    self.function = function
                def __call__(self, *args):
                    return self.function(*args)

            def plain():
                STATE.append(1)
                return len(STATE)

            @traced
            def wrapped(n):
                STATE.append(1)
                return n + len(STATE)

            @Step
            def replaced(n):
                STATE.append(1)
                return n + len(STATE)

            class Holder:
                @staticmethod
                def inside(n):
                    return n * 10
            """
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    steps = importlib.import_module("pipeline_steps")
    functions = [steps.plain, steps.wrapped, steps.replaced.__wrapped__, steps.Holder.inside]
    data = bundle.pack(RunCode(1, "r", "w", "r", functions, list("abcd")))
    assert b"STATE" not in data
    assert json.loads(data[20 : data.index(b"\n")])["by_value"] is False
    assert bundle.unpack(data) == functions
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=data, capture_output=True, timeout=60
    )
    assert json.loads(done.stdout) == ["1", "3", "6", "60"], done.stderr


def test_a_module_that_nobody_else_can_import_travels_by_value(tmp_path):
    (tmp_path / "loads.py").write_text(
        textwrap.dedent(
            """
            import sys, types
            module = types.ModuleType("made_up")
            sys.modules["made_up"] = module
            exec('class Point:\\n    pass\\n\\ndef helper(): return Point()\\n'
                 'def one():\\n    p = helper()\\n'
                 '    return [type(p).__name__, isinstance(p, Point)]',
                 vars(module))
            FUNCTIONS = [module.one]
            """
        )
        + SENDS
    )
    assert run(["loads.py"], tmp_path) == ['["Point",true]']


LOADED_BY_PATH = """
import importlib.util, sys, types
spec = importlib.util.spec_from_file_location("loaded_by_path", "elsewhere/steps.py")
module = importlib.util.module_from_spec(spec)
sys.modules["loaded_by_path"] = module
spec.loader.exec_module(module)
def by_module(*_):
    return module.plain().x
FUNCTIONS = [module.plain, module.as_task, module.as_task.options(name="other"), by_module]
"""


def test_a_module_that_was_loaded_by_its_path_travels_by_value(tmp_path):
    """It stands in `sys.modules`, with a spec; but no finder would find it elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "steps.py").write_text(
        "from __future__ import annotations\n"
        "import attrs, durable_wf as wf\n"
        "@attrs.frozen\n"
        "class Point:\n    x: int = 1\n"
        "def make(): return Point()\n"
        "def plain(*_) -> Point: return make()\n"
        "@wf.task\n"
        "def as_task(*_) -> Point: return make()\n"
    )
    (tmp_path / "loads.py").write_text(LOADED_BY_PATH + SENDS)
    *named, by_module = run(["loads.py"], tmp_path)
    assert len(set(named)) == 1
    assert '"x",1' in named[0]
    assert by_module == "1"


def test_a_module_of_the_same_name_from_another_file_is_another_module(tmp_path, monkeypatch):
    (tmp_path / "has_a_double.py").write_text("def task(): return 'the wrong one'\n")
    other = tmp_path / "other.py"
    other.write_text("def task(): return 'the right one'\n")
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.spec_from_file_location("has_a_double", other)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "has_a_double", module)
    spec.loader.exec_module(module)
    data = bundle.pack(RunCode(1, "r", "w", "r", [module.task], ["t"]))
    monkeypatch.delitem(sys.modules, "has_a_double")
    assert bundle.unpack(data)[0]() == "the right one"


def local_functions():
    handle = io.TextIOWrapper(io.BytesIO(b"x"))
    lock = threading.Lock()
    sock = socket.socket()
    generator = (n for n in ())

    def with_file():
        return handle.read()

    def with_lock(given=lock):
        return given

    def with_socket():
        return sock

    def outer():
        return with_socket()

    def with_generator():
        return generator

    return (
        handle,
        sock,
        {
            with_file: r"closure variable 'handle' \(_io.TextIOWrapper\).*open file",
            with_lock: r"default 1 \(_thread.lock\)",
            with_socket: r"closure variable 'sock' \(socket.socket\)",
            outer: r"closure variable 'with_socket' -> closure variable 'sock'",
            with_generator: r"closure variable 'generator' \(generator\)",
            lock.acquire: "lock",
        },
    )


def test_what_cannot_travel_is_named_with_its_task_before_anything_runs():
    handle, sock, cases = local_functions()
    for function, words in cases.items():
        code = RunCode(1, "r", "w", "r", [int, function], ["fine", "load"])
        with pytest.raises(NotSendable, match=rf"task 'load': its function .*{words}"):
            bundle.pack(code)
    handle.close()
    sock.close()


def test_standard_streams_and_buffers_travel():
    buffer = io.BytesIO(b"abc")

    def task():
        return buffer.getvalue(), sys.__class__

    (back,) = bundle.unpack(bundle.pack(RunCode(1, "r", "w", "r", [task], ["t"])))
    assert back()[0] == b"abc"


def test_functions_share_what_they_share_here():
    shared = []

    def add(n):
        shared.append(n)

    def count():
        return len(shared)

    back = bundle.unpack(bundle.pack(RunCode(1, "r", "w", "r", [add, count], ["a", "b"])))
    back[0](1)
    assert back[1]() == 1
    assert shared == []


def test_code_by_value_is_refused_under_another_python(monkeypatch):
    def local():
        return 1

    by_value = bundle.pack(RunCode(1, "r", "w", "r", [local], ["t"]))
    by_name = bundle.pack(RunCode(1, "r", "w", "r", [json.dumps], ["t"]))
    monkeypatch.setattr(bundle, "_PYTHON", "3.99")
    with pytest.raises(
        NotSendable, match=r"under Python 3\.1\d, and this is Python 3\.99: bytecode"
    ):
        bundle.unpack(by_value)
    assert bundle.unpack(by_name) == [json.dumps]


def test_a_module_that_is_gone_is_one_clear_error(tmp_path, monkeypatch):
    (tmp_path / "soon_gone.py").write_text("def task(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("soon_gone")
    data = bundle.pack(RunCode(1, "r", "w", "r", [module.task], ["t"]))
    monkeypatch.delitem(sys.modules, "soon_gone")
    (tmp_path / "soon_gone.py").unlink()
    importlib.invalidate_caches()
    with pytest.raises(NotSendable, match="soon_gone"):
        bundle.unpack(data)


class Unmakeable:
    def __reduce__(self):
        return int, ("not a number",)


def test_what_cannot_be_made_again_is_told_apart_from_a_module_that_is_missing():
    thing = Unmakeable()
    data = bundle.pack(RunCode(1, "r", "w", "r", [lambda: thing], ["t"]))
    with pytest.raises(NotSendable, match="invalid literal") as caught:
        bundle.unpack(data)
    assert "a module that workers can import" in str(caught.value)


def test_other_bytes_are_no_bundle():
    with pytest.raises(NotSendable, match="not a bundle"):
        bundle.unpack(b"\x80\x05N.")


def test_packing_leaves_no_trace_in_the_pickler():
    import cloudpickle

    before = cloudpickle.list_registry_pickle_by_value()
    bundle.pack(RunCode(1, "r", "w", "r", [lambda: 1], ["t"]))
    assert cloudpickle.list_registry_pickle_by_value() == before
