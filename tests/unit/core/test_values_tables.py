"""Tables of pandas, polars and pyarrow come back equal through Arrow, or are refused."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from durable_wf.core.values import decode, decode_payload, encode, encode_result
from durable_wf.errors import NotReadable, NotStorable

UTC = dt.UTC
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


def test_attributes_of_a_frame_are_not_lost_in_silence():
    frame = pd.DataFrame({"a": [1]})
    frame.attrs["source"] = "disk"
    with pytest.raises(NotStorable, match="attrs"):
        encode_result(frame)


def test_polars_frames_and_series_come_back_equal():
    frame = pl.DataFrame(
        {"a": [1, None], "b": [[1], []], "t": [dt.datetime(2026, 1, 1, tzinfo=UTC)] * 2}
    )
    back = decode_payload(*encode_result(frame))
    assert (back.schema, back.equals(frame)) == (frame.schema, True)
    assert decode(encode([frame]))[0].equals(frame)
    series = pl.Series("s", [1.5, float("nan")])
    assert decode_payload(*encode_result(series)).equals(series)
    with pytest.raises(NotStorable, match="Object"):
        encode_result(pl.DataFrame({"o": [object()]}))


def test_arrow_tables_come_back_equal():
    table = pa.table({"a": [1, 2], "b": [{"x": 1}, None]}).replace_schema_metadata({"k": "v"})
    codec, data = encode_result(table)
    back = decode_payload(codec, data)
    assert codec == "arrow"
    assert back.equals(table, check_metadata=True)


def test_a_pandas_scalar_is_refused_with_what_to_do():
    with pytest.raises(NotStorable, match="to_pydatetime"):
        encode(pd.Timestamp("2026-01-01"))


def test_damaged_tables_are_one_clear_error():
    codec, data = encode_result(FRAMES[0])
    for damaged in (b"", data[: len(data) // 2], b"ARROW1\0\0" + b"\xff" * 50):
        with pytest.raises(NotReadable):
            decode_payload(codec, damaged)
