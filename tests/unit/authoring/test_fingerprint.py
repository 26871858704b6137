"""Fingerprints: they change with the code, and with nothing else."""

from __future__ import annotations

import functools
import linecache
import subprocess
import sys
import types
from pathlib import Path

import pytest

from durable_wf.authoring.fingerprint import _Walk, fingerprint, function_ref

BASE = '''
import functools, re
from dataclasses import dataclass

LIMIT = 10

def helper(x):
    return x + 1

@dataclass
class Row:
    a: int
    def double(self):
        return self.a * 2

def decorate(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs):
        return f(*args, **kwargs)
    return wrapper

def make(k):
    def inner(x):
        return x + k
    return inner

@decorate
def wrapped(x):
    return x - 1

def target(x, y=2, *, z={"a": (1, 2.0)}):
    """Says what it does."""
    try:
        return [helper(i) for i in range(x)] + [Row(1).double()], {"b", "a"}
    except ValueError:
        return wrapped(make(3)(y))

def caller(x):
    return lambda: target(x)

closed = make(5)
partial = functools.partial(target, 1, y=3)
'''


def loaded(source: str, name: str = "some_module") -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    file = f"/somewhere/{hash(source)}.py"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    try:
        exec(compile(source, file, "exec"), vars(module))
    finally:
        del sys.modules[name]
    return module


def prints(source: str) -> dict[str, str]:
    module = loaded(source)
    names = ("target", "caller", "closed", "partial", "wrapped")
    return {name: fingerprint(getattr(module, name)) for name in names}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def helper", "# a comment\n\n\ndef helper"),
        ("    return x + 1", "    # why\n    return x + 1"),
        ("Says what it does.", "Says it in other words."),
        ("LIMIT = 10", "LIMIT = 20"),
        ("import functools, re", "import functools\nimport re"),
    ],
)
def test_what_is_not_code_of_the_function_changes_nothing(old, new):
    assert prints(BASE.replace(old, new)) == prints(BASE)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return x + 1", "return x + 2", {"target", "caller", "partial"}),
        ("return x + 1", "return x - 1", {"target", "caller", "partial"}),
        ("def helper(x)", "def helper(x, more=1)", {"target", "caller", "partial"}),
        ("self.a * 2", "self.a * 3", {"target", "caller", "partial"}),
        ("range(x)", "reversed(x)", {"target", "caller", "partial"}),
        ("y=2", "y=3", {"target", "caller", "partial"}),
        ('{"a": (1, 2.0)}', '{"a": (1, 2)}', {"target", "caller", "partial"}),
        ("z={", "w={", {"target", "caller", "partial"}),
        ("except ValueError", "except KeyError", {"target", "caller", "partial"}),
        ('{"b", "a"}', '{"b", "c"}', {"target", "caller", "partial"}),
        ("return x - 1", "return x - 2", {"target", "caller", "partial", "wrapped"}),
        ("f(*args, **kwargs)", "f(*args)", {"target", "caller", "partial", "wrapped"}),
        ("make(5)", "make(6)", {"closed"}),
        ("return x + k", "return x * k", {"target", "caller", "partial", "closed"}),
        ("target, 1, y=3", "target, 1, y=4", {"partial"}),
        ("lambda: target(x)", "lambda: target(x) or 1", {"caller"}),
    ],
)
def test_a_change_shows_in_every_function_that_it_reaches(old, new, changed):
    assert BASE.count(old) >= 1
    before, after = prints(BASE), prints(BASE.replace(old, new, 1))
    assert {name for name in before if before[name] != after[name]} == changed


CHOSEN = """
import functools
class Row:
    @functools.cached_property
    def size(self): return 1
    @functools.singledispatchmethod
    def add(self, x): return 2
    @add.register
    def _(self, x: int): return 3
@functools.singledispatch
def show(x): return 4
@show.register
def _(x: Row): return 5
@functools.cache
def rate(x): return 6
def target(x): return show(Row()), rate(x)
"""


@pytest.mark.parametrize("number", range(1, 7))
def test_a_change_shows_behind_caches_and_where_functions_are_chosen_by_type(number):
    new = CHOSEN.replace(f"return {number}", "return 0")
    assert fingerprint(loaded(new).target) != fingerprint(loaded(CHOSEN).target)
    assert fingerprint(loaded("# moved\n" + CHOSEN).target) == fingerprint(loaded(CHOSEN).target)


CONSTANTS = """
import enum
class Mode(enum.Enum):
    FAST = 1
    SLOW = 2
FACTOR = 2
NAMES = ("a", ("b", None))
KINDS = frozenset({"x", "y"})
MODE = Mode.FAST
UNREAD = 1
CACHE = {}
COUNT = 0
def helper(x): return x * FACTOR, MODE
def target(x):
    global COUNT
    COUNT += 1
    return [helper(i) for i in NAMES if i in KINDS], CACHE, COUNT, __name__
"""


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("FACTOR = 2", "FACTOR = 99", True),
        ("FACTOR = 2", "FACTOR = 2.0", True),
        ("FACTOR = 2", "FACTOR = [2]", True),
        ('("b", None)', '("b", True)', True),
        ('{"x", "y"}', '{"x", "z"}', True),
        ('{"x", "y"}', '{"y", "x"}', False),
        ("Mode.FAST", "Mode.SLOW", True),
        ("UNREAD = 1", "UNREAD = 2", False),
        ("CACHE = {}", "CACHE = {1: 2}", False),
        ("COUNT = 0", "COUNT = 7", False),
    ],
)
def test_constants_that_a_function_reads_are_code_and_variables_are_not(old, new, changes):
    before, after = loaded(CONSTANTS), loaded(CONSTANTS.replace(old, new))
    assert (fingerprint(before.target) != fingerprint(after.target)) is changes
    before.target("ab")
    assert fingerprint(before.target) == fingerprint(loaded(CONSTANTS).target)


