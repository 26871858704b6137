"""What no form can keep is refused with what can be returned in its place."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from durable_wf.core.values import encode, encode_result
from durable_wf.errors import NotStorable


class Field(np.ndarray): ...


class Frame(pd.DataFrame): ...


def as_table(column):
    return pa.table({"values": column})


MASKED = np.ma.MaskedArray([1, 2], mask=[True, False])
REFUSED = [
    (MASKED, lambda v: [v.data, v.mask], "value.data and value.mask"),
    (np.zeros((1, 1)).view(np.matrix), np.asarray, "numpy.asarray(value)"),
    (np.zeros(2).view(Field), np.asarray, "numpy.asarray(value)"),
    (np.rec.array([(1,)], dtype=[("a", "i4")]),
     lambda v: np.asarray(v).view(v.dtype.descr), "numpy.asarray(value).view(value.dtype.descr)"),
    (Frame({"a": [1]}), pd.DataFrame, "pandas.DataFrame(value)"),
    (pd.Index([1, 2]), pd.Series, "pandas.Series(value)"),
    (pd.Categorical(["a"]), pd.Series, "pandas.Series(value)"),
    (pd.array([1, None]), pd.Series, "pandas.Series(value)"),
    (pd.NaT, lambda v: None, "None"),
    (pd.NA, lambda v: None, "None"),
    (pd.Timestamp("2026-01-01"), pd.Timestamp.to_pydatetime, "value.to_pydatetime()"),
    (pd.Timedelta("1s"), pd.Timedelta.to_pytimedelta, "value.to_pytimedelta()"),
    (pl.LazyFrame({"a": [1]}), pl.LazyFrame.collect, "value.collect()"),
    (pa.record_batch({"a": [1]}),
     lambda v: pa.Table.from_batches([v]), "pyarrow.Table.from_batches([value])"),
    (pa.array([1]), as_table, 'pyarrow.table({"values": value})'),
    (pa.chunked_array([[1]]), as_table, 'pyarrow.table({"values": value})'),
    (pa.scalar(1), lambda v: v.as_py(), "value.as_py()"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "remedy", "words"), REFUSED, ids=lambda v: type(v).__name__)
def test_values_of_libraries_are_refused_with_a_remedy_that_works(value, remedy, words):
    for refuse in (encode_result, encode):
        with pytest.raises(NotStorable) as refused:
            refuse(value)
        assert refused.value.hint == f'return {words}, or give the task codec="pickle"'
    encode_result(remedy(value))


def test_any_other_object_may_still_be_pickled():
    with pytest.raises(NotStorable) as refused:
        encode(object())
    assert refused.value.hint == (
        "return plain data, an attrs class or a dataclass; "
        'with codec="pickle" a task may return whatever can be pickled'
    )
