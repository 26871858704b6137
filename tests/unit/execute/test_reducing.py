"""What people write every day in a script works in a process that never saw the script."""

from __future__ import annotations

import importlib
import json
import textwrap

import pytest
from script_bundles import SENDS, run

from durable_wf.errors import NotSendable
from durable_wf.execute import bundle
from durable_wf.execute.port import RunCode


def told_elsewhere(tmp_path, script):
    """What the function `task` of a script returns in a process that never saw the script."""
    (tmp_path / "script.py").write_text(script + "\nFUNCTIONS = [task]\n" + SENDS)
    (text,) = run(["script.py"], tmp_path)
    return json.loads(text)


CACHES = """
import functools

@functools.cache
def rate(currency): return {"eur": 2}[currency]

@functools.lru_cache(maxsize=5, typed=True)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
fib.unit = "rabbits"
fib(10)

class Table:
    @functools.cache
    def of(self, n): return n + 1
    @staticmethod
    @functools.cache
    def plain(n): return n + 2

def task():
    empty = fib.cache_info().currsize
    assert fib.__wrapped__.__globals__["fib"] is fib
    return [rate("eur"), empty, fib(20), fib.cache_parameters(), fib.unit, Table().of(1),
            Table.plain(1)]
"""


def test_functions_with_a_cache_travel_and_have_an_empty_one(tmp_path):
    told = told_elsewhere(tmp_path, CACHES)
    assert told == [2, 0, 6765, {"maxsize": 5, "typed": True}, "rabbits", 2, 3]


DESCRIPTORS = """
import functools

class Page:
    calls = 0
    @functools.cached_property
    def words(self):
        '''The words.'''
        Page.calls += 1
        return 5
    @functools.singledispatchmethod
    def add(self, thing): return "something"
    @add.register
    def _(self, thing: int): return "a number"

@functools.singledispatch
def show(thing): return "something"
@show.register
def _(thing: int): return "a number"
@show.register
def _(thing: Page): return "a page of " + show(thing.words)
show.unit = "text"

def task():
    page = Page()
    return [page.words, page.words, Page.calls, Page.words.__doc__, page.add(1), page.add("a"),
            show(page), show("a"), show.unit, show.__name__]
"""


def test_cached_properties_and_single_dispatch_travel(tmp_path):
    assert told_elsewhere(tmp_path, DESCRIPTORS) == [
        5, 5, 1, "The words.", "a number", "something",
        "a page of a number", "something", "text", "show",
    ]  # fmt: skip


VARIABLES = """
import contextvars, threading, weakref

USER = contextvars.ContextVar("user", default="nobody")
TOKEN = contextvars.ContextVar("token")
USER.set("somebody")
LOCAL = threading.local()
LOCAL.connection = "of the script"

class Item: pass
KNOWN = weakref.WeakValueDictionary()
kept, KNOWN["lost"] = Item(), Item()
KNOWN["kept"] = kept

def other(): return USER.get()

def task():
    return [USER.get(), USER.set("me") and other(), TOKEN.get(None), vars(LOCAL),
            KNOWN["kept"] is kept, list(KNOWN)]
"""


def test_variables_of_contexts_and_threads_travel_as_a_new_thread_finds_them(tmp_path):
    assert told_elsewhere(tmp_path, VARIABLES) == ["nobody", "me", None, {}, True, ["kept"]]


