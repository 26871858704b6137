"""Arrays and tables: numpy, pandas, polars and pyarrow values as bytes others can read too.

Owns: `.npy` for numpy, the table of who packs which kind of table, and where the bytes stand:
inside JSON (base64) or as a payload of their own.
Must never: import one of these libraries unless a value of it is being written or read; allow
pickled content; return an array without having compared it with what was given.
Read next: `values_tables.py` and `values_pandas.py`, for the tables; `values.py`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from durable_wf.core import values_pandas as frames
from durable_wf.core import values_tables as tables
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
    return None if pack is None else _packed(pack, value)


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


_REMEDIES = {
    ("numpy", "MaskedArray"): "value.data and value.mask",
    ("numpy", "recarray"): "numpy.asarray(value).view(value.dtype.descr)",
    ("numpy", "ndarray"): "numpy.asarray(value)",
    ("pandas", "DataFrame"): "pandas.DataFrame(value)",
    ("pandas", "Series"): "pandas.Series(value)",
    ("pandas", "Index"): "pandas.Series(value)",
    ("pandas", "ExtensionArray"): "pandas.Series(value)",
    ("pandas", "NaTType"): "None",
    ("pandas", "NAType"): "None",
    ("pandas", "Timestamp"): "value.to_pydatetime()",
    ("pandas", "Timedelta"): "value.to_pytimedelta()",
    ("polars", "DataFrame"): "polars.DataFrame(value)",
    ("polars", "LazyFrame"): "value.collect()",
    ("pyarrow", "RecordBatch"): "pyarrow.Table.from_batches([value])",
    ("pyarrow", "Array"): 'pyarrow.table({"values": value})',
    ("pyarrow", "ChunkedArray"): 'pyarrow.table({"values": value})',
    ("pyarrow", "Scalar"): "value.as_py()",
}


def remedy(kind: type) -> str | None:
    """What to return in the place of an instance of one of these libraries' classes, or of one
    that extends them, which has no form; None for any other class.
    """
    for part in kind.__mro__:
        found = _REMEDIES.get((part.__module__.partition(".")[0], part.__name__))
        if found is not None:
            return found
    return None


# --- numpy --------------------------------------------------------------------------------------


def _npy(np: Any, value: Any) -> bytes:
    what = f"an array of dtype {value.dtype!s:.200}"
    if value.dtype.hasobject:
        raise Refused(
            f"{what} holds Python objects",
            "return value.tolist(), or give the array a numeric or text dtype",
        )
    file = io.BytesIO()
    try:
        np.lib.format.write_array(file, value, allow_pickle=False)
        data = file.getvalue()
        back = _from_npy(data)
    except MemoryError:
        raise
    except Exception as error:  # a dtype that it cannot write, or of which it cannot read so much
        raise Refused(f"{what} has no .npy form: {error}") from error
    if back.dtype.type is not value.dtype.type:  # records, which `==` takes for plain ones
        raise Refused(
            f"{what} does not come back equal",
            "return numpy.asarray(value).view(value.dtype.descr)",
        )
    if back.dtype != value.dtype or back.shape != value.shape or back.tobytes() != value.tobytes():
        raise Refused(f"{what} does not come back equal")
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
        self,
        codec: str,
        write: Callable[[Any], bytes],
        read: Callable[[bytes], Any],
        hint: str = 'give the task codec="pickle"',
    ) -> None:
        self.codec = codec
        self.write = write
        self.read = read
        self.hint = hint


def _packed(pack: _Pack, value: Any) -> tuple[str, bytes]:
    try:
        return pack.codec, pack.write(value)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # what the libraries raise for what they cannot write is not known
        raise Refused(f"Arrow has no form for it: {error}", pack.hint) from error


_TABLES = {
    ("pyarrow", "Table"): _Pack(ARROW, tables.write_table, tables.read_arrow, tables.HINT),
    ("pandas", "DataFrame"): _Pack("arrow.pandas", frames.write, frames.read, frames.HINT),
    ("pandas", "Series"): _Pack(
        "arrow.pandas.series", frames.write_series, frames.read_series, frames.HINT
    ),
    ("polars", "DataFrame"): _Pack("arrow.polars", tables.write_polars, tables.read_polars),
    ("polars", "Series"): _Pack(
        "arrow.polars.series", tables.write_polars_series, tables.read_polars_series
    ),
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
