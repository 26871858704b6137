"""Tables of polars and pyarrow come back equal through Arrow, or are refused."""

from __future__ import annotations

import contextlib
import datetime as dt
import math

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from elsewhere import read_elsewhere

from durable_wf.core import values_tables
from durable_wf.core.values import decode, decode_payload, encode, encode_result
from durable_wf.errors import NotReadable, NotStorable

UTC = dt.UTC


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


NAN = math.nan
WITH_NAN = [
    pa.array([1.0, NAN, None, -0.0]), pa.array([1.0, NAN], pa.float32()),
    pa.array([[1.0, NAN], None, []]), pa.array([[NAN, 1.0], None], pa.list_(pa.float64(), 2)),
    pa.array([{"a": NAN, "b": "x"}, None]), pa.array([[{"a": [NAN]}]]),
    pa.array([[("k", NAN)], None], pa.map_(pa.string(), pa.float64())),
    pa.array([1.0, NAN]).dictionary_encode(), pa.array([0.5, NAN, NAN])[1:],
]  # fmt: skip


@pytest.mark.parametrize("column", WITH_NAN, ids=lambda c: str(c.type))
def test_arrow_columns_with_nan_come_back(column):
    table = pa.table({"a": column, "text": ["t"] * len(column)})
    back = decode_payload(*encode_result(table))
    assert back.schema == table.schema
    assert repr(back.to_pylist()) == repr(table.to_pylist())


@pytest.mark.parametrize("column", [*WITH_NAN, pa.array([1, 2]), pa.array(["a"])])
def test_an_arrow_column_that_came_back_as_another_would_be_refused(column, monkeypatch):
    table = pa.table({"a": column})
    others = [column.take(pa.array([len(column) - 1] * len(column)))]
    others.append(pa.nulls(len(column), column.type))
    for other in others:
        if repr(other.to_pylist()) == repr(column.to_pylist()):
            continue
        monkeypatch.setattr(values_tables, "read_arrow", lambda _, o=other: pa.table({"a": o}))
        with pytest.raises(NotStorable, match="column 'a' would be another"):
            encode_result(table)


def test_what_arrow_cannot_write_is_refused_with_what_to_do():
    parts = [pa.array(["a"]).dictionary_encode(), pa.array(["b"]).dictionary_encode()]
    table = pa.table({"a": pa.chunked_array(parts)})
    with pytest.raises(NotStorable, match=r"(?s)result: Arrow has no form .*unify_dict"):
        encode_result(table)
    assert decode_payload(*encode_result(table.unify_dictionaries())).equals(
        table.unify_dictionaries()
    )


def test_damaged_tables_are_one_clear_error():
    for codec, data in (
        encode_result(pa.table({"a": [1, 2]})),
        encode_result(pl.DataFrame({"a": [1, 2]})),
    ):
        for damaged in (b"", data[: len(data) // 2], b"ARROW1\0\0" + b"\xff" * 50):
            with pytest.raises(NotReadable):
                decode_payload(codec, damaged)


# --- types that somebody has to register ----------------------------------------------------------


class Celsius(pa.ExtensionType):
    def __init__(self):
        super().__init__(pa.int64(), "tests.celsius")

    def __arrow_ext_serialize__(self):
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type, serialized):
        return cls()


@pytest.fixture
def celsius():
    """An extension type that is registered within the test."""
    pa.register_extension_type(Celsius())
    yield pa.table({"t": pa.ExtensionArray.from_storage(Celsius(), pa.array([1, None]))})
    with contextlib.suppress(pa.ArrowKeyError):
        pa.unregister_extension_type("tests.celsius")


def test_a_registered_type_of_arrow_comes_back(celsius):
    assert decode_payload(*encode_result(celsius)).schema == celsius.schema


@pytest.mark.parametrize("nest", [lambda a: a, lambda a: pa.StructArray.from_arrays([a], ["in"])])
def test_a_type_that_arrow_does_not_know_is_never_taken_for_the_plain_one(celsius, nest):
    table = pa.table({"t": nest(celsius["t"].combine_chunks())})
    codec, data = encode_result(table)
    pa.unregister_extension_type("tests.celsius")
    with pytest.raises(NotReadable, match="'tests.celsius' is not registered in this process"):
        decode_payload(codec, data)
    with pytest.raises(NotStorable, match="'tests.celsius' is not registered in this process"):
        encode_result(table)


def test_types_of_pandas_are_known_in_a_process_that_has_not_used_it_yet():
    periods = pa.Table.from_pandas(
        pd.DataFrame({"p": pd.period_range("2026", periods=2, freq="M")})
    )
    codec, data = encode_result(periods)
    shown = read_elsewhere(codec, data, "found.schema.field('p').type")
    assert shown.startswith("extension<pandas.period")


def test_a_type_of_polars_that_is_not_known_is_never_taken_for_another():
    class Kelvin(pl.BaseExtension):
        def __init__(self):
            super().__init__("tests.kelvin", pl.Int64)

        @classmethod
        def ext_from_params(cls, name, storage, metadata):
            return cls()

    pl.register_extension_type("tests.kelvin", Kelvin)
    try:
        frame = pl.DataFrame({"t": pl.Series([1]).ext.to(Kelvin())})
        nested = frame.select(pl.struct("t").implode())
        stored = [encode_result(one) for one in (frame, nested)]
        assert [decode_payload(*one).schema for one in stored] == [frame.schema, nested.schema]
    finally:
        pl.unregister_extension_type("tests.kelvin")
    for one in stored:
        with pytest.raises(NotReadable, match="not registered in this process"):
            decode_payload(*one)