def test_variables_and_locks_of_a_module_are_those_of_the_module(tmp_path, monkeypatch):
    (tmp_path / "has_variables.py").write_text(
        "import contextvars, threading\n"
        "USER = contextvars.ContextVar('user')\n"
        "LOCAL = threading.local()\n"
        "LOCK = threading.Lock()\n"
        "class Missing:\n    pass\n"
        "MISSING = Missing()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("has_variables")
    held = (module.USER, module.LOCAL, module.LOCK, module.MISSING)

    def task():
        return held

    (back,) = bundle.unpack(bundle.pack(RunCode(1, "r", "w", "r", [task], ["t"])))
    assert all(one is other for one, other in zip(back(), held, strict=True))


ANNOTATIONS = """
import dataclasses, sys, typing

UserId = typing.NewType("UserId", int)
P = typing.ParamSpec("P")
R = typing.TypeVar("R")
Ts = typing.TypeVarTuple("Ts")
T = typing.TypeVar("T")
Alias = Json = int
if sys.version_info >= (3, 12):
    exec("type Alias = list[UserId]; type Json = dict[str, Json] | int")

def traced(function: typing.Callable[P, R]) -> typing.Callable[P, R]:
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)
    return inner

class Box(typing.Generic[T]):
    def __init__(self, inside: T): self.inside = inside

@typing.runtime_checkable
class Sized(typing.Protocol):
    def size(self) -> int: ...

class Thing(typing.NamedTuple):
    id: UserId
    def size(self): return self.id + 1

@traced
def task(given: UserId = UserId(3), a: Alias = 1, b: Json = 1, *c: typing.Unpack[Ts]) -> list:
    thing = Thing(given)
    return [UserId(given), UserId.__name__, Box[int](4).inside, isinstance(thing, Sized),
            isinstance(3, Sized), thing.size()]
"""


def test_types_of_annotations_travel(tmp_path):
    assert told_elsewhere(tmp_path, ANNOTATIONS) == [3, "UserId", 4, True, False, 4]


DATACLASSES = """
import dataclasses

@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    n: int
    tags: list = dataclasses.field(default_factory=list)

@dataclasses.dataclass
class Wide:
    n: int
    tags: list = dataclasses.field(default_factory=list)

def task():
    @dataclasses.dataclass
    class Wider(Wide):
        unit: str = "cm"
    return [Row(1).tags, dataclasses.replace(Row(1), n=2).n, dataclasses.asdict(Wider(1)),
            dataclasses.fields(Wide)[0].default is dataclasses.MISSING]
"""


def test_dataclasses_are_whole_and_can_be_inherited_from(tmp_path):
    assert told_elsewhere(tmp_path, DATACLASSES) == [
        [], 2, {"n": 1, "tags": [], "unit": "cm"}, True,
    ]  # fmt: skip


ENUMS = """
import dataclasses, datetime, enum, functools

class Planet(enum.Enum):
    EARTH = (5.97, 6.37)
    MARS = (0.64, 3.39)
    def __init__(self, mass, radius):
        self.mass, self.radius = mass, radius
    @property
    def other(self): return Planet.MARS if self is Planet.EARTH else Planet.EARTH

class Label(str, enum.Enum):
    def __new__(cls, value, text):
        made = str.__new__(cls, value)
        made._value_, made.text = value, text
        return made

class Colour(Label):
    RED = "r", "red"

class Right(enum.Flag):
    READ = 1
    WRITE = 2
    BOTH = READ | WRITE

class Code(enum.IntEnum):
    FINE = 0
    OK = 0

class Side(enum.Enum):
    LEFT = "l"
    RIGHT = "r"
Side.LEFT.across, Side.RIGHT.across = Side.RIGHT, Side.LEFT

@dataclasses.dataclass(frozen=True)
class Animal:
    legs: int

class Pet(Animal, enum.Enum):
    CAT = 4

class Day(datetime.date, enum.Enum):
    FIRST = 2026, 1, 1

class Pair(tuple, enum.Enum):
    ONE = (1, 2)

class Do(enum.Enum):
    ADD = enum.member(functools.partial(lambda a, b: a + b))

def task():
    return [
        Planet.MARS.radius, Planet.EARTH.other is Planet.MARS, Planet((5.97, 6.37)).mass,
        Colour.RED.text, Colour("r") is Colour.RED, Colour.RED + "x",
        Right(3).name, Right["BOTH"] is Right.BOTH, [one.name for one in Right],
        Code["OK"] is Code.FINE, list(Code.__members__), Code.OK + 1,
        Side.LEFT.across is Side.RIGHT, Side.RIGHT.across.name,
        Pet.CAT.legs, Pet(Animal(4)) is Pet.CAT, Day.FIRST.year, Pair.ONE[1], Do.ADD.value(1, 2),
    ]
"""


def test_enums_keep_their_aliases_and_the_attributes_of_their_members(tmp_path):
    assert told_elsewhere(tmp_path, ENUMS) == [
        3.39, True, 5.97,
        "red", True, "rx",
        "BOTH", True, ["READ", "WRITE"],
        True, ["FINE", "OK"], 1,
        True, "LEFT",
        4, True, 2026, 2, 3,
    ]  # fmt: skip


REGISTRIES = """
import abc

class Plugin(abc.ABC):
    known = {}
    def __init_subclass__(cls, *, key, **more):
        super().__init_subclass__(**more)
        if key in Plugin.known:
            raise ValueError("twice")
        Plugin.known[key] = cls
    @abc.abstractmethod
    def name(self): ...

class A(Plugin, key="a"):
    def name(self): return "A"

class B(A, key="b"):
    def name(self): return super().name() + "B"

class Meta(abc.ABCMeta):
    made = []
    def __new__(meta, name, bases, body, unit=None):
        if bases and unit is None:
            raise TypeError("a unit is needed")
        made = super().__new__(meta, name, bases, body)
        made.unit = unit
        meta.made.append(name)
        return made

class Base(metaclass=Meta): pass
class Length(Base, unit="cm"): pass

def task():
    first = [sorted(Plugin.known), Plugin.known["b"]().name(), list(Meta.made), Length.unit]
    class C(A, key="c"): pass
    class Weight(Base, unit="kg"): pass
    return [*first, sorted(Plugin.known), list(Meta.made)]
"""


def test_a_class_is_not_registered_once_more_where_it_arrives_but_new_ones_are(tmp_path):
    assert told_elsewhere(tmp_path, REGISTRIES) == [
        ["a", "b"], "AB", ["Base", "Length"], "cm",
        ["a", "b", "c"], ["Base", "Length", "Weight"],
    ]  # fmt: skip


ERRORS = """
class Refused(Exception):
    def __init__(self, code, *, why):
        super().__init__(f"{code}: {why}")
        self.code, self.why = code, why

LAST = Refused(7, why="closed")

def task():
    try:
        raise LAST
    except Refused as error:
        return [error.code, error.why, str(error)]
"""


def test_exceptions_with_arguments_of_their_own_travel(tmp_path):
    assert told_elsewhere(tmp_path, ERRORS) == [7, "closed", "7: closed"]


NAMED = """
import sys

class Named:
    def __reduce__(self): return "thing"
Named.__module__ = "__main__"
thing = Named()

def task(): return thing
"""


def test_what_has_only_a_name_of_the_script_is_refused_before_anything_runs(tmp_path):
    script = NAMED + textwrap.dedent(
        """
        from durable_wf.errors import NotSendable
        from durable_wf.execute import bundle
        from durable_wf.execute.port import RunCode
        try:
            bundle.pack(RunCode(1, "r", "w", "r", [task], ["load"]))
        except NotSendable as error:
            print("OUT" + str(error).splitlines()[0])
        """
    )
    (tmp_path / "script.py").write_text(script)
    told = run(["script.py"], tmp_path)
    assert "task 'load'" in told
    assert "global 'thing' (__main__.Named)" in told
    assert "only this process has the name __main__.thing" in told


def test_a_lock_is_refused_with_its_attribute_and_what_to_do_instead():
    script = textwrap.dedent(
        """
        import threading
        class Single:
            @classmethod
            def get(cls):
                with Single.lock:
                    return 1
            lock = threading.Lock()
        class Below(Single): pass
        def task(): return Below.get()
        """
    )
    space = {"__name__": "__main__"}
    exec(script, space)
    with pytest.raises(NotSendable) as caught:
        bundle.pack(RunCode(1, "r", "w", "r", [space["task"]], ["load"]))
    assert "global 'Below' -> base 'Single' -> attribute 'lock' (_thread.lock)" in str(caught.value)
    assert "threads of one process" in str(caught.value)
    assert "pools=" in str(caught.value)


CELL = """
import linecache

def cell(name, text):
    '''Run a cell as notebooks do: its text is in memory only.'''
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    exec(compile(text, name, "exec"), globals())

cell("/no-such-folder/cell-1.py", "def helper():\\n    return 1 / 0  # of the cell\\n")
cell("/no-such-folder/cell-2.py", "def task():\\n    try: helper()\\n"
     "    except ZeroDivisionError:\\n        import traceback\\n"
     "        return traceback.format_exc().splitlines()\\n")
"""


def test_the_lines_of_a_notebooks_cells_travel_with_them(tmp_path):
    told = told_elsewhere(tmp_path, CELL)
    assert '  File "/no-such-folder/cell-1.py", line 2, in helper' in told
    assert "    return 1 / 0  # of the cell" in told
    assert "    try: helper()" in told


def test_nested_code_keeps_the_name_of_its_file():
    def task():
        def inner():
            return [lambda: n for n in range(1)]

        return inner()[0]

    (back,) = bundle.unpack(bundle.pack(RunCode(1, "r", "w", "r", [task], ["t"])))
    assert back.__code__ is not task.__code__
    assert back.__code__.co_filename == __file__
    assert back().__code__.co_filename == __file__
