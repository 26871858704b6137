"""Whatever can be stored comes back equal and of equal type; whatever is damaged is one error."""

from __future__ import annotations

import contextlib
import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from value_strategies import CLASSES, VALUES, Couple, Loose, Strict, same

from durable_wf.core.values import decode, decode_payload, encode, encode_result, preview
from durable_wf.core.values_standard import TAG
from durable_wf.errors import NotReadable, NotStorable
from durable_wf.execute.port import Assignment, Given, Places, RunCode
from durable_wf.execute.sequential import SequentialExecutor


@given(VALUES)
def test_a_value_comes_back_equal_with_equal_types(value):
    text = encode(value, CLASSES)
    assert same(decode(text, CLASSES), value)


@given(VALUES)
def test_the_text_is_json_of_one_line_that_can_be_written_as_utf_8(value):
    text = encode(value, CLASSES)
    json.loads(text)
    assert "\n" not in text
    assert text.encode()


@given(VALUES)
def test_a_result_comes_back_through_its_payload(value):
    codec, held = encode_result(value, CLASSES)
    data = held.encode() if isinstance(held, str) else held
    assert same(decode_payload(codec, data, CLASSES), value)


@given(VALUES)
def test_a_preview_is_one_printable_line(value):
    shown = preview(encode(value, CLASSES))
    assert len(shown) <= 200
    assert shown.isprintable() or all(c.isprintable() or c.isspace() for c in shown)


_LEAF = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.integers(2**62, 2**65) | st.dates()
    | st.floats(width=32) | st.decimals(-9, 9, places=1) | st.decimals(-9, 9, places=2)
    | st.text(max_size=2) | st.binary(max_size=2) | st.builds(np.str_, st.just("a"))
    | st.builds(np.int64, st.integers(-3, 3))
)  # fmt: skip
_CELL = st.one_of(
    _LEAF,
    st.builds(np.array, st.lists(st.integers(0, 3), max_size=2)),
    st.builds(np.array, st.lists(st.floats(width=32), max_size=2)),
    st.lists(_LEAF, max_size=2),
    st.dictionaries(st.sampled_from("xy"), _LEAF | st.fixed_dictionaries({"z": _LEAF})),
)


@given(
    st.lists(_CELL, max_size=4) | _CELL.flatmap(lambda cell: st.lists(st.just(cell), max_size=3))
)
def test_a_cell_of_a_table_is_refused_or_comes_back_equal_with_equal_types(cells):
    with contextlib.suppress(NotStorable):
        stored = encode_result(pd.DataFrame({"o": pd.Series(cells, dtype=object)}))
        assert same(decode_payload(*stored)["o"].tolist(), cells)
        event("stored")


_TAGGED = st.fixed_dictionaries(
    {
        TAG: st.sampled_from(
            ["tuple", "set", "dict", "bytes", "int", "float", "datetime", "time", "zone", "Decimal",
             "Fraction", "range", "complex", "deque", "defaultdict", "Counter", "npy", "scalar",
             "object", "enum", "named", "UUID", "PosixPath", "timedelta", "str", "arrow", "?"]
        ),
        "v": st.recursive(
            st.none() | st.integers() | st.text(max_size=5) | st.floats(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
            max_leaves=6,
        ),
    },
    optional={"c": st.sampled_from(["Suit", "Loose", "Couple", "Strict", "os.system", ""]),
              "unset": st.just(["held"])},
)  # fmt: skip


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")) | _TAGGED.map(json.dumps))
def test_garbage_is_a_value_or_one_clear_error(text):
    with contextlib.suppress(NotReadable):
        decode(text, CLASSES)
    assert len(preview(text)) <= 200


@given(VALUES, st.data())
def test_a_cut_text_is_never_a_value(value, data):
    text = encode(value, CLASSES)
    if text[0] in '[{"' and len(text) > 1:
        cut = data.draw(st.integers(0, len(text) - 1))
        with pytest.raises(NotReadable):
            decode(text[:cut], CLASSES)


@pytest.fixture(scope="module")
def sequential(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    for name in ("locks", "output", "payloads"):
        (folder / name).mkdir()
    executor = SequentialExecutor(
        Places(folder / "locks", folder / "output", folder / "payloads"), "e-00000000"
    )
    yield executor
    executor.close(1.0)


@given(VALUES)
def test_a_task_receives_exactly_what_another_returned(sequential, value):
    seen = []

    def make() -> Strict | Couple | Loose:
        return value

    make.__annotations__ = {"return": CLASSES.all()}

    def take(held):
        seen.append(held)

    sequential.prepare(RunCode(1, "r", "w", "r", [make, take], ["make", "take"]))
    worker = sequential.seats(1)[0].worker
    sequential.start([Assignment(1, worker, 1, 0, 1, "make", 0)])
    (made,) = sequential.poll(1.0)
    given_ = Given(made.value, producer=0, payload=made.payload, task="make")
    sequential.start([Assignment(2, worker, 1, 1, 1, "take", 1, (given_,))])
    (taken,) = sequential.poll(1.0)
    assert taken.value == "null"
    assert same(seen[0], value)


def test_the_judge_of_sameness_sees_differences():
    assert same([1, {math.nan}], [1, {math.nan}])
    for left, right in [(1, True), (0.0, -0.0), ((1,), [1]), ({1: 2}, {1: 3}), ({1}, {1.0}),
                        (Decimal(1), Decimal("1.0")),
                        (Loose(1), Loose(2)), (Strict(1, 2), Strict(1, 3))]:  # fmt: skip
        assert not same(left, right)
