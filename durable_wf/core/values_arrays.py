"""Arrays and tables: numpy, pandas, polars and pyarrow values as bytes others can read too.

Owns: `.npy` for numpy, Arrow IPC for tables, inside JSON (base64) or as a payload of their own.
Must never: import one of these libraries unless a value of it is being written or read; allow
pickled content; return an array or table without having compared it with what was given.
Read next: `values.py`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

from durable_wf.core.values_classes import Refused

LIBRARIES = frozenset({"numpy", "pandas", "polars", "pyarrow"})
"""Top-level modules whose types are looked at here."""

NPY = "npy"
ARROW = "arrow"
"""Codec of a pyarrow Table; `arrow.<name>` is one that becomes a table of another library."""

_PLAIN_KINDS = frozenset("biu")
_SCALARS = frozenset("?bhilqBHILQdUS")
_HEADER = 10_000


def to_bytes(home: str, value: Any) -> tuple[str, bytes] | None:
    """Codec and bytes of an array or a table; None when it is neither. Raises Refused.

    `home` is the top-level module of the value's type.
    """
    if home == "numpy":
        import numpy as np  # heavy; there already, since the value is

        return (NPY, _npy(np, value)) if type(value) is np.ndarray else None
    pack = _TABLES.get((home, type(value).__name__))
    return None if pack is None else (pack.codec, pack.write(value))


def from_bytes(codec: str, data: bytes) -> Any:
    """The array or table of `to_bytes`. Raises ValueError and what the libraries raise."""
    if codec == NPY:
        return _from_npy(data)
    read = _READ_TABLE.get(codec)
    if read is None:
        raise ValueError(f"codec {codec!r} is not known")
    return read(data)


def write(home: str, value: Any) -> tuple[str, Any] | None:
    """Form and content of a value inside JSON; None when it has no form. Raises Refused."""
    found = to_bytes(home, value)
    if found is not None:
        codec, data = found
        return codec, base64.b64encode(data).decode("ascii")
    if home == "numpy":
        return _scalar(value)
    return None


# --- numpy --------------------------------------------------------------------------------------


def _npy(np: Any, value: Any) -> bytes:
    if value.dtype.hasobject:
        raise Refused(
            f"an array of dtype {value.dtype} holds Python objects",
            "return value.tolist(), or give the array a numeric or text dtype",
        )
    file = io.BytesIO()
    try:
        np.lib.format.write_array(file, value, allow_pickle=False)
    except (ValueError, TypeError) as error:
        raise Refused(f"an array of dtype {value.dtype} has no .npy form: {error}") from error
    data = file.getvalue()
    back = _from_npy(data)
    if back.dtype != value.dtype or back.shape != value.shape or back.tobytes() != value.tobytes():
        raise Refused(f"an array of dtype {value.dtype} does not come back equal")
    return data


def _from_npy(data: bytes) -> Any:
    import numpy as np  # heavy

    file = io.BytesIO(data)
    value = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_HEADER)
    if file.tell() != len(data):
        raise ValueError("bytes follow after the array")
    return value


def _scalar(value: Any) -> tuple[str, Any] | None:
    import numpy  # noqa: ICN001 - heavy; there already, since the value is

    np: Any = numpy
    if not isinstance(value, np.generic):
        return None
    kind = type(value)
    dtype = value.dtype
    if kind is np.str_:
        return "scalar", ["U", str.__str__(value)]  # its own str() drops trailing NULs
    if kind is np.bytes_:
        return "scalar", ["S", bytes(value)]
    if dtype.kind in _PLAIN_KINDS or kind is np.float64:
        return "scalar", [dtype.char, value.item()]
    held = np.empty((), dtype)
    held[()] = value
    if kind is not type(held[()]):
        raise Refused(f"{kind.__qualname__} extends a numpy scalar", "return its .item()")
    return "npy0", base64.b64encode(_npy(np, held)).decode("ascii")


def _read_scalar(held: Any) -> Any:
    import numpy as np  # heavy

    char, value = held
    if char not in _SCALARS:
        raise ValueError(f"{char!r} is not such a type")
    return np.dtype(char).type(value)


# --- tables -------------------------------------------------------------------------------------


class _Pack:
    def __init__(
        self, codec: str, write: Callable[[Any], bytes], read: Callable[[bytes], Any]
    ) -> None:
        self.codec = codec
        self.write = write
        self.read = read


def _write_arrow(value: Any) -> bytes:
    import pyarrow as pa  # heavy; there already, since the value is

    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, value.schema) as writer:
        writer.write(value)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _read_arrow(data: bytes) -> Any:
    import pyarrow as pa  # heavy

    with pa.ipc.open_file(pa.BufferReader(data)) as reader:
        return reader.read_all()


def _write_pandas(value: Any) -> bytes:
    try:
        import pyarrow as pa  # heavy
    except ImportError as error:
        raise Refused("pandas tables are stored through pyarrow", "pip install pyarrow") from error
    if value.attrs or value.flags.allows_duplicate_labels is False:
        raise Refused("its attrs or flags would be lost", "clear value.attrs before returning it")
    try:
        table = pa.Table.from_pandas(value)
        if type(value.columns).__name__ == "RangeIndex":
            columns = value.columns
            labels = json.dumps([columns.start, columns.stop, columns.step, columns.name])
            table = table.replace_schema_metadata({**table.schema.metadata, _RANGE: labels})
        data = _write_arrow(table)
        back = _read_pandas(data)
    except (pa.ArrowException, ValueError, TypeError, NotImplementedError) as error:
        raise Refused(f"Arrow has no form for it: {error}", _PANDAS_HINT) from error
    if not _same_pandas(value, back):
        raise Refused("it does not come back equal through Arrow", _PANDAS_HINT)
    return data


_RANGE = b"durable_wf.columns"
"""Metadata: Arrow turns columns numbered by a range into a list of numbers."""

_PANDAS_HINT = "give every column one plain dtype and a name that is text, or use codec='pickle'"


def _same_pandas(value: Any, back: Any) -> bool:
    import pandas as pd  # heavy; there already, since the value is

    try:
        pd.testing.assert_frame_equal(
            value, back, check_exact=True, check_freq=False, check_flags=True
        )
    except (AssertionError, TypeError, ValueError):
        return False
    objects = [name for name, dtype in value.dtypes.items() if dtype.kind == "O"]
    kinds = [(type(f.index), type(f.columns)) for f in (value, back)]
    return kinds[0] == kinds[1] and all(
        list(map(type, value[name])) == list(map(type, back[name])) for name in objects
    )


def _read_pandas(data: bytes) -> Any:
    table = _read_arrow(data)
    frame = table.to_pandas()
    labels = (table.schema.metadata or {}).get(_RANGE)
    if labels is not None:
        import pandas as pd  # heavy; there already, since pyarrow just made a value of it

        start, stop, step, name = json.loads(labels)
        frame.columns = pd.RangeIndex(start, stop, step, name=name)
    return frame


def _write_series(value: Any) -> bytes:
    name = "" if value.name is None else value.name
    if type(name) is not str:
        raise Refused("its name is not text", "value.rename('...')")
    return _write_pandas(value.to_frame(_SERIES if value.name is None else f"={name}"))


_SERIES = "-"


def _read_series(data: bytes) -> Any:
    frame = _read_pandas(data)
    column = frame.columns[0]
    return frame[column].rename(None if column == _SERIES else column[1:])


def _write_polars(value: Any) -> bytes:
    import polars as pl  # heavy; there already, since the value is

    if any(dtype == pl.Object for dtype in value.dtypes):
        raise Refused("a column of dtype Object holds Python objects", "cast it")
    data = value.write_ipc(None).getvalue()
    back = _read_polars(data)
    if back.schema != value.schema or not back.equals(value, null_equal=True):
        raise Refused("it does not come back equal through Arrow")
    return data  # type: ignore[no-any-return]


def _read_polars(data: bytes) -> Any:
    import polars as pl  # heavy

    return pl.read_ipc(data)


def _write_polars_series(value: Any) -> bytes:
    return _write_polars(value.to_frame())


def _read_polars_series(data: bytes) -> Any:
    return _read_polars(data).to_series()


_TABLES = {
    ("pyarrow", "Table"): _Pack(ARROW, _write_arrow, _read_arrow),
    ("pandas", "DataFrame"): _Pack("arrow.pandas", _write_pandas, _read_pandas),
    ("pandas", "Series"): _Pack("arrow.pandas.series", _write_series, _read_series),
    ("polars", "DataFrame"): _Pack("arrow.polars", _write_polars, _read_polars),
    ("polars", "Series"): _Pack("arrow.polars.series", _write_polars_series, _read_polars_series),
}
_READ_TABLE = {pack.codec: pack.read for pack in _TABLES.values()}


def _inside(codec: str) -> Callable[[Any], Any]:
    return lambda held: from_bytes(codec, base64.b64decode(held, validate=True))


READERS: dict[str, Callable[[Any], Any]] = {
    **{codec: _inside(codec) for codec in (NPY, *_READ_TABLE)},
    "npy0": lambda held: _from_npy(base64.b64decode(held, validate=True))[()],
    "scalar": _read_scalar,
}
"""Form -> how its content is read."""
