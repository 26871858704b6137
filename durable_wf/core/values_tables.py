"""Tables of pyarrow and polars as Arrow IPC, and the Arrow IPC of tables of pandas.

Owns: `write_arrow` and `read_arrow`, with what Arrow does in silence: a type that nobody has
registered in a process comes back as the plain one behind it.
Must never: return the bytes of a table without having compared what they give back with it.
Read next: `values_pandas.py`, `values_arrays.py`, which calls both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from durable_wf.core.values_classes import Refused
from durable_wf.core.values_same import change_in_cells

_EXTENSION = b"ARROW:extension:name"
"""Metadata of a field whose type is not registered here; of one that is, Arrow takes it out."""

_PANDAS_TYPES = "pandas."
HINT = (
    "value.unify_dictionaries() where the chunks of a column differ in theirs; "
    'else give the task codec="pickle"'
)
"""What to do about a pyarrow Table that is refused."""

_UNEQUAL = "it does not come back equal through Arrow"


# --- pyarrow ------------------------------------------------------------------------------------


def write_arrow(value: Any) -> bytes:
    """The bytes of a pyarrow Table, not compared. Raises what pyarrow raises."""
    import pyarrow as pa  # heavy; there already, since the value is

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, value.schema) as writer:
        writer.write(value)
        chunks = [column.chunk(0) for column in value.columns if column.num_chunks]
        if not value.num_rows and chunks and len(chunks) == value.num_columns:
            # Without a batch there would be no dictionaries, and so no categories, either.
            writer.write(pa.RecordBatch.from_arrays(chunks, schema=value.schema))
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def read_arrow(data: bytes) -> Any:
    """The pyarrow Table of these bytes.

    Raises ValueError for a type of which this process knows nothing, and what pyarrow raises.
    """
    table = _open(data)
    if any(name.startswith(_PANDAS_TYPES) for name in _unknown(table.schema)):
        know_pandas_types()
        table = _open(data)
    if names := ", ".join(map(repr, _unknown(table.schema))):
        raise ValueError(
            f"the Arrow extension type {names} is not registered in this process; "
            "pyarrow.register_extension_type(...) belongs into the module of the function"
        )
    return table


def know_pandas_types() -> None:
    """Make Arrow know the types of pandas, periods and intervals: pandas itself registers them
    only when it writes one.
    """
    # Heavy; the caller has a table of pandas, and so needs it anyway.
    import pandas as pd
    import pyarrow as pa

    pa.array(pd.array([], dtype="period[D]"))


def write_table(value: Any) -> bytes:
    """The bytes of a pyarrow Table. Raises Refused, and what pyarrow raises."""
    data = write_arrow(value)
    back = read_arrow(data)
    if not back.schema.equals(value.schema, check_metadata=True) or back.num_rows != value.num_rows:
        raise Refused(f"{_UNEQUAL}: schema or rows would be others", HINT)
    for name, column, again in zip(value.column_names, value, back, strict=True):
        if not _same_column(column, again):
            raise Refused(f"{_UNEQUAL}: column {name!r} would be another", HINT)
    return data


def _open(data: bytes) -> Any:
    import pyarrow as pa  # heavy

    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        return reader.read_all()


def _unknown(fields: Any) -> list[str]:
    """The names of extension types that stand beside plain fields."""
    return [
        (field.metadata or {})[_EXTENSION].decode(errors="replace")
        for field in _within(fields)
        if _EXTENSION in (field.metadata or {})
    ]


def _within(fields: Any) -> Iterator[Any]:
    for field in fields:
        yield field
        yield from _within(field.type.field(at) for at in range(field.type.num_fields))


def _same_column(value: Any, back: Any) -> bool:
    return value.equals(back) or _same(value.combine_chunks(), back.combine_chunks())


def _same(value: Any, back: Any) -> bool:
    """Whether two arrays of one type are equal where NaN is equal to itself, as it is not for
    Arrow. Only arrays that hold one come further than the first line.
    """
    import pyarrow as pa  # heavy; there already, since the values are

    if value.equals(back):
        return True
    kind, types = value.type, pa.types
    if types.is_floating(kind):
        bits = {16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[kind.bit_width]
        return bool(value.view(bits).equals(back.view(bits)))
    if isinstance(kind, pa.BaseExtensionType):
        return _same(value.storage, back.storage)
    if types.is_struct(kind):
        parts = list(zip(value.flatten(), back.flatten(), strict=True))
    elif types.is_list(kind) or types.is_large_list(kind):
        if not value.value_lengths().equals(back.value_lengths()):
            return False
        parts = [(value.flatten(), back.flatten())]
    elif types.is_fixed_size_list(kind):
        parts = [(value.flatten(), back.flatten())]
    else:
        return not change_in_cells(value.to_pylist(), back.to_pylist())
    return value.is_null().equals(back.is_null()) and all(_same(*part) for part in parts)


# --- polars -------------------------------------------------------------------------------------


def write_polars(value: Any) -> bytes:
    """The bytes of a polars DataFrame. Raises Refused, and what polars raises."""
    import polars as pl  # heavy; there already, since the value is

    if any(dtype == pl.Object for dtype in value.dtypes):
        raise Refused("a column of dtype Object holds Python objects", "cast it")
    data = value.write_ipc(None).getvalue()
    back = read_polars(data)
    if back.schema != value.schema or not back.equals(value, null_equal=True):
        raise Refused(_UNEQUAL)
    return data  # type: ignore[no-any-return]


def read_polars(data: bytes) -> Any:
    """The polars DataFrame of these bytes.

    Raises ValueError for a type of which this process knows nothing, and what polars raises.
    """
    import polars as pl  # heavy

    frame = pl.read_ipc(data)
    unknown = getattr(pl, "Extension", None)
    if unknown is not None:
        for name, dtype in frame.schema.items():
            if any(type(part) is unknown for part in _parts(dtype)):
                raise ValueError(
                    f"column {name!r} is of {dtype}, which is not registered in this process; "
                    "polars.register_extension_type(...) belongs into the module of the function"
                )
    return frame


def _parts(dtype: Any) -> Iterator[Any]:
    yield dtype
    for field in getattr(dtype, "fields", ()):
        yield from _parts(field.dtype)
    if (inner := getattr(dtype, "inner", None)) is not None:
        yield from _parts(inner)


def write_polars_series(value: Any) -> bytes:
    """The bytes of a polars Series. Raises as `write_polars`."""
    return write_polars(value.to_frame())


def read_polars_series(data: bytes) -> Any:
    """The polars Series of these bytes. Raises as `read_polars`."""
    return read_polars(data).to_series()