def test_functions_that_call_each_other_have_fingerprints():
    source = "def a(n): return n and b(n - 1)\ndef b(n): return n and a(n - 1)\n"
    before, after = loaded(source), loaded(source.replace("and a", "or a"))
    assert fingerprint(before.a) != fingerprint(after.a)
    assert fingerprint(before.a) != fingerprint(before.b)
    assert fingerprint(before.a) == fingerprint(loaded(source).a)


def test_every_process_gives_the_same_fingerprint(tmp_path):
    """Hash seeds order sets differently in every process."""
    script = tmp_path / "script.py"
    script.write_text(
        BASE + "from durable_wf.authoring.fingerprint import fingerprint\n"
        "print(fingerprint(target), fingerprint(partial))"
    )
    said = {
        subprocess.run(
            [sys.executable, str(script)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
            capture_output=True, text=True, check=True, timeout=30,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(said) == 1
    assert said.pop().strip()


class Tool:
    def use(self, x): ...
    @classmethod
    def make(cls): ...
    def __call__(self): ...


def plain(): ...


@pytest.mark.parametrize(
    ("function", "qualname"),
    [
        (plain, "plain"),
        (Tool.make, "Tool.make"),
        (Tool, "Tool"),
        (Tool().use, "<bound Tool.use>"),
        (Tool(), "<object Tool>"),
        (functools.partial(plain), "<partial plain>"),
        (functools.lru_cache(plain), "plain"),
    ],
)
def test_a_reference_names_the_module_and_what_to_look_for(function, qualname):
    ref = function_ref(function)
    assert (ref.module, ref.qualname, ref.file) == (__name__, qualname, "")
    assert ref.fingerprint
    assert not ref.python


def test_builtins_have_references():
    assert (function_ref(len).module, function_ref(len).qualname) == ("builtins", "len")
    assert fingerprint(len) != fingerprint(max)


def test_a_function_of_the_script_has_its_file(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.touch()
    main = types.ModuleType("__main__")
    main.__file__ = str(script)
    exec("def f(): ...", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert (function_ref(main.f).module, function_ref(main.f).file) == ("", str(script))


def test_a_function_that_no_file_gives_says_which_python_it_needs(monkeypatch):
    main = types.ModuleType("__main__")
    exec("def f(): ...", vars(main))
    monkeypatch.setitem(sys.modules, "__main__", main)
    ref = function_ref(main.f)
    assert (ref.module, ref.file) == ("", "")
    assert ref.python == f"{sys.version_info[0]}.{sys.version_info[1]}"


GOLDEN = """
import enum, functools, os
from pathlib import PurePosixPath

class Mode(enum.Enum):
    FAST = 1

LIMIT = 60 * 60
NAMES = frozenset({"x", "y"})
STARTED = os.getpid()

def helper(x): return x + LIMIT

class Base:
    factor = 3
    def scaled(self, x): return helper(x) * self.factor

class Tool(Base):
    def use(self, x): return self.scaled(x)
    @classmethod
    def made(cls, x): return cls().use(x)
    def __call__(self, x): return x

def counted(f):
    @functools.wraps(f)
    def wrapper(*args, **kwargs): return f(*args, **kwargs)
    return wrapper

def plain(x, y=2, *, z={"a": (1, 2.0, None), "b": [Mode.FAST, b"c"]}):
    return helper(x) if x in NAMES else STARTED

@counted
def wrapped(x): return Tool().use(x)

def make(k, kinds, then):
    def inner(x): return then(x) + k, kinds
    return inner

closed = make(5, {"x", ("y", 1 << 90)}, helper)
foreign = make(functools.reduce, PurePosixPath, os)
part = functools.partial(plain, 1, z=Mode.FAST)
cached = functools.lru_cache(plain)
made = Tool.made
stateless = Tool().use
called = Tool()
def recurse(n): return n and again(n - 1)
def again(n): return n and recurse(n - 1)
"""


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("plain", "6c224cf63857372a817a1451d49b02e2"),
        ("wrapped", "5c01410d118a3c0f35f2518db68a7b8b"),
        ("closed", "1e94702f352f57977110ea9e7a09a2fc"),
        ("foreign", "ab5bcd84490358a0aee774b7766309f0"),
        ("part", "a909ba6738c998f9305b1e0b3dc102c5"),
        ("cached", "6c224cf63857372a817a1451d49b02e2"),
        ("made", "676bc418e87be7340a3e20b70c26ca5e"),
        ("stateless", "5e2745ef6d84a2602e53473c13bb072a"),
        ("called", "13121c1e11c74397640c80fbd27b3cf4"),
        ("recurse", "235154d74f9c8f0823fe3a02a64a8f98"),
        ("Tool", "0a239bda784032d77ab747ddc0308e70"),
    ],
)
def test_fingerprints_of_functions_without_objects_never_change(name, known, monkeypatch):
    """A change would have every stored run ask for its code to be accepted. Bytecode, which is
    another one in each version of Python, stands aside here.
    """
    monkeypatch.setattr(
        _Walk, "_code", lambda self, code, _doc=None: self.parts.append(f"code {code.co_name}")
    )
    assert fingerprint(getattr(loaded(GOLDEN), name)) == known
