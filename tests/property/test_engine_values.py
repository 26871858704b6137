"""What a task receives, and what a result gives back, is what was returned: same value, same type,
in every executor, live or resumed.
"""

from __future__ import annotations

import collections
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crash.dying import check_log, dying_at, in_child
from engine_rig import dwf, run_python
from hypothesis import given, settings
from hypothesis import strategies as st
from value_strategies import VALUES, Bits, Couple, Loose, Strict, Suit, same

import durable_wf as wf

Known = Suit | Bits | Loose | Strict | Couple

_numbers = itertools.count()


def handing_over(values: list[Any]) -> wf.Workflow:
    """For each value a task that makes it, and one that says whether it got it."""
    builder = wf.WorkflowBuilder("values")
    for k, value in enumerate(values):

        def make(value: Any = value) -> Known:
            return value  # type: ignore[no-any-return]

        def take(held: Known, expected: Any = value) -> bool:
            return bool(same(held, expected))

        builder.add_task(f"make{k}", make)
        builder.add_task(f"take{k}", take).bind(held=f"make{k}")
    return builder.build()


def judge(result: wf.RunResult, values: list[Any]) -> None:
    for k, value in enumerate(values):
        assert result[f"take{k}"] is True, f"the next task got another value than {value!r}"
        assert same(result[f"make{k}"], value), f"the result gives another value than {value!r}"


@pytest.fixture(scope="module", params=["sequential", "parallel"])
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = tmp_path_factory.mktemp("values") / "s"
    with wf.WorkflowEngine(store, executor_type=request.param, workers=2) as made:
        yield made


@settings(max_examples=12)
@given(values=st.lists(VALUES, min_size=5, max_size=30))
def test_a_value_goes_through_a_run_unchanged(engine: wf.WorkflowEngine, values: list[Any]) -> None:
    judge(engine.run(handing_over(values)), values)


@settings(max_examples=10)
@given(values=st.lists(VALUES, min_size=5, max_size=20), death=st.integers(1, 6))
def test_a_value_goes_through_a_crash_and_another_engine_unchanged(
    tmp_path_factory: pytest.TempPathFactory, values: list[Any], death: int
) -> None:
    store = tmp_path_factory.mktemp("resumed") / f"s{next(_numbers)}"
    workflow = handing_over(values)

    def run() -> None:
        with (
            dying_at("after an append", death + 2),  # the opening of the store takes two
            wf.WorkflowEngine(store, executor_type="sequential") as engine,
        ):
            engine.run(workflow, run_id="r")

    in_child(run)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        judge(engine.run(workflow, run_id="r"), values)
    check_log(store, "r")


SIZES = {"ten bytes": 10, "ten kilobytes, in the table": 10_000, "a megabyte, in a file": 1_000_000}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
@pytest.mark.parametrize("codec", ["json", "pickle"])
def test_results_of_every_size_reach_tasks_paths_and_callers(
    engine: wf.WorkflowEngine, size: int, codec: str
) -> None:
    def make() -> dict[str, Any]:
        return {
            "text": "x" * size,
            "bytes": b"\xff" * size,
            "array": np.arange(size, dtype="uint8"),
            "nested": [{"deep": ("y" * size, collections.Counter("aab"))}],
        }

    workflow = (
        wf.WorkflowBuilder("sizes")
        .add_task("make", wf.task(codec=codec)(make))
        .add_task("text", lambda text: text)
        .bind(text=wf.ref("make")["text"])
        .add_task("deep", lambda pair: (type(pair).__name__, len(pair[0]), pair[1]["a"]))
        .bind(pair=wf.ref("make")["nested"][0]["deep"])
        .add_task("array", lambda array: (str(array.dtype), int(array.sum())))
        .bind(array=wf.ref("make")["array"])
        .add_task("all", lambda make: {key: type(value).__name__ for key, value in make.items()})
        .depends_on("make")
        .build()
    )
    result = engine.run(workflow)

    expected = make()
    assert result["text"] == expected["text"]
    assert result["deep"] == ("tuple", size, 2)
    assert result["array"] == ("uint8", int(expected["array"].sum()))
    assert result["all"] == {k: type(v).__name__ for k, v in expected.items()}
    got = result["make"]
    assert got["bytes"] == expected["bytes"]
    assert np.array_equal(got["array"], expected["array"])
    assert got["array"].dtype == expected["array"].dtype
    assert type(got["nested"][0]["deep"]) is tuple
    assert type(got["nested"][0]["deep"][1]) is collections.Counter


SCRIPT = '''
import enum, os, signal, sys
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import attrs
import numpy as np
import durable_wf as wf

class Mood(enum.Enum):
    GOOD = "good"

class Point(NamedTuple):
    x: float
    y: float

@dataclass
class Plain:
    mood: Mood
    points: list[Point] = field(default_factory=list)

    def far(self) -> float:
        return max(point.x for point in self.points)

@attrs.frozen
class Frozen:
    plain: Plain
    parts: tuple[Fraction, ...]

class Odd:
    """Only a pickle can hold it."""

    def __init__(self, secret):
        self.secret = secret

def make() -> Frozen:
    return Frozen(Plain(Mood.GOOD, [Point(1.5, 2.0)]), (Fraction(1, 3),))

def odd() -> Odd:
    return Odd({1, 2})

def array():
    return np.linspace(0, 1, SIZE)

def crash(**before):
    if not os.path.exists(sys.argv[2]):
        open(sys.argv[2], "w").close()
        os.kill(PARENT, signal.SIGKILL)
        signal.pause()

def use(made: Frozen, odd: Odd, array, x):
    assert type(made) is Frozen and type(made.plain) is Plain and type(odd) is Odd
    assert made.plain.mood is Mood.GOOD and type(made.plain.points[0]) is Point
    assert made == make() and made.plain.far() == 1.5 and odd.secret == {1, 2}
    assert array.dtype == np.float64 and array[-1] == 1.0 and len(array) == SIZE
    assert x == Fraction(1, 3)
    return made

SIZE = 100_000
PARENT = os.getpid()
workflow = (
    wf.WorkflowBuilder("script")
    .add_task("made", make)
    .add_task("odd", wf.task(codec="pickle")(odd))
    .add_task("array", array)
    .add_task("parts", lambda made: {"all": made.parts}).depends_on("made")
    .add_task("crash", crash, parameters={"pid": PARENT * 0}).after("made", "odd", "array", "parts")
    .add_task("use", use).bind(x=wf.ref("parts")["all"][0]).depends_on("made", "odd", "array")
    .after("crash")
    .build()
)
result = wf.WorkflowEngine(sys.argv[1], workers=2, executor_type=sys.argv[3]).run(
    workflow, run_id="r"
)
use(result["use"], result["odd"], result["array"], result["parts"]["all"][0])
print("all equal")
'''


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_classes_of_a_script_come_back_as_themselves_after_a_crash(
    executor: str, tmp_path: Path
) -> None:
    """By running the script again, and by resuming it from the command line."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for way in ("again", "resume"):
        store, crashed = tmp_path / way, tmp_path / f"{way}.crashed"
        first = run_python(script, store, crashed, executor)
        assert first.returncode == -9, first.stderr
        if way == "resume":
            resumed = dwf(store, "resume", "r", "--executor", executor)
            assert resumed.returncode == 0, resumed.stderr
        second = run_python(script, store, crashed, executor)
        assert second.stdout == "all equal\n", second.stderr
        check_log(store, "r")
