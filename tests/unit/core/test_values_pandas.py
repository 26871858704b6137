"""Frames of pandas come back equal, of equal types in every cell, or are refused."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from elsewhere import read_elsewhere

from durable_wf.core import values_tables
from durable_wf.core.values import decode, decode_payload, encode, encode_result
from durable_wf.errors import NotReadable, NotStorable

FRAMES = [
    pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    pd.DataFrame({"a": [1.5, None]}, index=pd.Index(["r1", "r2"], name="row")),
    pd.DataFrame({"t": pd.to_datetime(["2026-01-01", None], utc=True)}),
    pd.DataFrame({"c": pd.Categorical(["a", "b", "a"], ordered=True)}),
    pd.DataFrame({"i": pd.array([1, None], dtype="Int64")}),
    pd.DataFrame({"a": []}),
    pd.DataFrame(),
    pd.DataFrame({"a": [1]}).set_index(pd.MultiIndex.from_tuples([("x", 1)], names=["p", "q"])),
    pd.DataFrame({0: [1], 1: [2]}),
    pd.DataFrame({"c": pd.Categorical([], categories=["b", "a"])}),
    pd.DataFrame({"a": [1, 2, 3]})[::2].drop(columns="a"),
]


@pytest.mark.parametrize("frame", FRAMES, ids=range(len(FRAMES)))
def test_data_frames_come_back_equal(frame):
    codec, data = encode_result(frame)
    assert codec == "arrow.pandas"
    for back in (decode_payload(codec, data), decode(encode({"df": frame}))["df"]):
        pd.testing.assert_frame_equal(back, frame, check_exact=True, check_flags=True)


@pytest.mark.parametrize(
    "series",
    [pd.Series([1, 2]), pd.Series(["a"], name="s"), pd.Series([1.0], index=["x"], name="")],
    ids=range(3),
)
def test_series_come_back_equal(series):
    back = decode_payload(*encode_result(series))
    pd.testing.assert_series_equal(back, series, check_exact=True)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"o": [object()]}),
        pd.DataFrame({"mixed": [1, "a"]}, dtype=object),
        pd.DataFrame({"t": [(1, 2)]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"d": [{"x": 1}, {"y": 2}]}),
    ],
    ids=range(5),
)
def test_a_frame_that_would_change_is_refused(frame):
    with pytest.raises(NotStorable, match="result: .*Arrow"):
        encode_result(frame)


def test_what_stands_beside_a_frame_is_not_lost_in_silence():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = "disk"
    with pytest.raises(NotStorable, match="attrs"):
        encode_result(frame)
    series = pd.Series([1])
    object.__setattr__(series, "source", "disk")
    with pytest.raises(NotStorable, match="attribute 'source' would be lost"):
        encode_result(series)


# --- cells that are Python objects ----------------------------------------------------------------


def of_objects(*cells):
    return pd.DataFrame({"o": pd.Series(cells, dtype=object)})


@pytest.mark.parametrize(
    "cells",
    [
        [{"at": dt.date(2026, 1, 1), "id": 1}, {"at": None, "id": 2}, None],
        [np.array([1, 2]), np.array([3])],
        [np.array([1, 2], "i2"), None],
        [Decimal("1.10"), Decimal("2.00")],
        [b"a", None],
        [True, None],
        [dt.time(1), dt.time(2)],
    ],
    ids=lambda cells: type(cells[0]).__name__,
)
def test_cells_come_back_with_their_types(cells):
    back = decode_payload(*encode_result(of_objects(*cells)))["o"].tolist()
    assert list(map(type, back)) == list(map(type, cells))
    assert encode(back) == encode(cells)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([{"id": 1}, {"id": 2.5}], r"\[0\]\[\"id\"\]: int would come back as float"),
        ([{"a": {"b": 1}}, {"a": {"b": 2.5}}], r"\[0\]\[\"a\"\]\[\"b\"\]: int would"),
        ([{"x": 1, "y": 2}, {"y": 2, "x": 1}], r"\[1\]: its keys .* in another order"),
        ([{"x": np.str_("a")}], r"\[\"x\"\]: numpy.str_ would come back as str"),
        ([{"x": np.int64(1)}], r"\[\"x\"\]: numpy.int64 would come back as int"),
        ([np.array([1, 2]), np.array([1.5])], r"\[0\]: an array of int64 .* one of float64"),
        ([np.array(["a"])], r"\[0\]: an array of <U1 .* one of object"),
        ([[1], [2]], r"\[0\]: list would come back as numpy.ndarray"),
        ([Decimal("1.10"), Decimal(2)], r"\[1\]: it would come back as another value"),
        ([1, 2], "dtype object would come back as int64"),
    ],
    ids=range(10),
)
def test_cells_that_would_come_back_as_others_are_refused_and_named(cells, words):
    frame = of_objects(*cells)
    for refused, name in ((frame, "column 'o'"), (frame["o"], "its values")):
        with pytest.raises(NotStorable, match=f"result: .* Arrow: {name}.*{words}"):
            encode_result(refused)
    with pytest.raises(NotStorable, match=r'result\["df"\]: .* Arrow'):
        encode({"df": of_objects(*cells)})


def test_labels_that_are_objects_are_compared_with_their_types():
    for index in ([Decimal(1), Decimal("2.0")], [1, 2]):
        frame = pd.DataFrame({"a": [1, 2]}, index=pd.Index(index, dtype=object))
        with pytest.raises(NotStorable, match="Arrow: its index"):
            encode_result(frame)


def test_what_a_task_receives_it_may_change():
    frame = of_objects(np.array([1, 2]), np.array([3]))
    frame["kind"] = pd.Categorical(["a", "b"])
    back = decode_payload(*encode_result(frame))
    back["o"][0][1] = 7
    back.loc[0, "kind"] = "b"
    assert (back["o"][0].tolist(), back["kind"].tolist()) == ([1, 7], ["b", "b"])


# --- index ----------------------------------------------------------------------------------------


def wide(table, level=-1):
    return table.unstack(level)  # noqa: PD010 - a level becomes an index, as it is


DAYS = pd.date_range("2026-01-01", periods=3, freq="D")


@pytest.mark.parametrize(
    "index",
    [
        DAYS,
        pd.date_range("2026-03-28", periods=3, freq="D", tz="Europe/Berlin"),
        pd.date_range("2026-01-31", periods=3, freq="ME", name="end"),
        pd.timedelta_range("1h", periods=3, freq="90min"),
        DAYS[[0, 1, 2]].set_names("none"),
    ],
    ids=range(5),
)
def test_the_frequency_of_an_index_comes_back(index):
    rows = pd.DataFrame({"a": range(len(index))}, index=index)
    assert decode_payload(*encode_result(rows)).index.freq == index.freq
    assert decode_payload(*encode_result(rows["a"])).index.freq == index.freq
    levels = pd.MultiIndex.from_product([index, ["x", "y"]])
    table = pd.Series(range(len(levels)), index=levels)
    back = decode_payload(*encode_result(table))
    assert wide(back).index.freq == wide(table).index.freq
    pd.testing.assert_series_equal(back, table)


def test_the_frequency_of_columns_comes_back():
    frame = pd.DataFrame([[1, 2, 3]], columns=DAYS)
    assert decode_payload(*encode_result(frame)).columns.freq == DAYS.freq


def test_a_frequency_that_no_text_tells_is_refused_with_what_to_do():
    holidays = pd.offsets.CustomBusinessDay(holidays=["2026-01-02"])
    for freq in (pd.DateOffset(months=1), holidays):
        frame = pd.DataFrame({"a": [1, 2]}, pd.date_range("2026-01-01", periods=2, freq=freq))
        with pytest.raises(NotStorable, match=r"(?s)frequency .* lost.*index\.freq = None"):
            encode_result(frame)
        frame.index.freq = None
        assert decode_payload(*encode_result(frame)).index.freq is None
    dated = pd.DataFrame({"c": pd.Categorical(DAYS)})
    with pytest.raises(NotStorable, match="column 'c'"):
        encode_result(dated)


def test_the_order_of_the_levels_of_an_index_comes_back():
    parts = {"train": pd.Series([1, 2]), "test": pd.Series([3, 4]), "all": pd.Series([5, 6])}
    table = pd.concat(parts).iloc[[3, 0, 5, 1, 2, 4]]
    back = decode_payload(*encode_result(table))
    assert list(wide(back, 0).columns) == ["train", "test", "all"]
    pd.testing.assert_frame_equal(wide(back, 0), wide(table, 0))
    pd.testing.assert_series_equal(back, table)
    kinds = pd.CategoricalIndex(["z", "x"], categories=["x", "y", "z"])
    kept = pd.Series([1, 2], index=pd.MultiIndex([kinds, [1]], [[0, 1], [0, 0]]))
    back = decode_payload(*encode_result(kept))
    pd.testing.assert_frame_equal(wide(back, 0), wide(kept, 0))
    some = table[table > 2]
    pd.testing.assert_frame_equal(wide(decode_payload(*encode_result(some))), wide(some))


def test_levels_with_missing_labels_come_back():
    index = pd.MultiIndex.from_arrays([["b", None, "a"], [1.0, 2.0, None]], names=["p", None])
    index = index.set_levels(["b", "a"], level=0).set_codes([0, -1, 1], level=0)
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=index)
    back = decode_payload(*encode_result(frame))
    pd.testing.assert_frame_equal(back, frame)
    assert list(back.index.levels[0]) == ["b", "a"]


# --- time zones, and types that pandas brings to Arrow --------------------------------------------

ZONES = [
    dt.UTC, zoneinfo.ZoneInfo("UTC"), zoneinfo.ZoneInfo("Europe/Berlin"),
    dt.timezone(dt.timedelta(hours=2)), dt.timezone(dt.timedelta(hours=2), "named"),
]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_time_zones_come_back_as_what_they_are(zone):
    times = pd.date_range("2026-01-01", periods=2, tz=zone)
    levels = pd.MultiIndex.from_product([times, ["x"]])
    for index in (times, levels):
        back = decode_payload(*encode_result(pd.DataFrame({"n": [1, 2], "t": times}, index)))
        first = back.index[0] if index is times else back.index[0][0]
        for found in (back["t"][back.index[0]], first):
            assert repr(found.tzinfo) == repr(zone)


def test_periods_and_intervals_come_back_in_a_process_that_has_not_used_pandas_yet():
    months = pd.period_range("2026", periods=2, freq="M")
    frame = pd.DataFrame({"i": pd.interval_range(0, 2), "m": months}, index=months)
    codec, data = encode_result(frame)
    shown = read_elsewhere(codec, data, "type(found.index).__name__, [*map(str, found.dtypes)]")
    assert shown == "('PeriodIndex', ['interval[int64, right]', 'period[M]'])"


# --- what the libraries raise ---------------------------------------------------------------------


def test_whatever_arrow_raises_about_a_frame_is_a_refusal():
    with pytest.raises(NotStorable, match=r"(?s)result: Arrow has no form for it: .*dtype"):
        encode_result(pd.DataFrame({"a": [2**70]}))


def test_short_memory_is_no_refusal(monkeypatch):
    def short(_):
        raise MemoryError

    monkeypatch.setattr(values_tables, "write_arrow", short)
    with pytest.raises(MemoryError):
        encode_result(FRAMES[0])


def test_a_frame_that_was_stored_without_these_facts_is_read_as_before():
    frame = pd.DataFrame({"a": [1, 2, 3]}, index=DAYS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, (table := pa.Table.from_pandas(frame)).schema) as writer:
        writer.write(table)
    back = decode_payload("arrow.pandas", sink.getvalue().to_pybytes())
    assert back.index.freq is None
    pd.testing.assert_frame_equal(back, frame, check_freq=False)


def test_a_pandas_scalar_is_refused_with_what_to_do():
    with pytest.raises(NotStorable, match="to_pydatetime"):
        encode(pd.Timestamp("2026-01-01"))


def test_damaged_tables_are_one_clear_error():
    codec, data = encode_result(FRAMES[0])
    for damaged in (b"", data[: len(data) // 2], b"ARROW1\0\0" + b"\xff" * 50):
        with pytest.raises(NotReadable):
            decode_payload(codec, damaged)
