"""Arrays and scalars of numpy come back with their type, shape and bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from durable_wf.core.values import decode, decode_payload, encode, encode_result
from durable_wf.errors import NotReadable, NotStorable

ARRAYS = [
    np.arange(6).reshape(2, 3), np.array([], "f4"), np.array(1.5), np.array(["a", "bcd"]),
    np.array([1, 2], ">i2"), np.asfortranarray(np.ones((2, 3))), np.array([True]),
    np.array(["2026-01-01"], "M8[D]"), np.array([(1, 2.0)], [("a", "i4"), ("b", "f8")]),
    np.arange(10)[::2], np.array([math.nan, -0.0]),
]  # fmt: skip
SCALARS = [
    np.int64(5), np.uint8(255), np.float64(-0.0), np.float32(0.1), np.bool_(True), np.str_("a\x00"),
    np.bytes_(b"a\x00"), np.complex64(1j), np.datetime64("2026-01-01"), np.timedelta64(5, "s"),
    np.longlong(1), np.float64("nan"), np.longdouble(1) / 3,
]  # fmt: skip


@pytest.mark.parametrize("array", ARRAYS, ids=lambda a: str(a.dtype))
def test_arrays_come_back_with_dtype_and_shape(array):
    codec, data = encode_result(array)
    inside = decode(encode({"a": [array]}))["a"][0]
    for back in (decode_payload(codec, data), inside):
        assert type(back) is np.ndarray
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()
    assert codec == "npy"


@pytest.mark.parametrize("scalar", SCALARS, ids=lambda s: type(s).__name__)
def test_numpy_scalars_come_back_as_what_they_are(scalar):
    back = decode(encode(scalar))
    assert type(back) is type(scalar)
    assert back.dtype == scalar.dtype
    assert back == scalar or (back != back and scalar != scalar)
    assert decode(encode([scalar, 1])) == [scalar, 1] or scalar != scalar


def test_an_array_in_json_when_the_task_asks_for_json():
    codec, text = encode_result(np.arange(3), codec="json")
    assert codec == "json"
    assert decode(text).tolist() == [0, 1, 2]


def test_bytes_after_an_array_are_damage():
    _, data = encode_result(np.arange(3))
    with pytest.raises(NotReadable):
        decode_payload("npy", data + b"x")
    with pytest.raises(NotReadable, match="codec 'pickle' is not known"):
        decode_payload("pickle", data)


def test_records_would_come_back_without_their_attributes_and_are_refused():
    records = np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    array = np.asarray(records)
    assert array[0].a == 1
    for refused in (array, records[0]):
        with pytest.raises(NotStorable, match="does not come back equal"):
            encode_result(refused)
    plain = array.view(array.dtype.descr)
    assert decode_payload(*encode_result(plain)).tolist() == [(1, 2.0)]


def test_whatever_numpy_raises_about_an_array_is_a_refusal(monkeypatch):
    wide = np.zeros(1, [(f"field_{n}", "i4") for n in range(2000)])
    with pytest.raises(NotStorable, match="result: an array of dtype .* has no .npy form"):
        encode_result(wide)
    assert decode(encode(np.zeros(3))).shape == (3,)

    def short(*_, **__):
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "write_array", short)
    for whole in (np.zeros(3), [np.zeros(3)]):
        with pytest.raises(MemoryError):
            encode_result(whole)
