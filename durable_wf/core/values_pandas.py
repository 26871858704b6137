"""Tables of pandas as Arrow IPC, with what Arrow does not keep of them written beside it.

Owns: `write` and `read` of a DataFrame, `write_series` and `read_series`; `_change`, which says
what of a frame would come back as something else.
Must never: return the bytes of a frame without having compared what they give back with it: index,
dtypes, and each cell that is a Python object.
Read next: `values_same.py`, for those cells.
"""

from __future__ import annotations

import datetime as dt
import json
import zoneinfo
from typing import Any

from durable_wf.core import values_tables as tables
from durable_wf.core.values_classes import Refused
from durable_wf.core.values_same import change, change_in_cells
from durable_wf.core.values_standard import read_zone, write_zone

_RANGE = b"durable_wf.columns"
"""Metadata: Arrow turns columns numbered by a range into a list of numbers."""

_BESIDE = b"durable_wf.beside"
"""Metadata: per level of "index" and "columns" what Arrow drops (see `_of_level`), and in "zones"
the time zones of columns by position, since Arrow keeps but their names.
"""

HINT = "give every column one plain dtype and a name that is text, or use codec='pickle'"
"""What to do about a frame that is refused."""

_NOTHING = [None, None, None]


def write(value: Any) -> bytes:
    """The bytes of a DataFrame. Raises Refused, and what pandas and pyarrow raise."""
    _refuse_what_is_beside(value)
    return _write(value, [f"column {name!r}" for name in value.columns])


def _write(value: Any, names: list[str]) -> bytes:
    """The bytes of a frame whose columns are called by these names in refusals."""
    try:
        import pyarrow as pa  # heavy
    except ImportError as error:
        raise Refused("pandas tables are stored through pyarrow", "pip install pyarrow") from error
    table = pa.Table.from_pandas(value)
    beside: dict[bytes, bytes] = {}
    columns = value.columns
    if type(columns).__name__ == "RangeIndex":
        labels = [columns.start, columns.stop, columns.step, columns.name]
        beside[_RANGE] = json.dumps(labels).encode()
    if found := _beside(value):
        beside[_BESIDE] = json.dumps(found).encode()
    if beside:
        table = table.replace_schema_metadata({**table.schema.metadata, **beside})
    data = tables.write_arrow(table)
    if words := _change(value, read(data), names):
        raise Refused(f"it does not come back equal through Arrow: {words}", HINT)
    return data


def read(data: bytes) -> Any:
    """The DataFrame of these bytes. Raises ValueError and what pandas and pyarrow raise."""
    import pandas as pd  # heavy

    table = tables.read_arrow(data)
    frame = table.to_pandas()
    metadata = table.schema.metadata or {}
    labels = metadata.get(_RANGE)
    if labels is not None:
        start, stop, step, name = json.loads(labels)
        frame.columns = pd.RangeIndex(start, stop, step, name=name)
    beside = json.loads(metadata.get(_BESIDE, b"{}"))
    if levels := beside.get("index"):
        frame.index = _restored(frame.index, levels)
    if levels := beside.get("columns"):
        frame.columns = _restored(frame.columns, levels)
    for at, zone in beside.get("zones", {}).items():
        column = frame.iloc[:, int(at)]
        frame.isetitem(int(at), column.dt.tz_convert(read_zone(zone)))
    _make_writeable(frame, table.schema)
    return frame


def write_series(value: Any) -> bytes:
    """The bytes of a Series. Raises as `write`."""
    name = "" if value.name is None else value.name
    if type(name) is not str:
        raise Refused("its name is not text", "value.rename('...')")
    _refuse_what_is_beside(value)
    return _write(value.to_frame(_SERIES if value.name is None else f"={name}"), ["its values"])


def read_series(data: bytes) -> Any:
    """The Series of these bytes. Raises as `read`."""
    frame = read(data)
    column = frame.columns[0]
    return frame[column].rename(None if column == _SERIES else column[1:])


_SERIES = "-"


def _refuse_what_is_beside(value: Any) -> None:
    if value.attrs or value.flags.allows_duplicate_labels is False:
        raise Refused("its attrs or flags would be lost", "clear value.attrs before returning it")
    if extra := next((name for name in vars(value) if not name.startswith("_")), ""):
        raise Refused(f"its attribute {extra!r} would be lost", "return it beside the table")


# --- what Arrow does not keep -------------------------------------------------------------------


def _beside(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, index in (("index", value.index), ("columns", value.columns)):
        levels = [_of_level(*level) for level in _levels(index)]
        if any(level != _NOTHING for level in levels):
            found[name] = levels
    dtypes = enumerate(value.dtypes)
    zones = {str(at): zone for at, dtype in dtypes if (zone := _zone(dtype)) is not None}
    if zones:
        found["zones"] = zones
    return found


def _levels(index: Any) -> list[tuple[Any, Any]]:
    """The levels of an index with their codes, which those of a plain one go without."""
    if not hasattr(index, "levels"):
        return [(index, None)]
    used = index.remove_unused_levels()
    return list(zip(used.levels, used.codes, strict=True))


def _of_level(level: Any, codes: Any) -> list[Any]:
    """Frequency, time zone and order of a level. The order names its items, as they are met in the
    rows, by their place in the level; where they are sorted there is no need of it.
    """
    order = None
    if codes is not None and not level.is_monotonic_increasing:
        order = _met(codes).tolist()
    return [_frequency(level), _zone(level.dtype), order]


def _met(codes: Any) -> Any:
    """The codes in the order in which they are met; -1, which is no item, is left out."""
    import pandas as pd  # heavy; there already, since the value is

    return pd.unique(codes[codes >= 0])


def _frequency(level: Any) -> str | None:
    """The frequency of an index of times, as text. Raises Refused for one that no text tells."""
    import pandas as pd  # heavy; there already, since the value is

    freq = getattr(level, "freq", None)
    if freq is None or isinstance(level, pd.PeriodIndex):  # there it is a part of the dtype
        return None
    try:
        known = pd.tseries.frequencies.to_offset(freq.freqstr)
    except ValueError:
        known = None
    if known != freq:
        raise Refused(
            f"the frequency {freq!r} of its index would be lost", "value.index.freq = None drops it"
        )
    return str(freq.freqstr)


def _zone(dtype: Any) -> Any:
    """The time zone of a dtype as JSON, when it is of a class that has such a form."""
    zone = getattr(dtype, "tz", None)
    if type(zone) is dt.timezone or (type(zone) is zoneinfo.ZoneInfo and zone.key is not None):
        return write_zone(zone)
    return None


def _restored(index: Any, levels: list[list[Any]]) -> Any:
    import pandas as pd  # heavy; there already, since the index is

    if not isinstance(index, pd.MultiIndex):
        return _timed(index, *levels[0][:2])
    made = [
        _ordered(level, codes, order)
        for (level, codes), (_, _, order) in zip(_levels(index), levels, strict=True)
    ]
    return pd.MultiIndex(
        [_timed(level, *held[:2]) for (level, _), held in zip(made, levels, strict=True)],
        [codes for _, codes in made],
        names=index.names,
        verify_integrity=False,
    )


def _ordered(level: Any, codes: Any, order: list[int] | None) -> tuple[Any, Any]:
    if order is None:
        return level, codes
    import numpy as np  # heavy; there already, since the index is

    place = np.full(len(level) + 1, -1)  # the last one is that of -1, which stays
    place[_met(codes)] = order
    return level.take(np.argsort(place[:-1])), place[codes]


def _timed(index: Any, freq: str | None, zone: Any) -> Any:
    if zone is not None:
        index = index.tz_convert(read_zone(zone))
    if freq is not None:
        index.freq = freq
    return index


def _make_writeable(frame: Any, schema: Any) -> None:
    """Copy what pyarrow lends to pandas: a task may change what it is given."""
    # Heavy; there already, since the frame is.
    import numpy as np
    import pandas as pd

    for at, dtype in enumerate(frame.dtypes):
        if dtype.kind != "O":
            continue
        if isinstance(dtype, pd.CategoricalDtype):
            frame.isetitem(at, frame.iloc[:, at].copy())
        elif _is_object(dtype) and schema.field(at).type.num_fields:
            cells = np.empty(len(frame), object)
            for row, cell in enumerate(frame.iloc[:, at]):
                cells[row] = cell.copy() if type(cell) is np.ndarray else cell
            frame.isetitem(at, pd.Series(cells, index=frame.index))


# --- the comparison -----------------------------------------------------------------------------


def _change(value: Any, back: Any, names: list[str]) -> str:
    """What of a frame comes back as something else, in words; "" when nothing does."""
    import pandas as pd  # heavy; there already, since the value is

    for word, index, again in (
        ("its index", value.index, back.index),
        ("its columns", value.columns, back.columns),
    ):
        if found := _change_in_index(index, again):
            return f"{word}{found}"
    dtypes = list(zip(value.dtypes, back.dtypes, strict=True))
    for name, (dtype, again) in zip(names, dtypes, strict=True):
        if not _same_dtype(dtype, again):
            return f"{name}: dtype {dtype} would come back as {again}"
    objects = [at for at, (dtype, _) in enumerate(dtypes) if _is_object(dtype)]
    if objects:
        for at in objects:
            cells, again = (frame.iloc[:, at].to_numpy().tolist() for frame in (value, back))
            if found := change_in_cells(cells, again):
                return f"{names[at]}{found}"
        plain = [at for at in range(len(dtypes)) if at not in set(objects)]
        value, back = value.iloc[:, plain], back.iloc[:, plain]
    if value.equals(back):
        return ""
    try:  # `equals` does not find NaN equal to itself in columns of Arrow
        pd.testing.assert_frame_equal(value, back, check_exact=True, check_freq=False)
    except (AssertionError, TypeError, ValueError) as error:
        return str(error).partition("\n")[0]
    return ""


def _change_in_index(index: Any, back: Any) -> str:
    if type(index) is not type(back):
        return f": {type(index).__name__} would come back as {type(back).__name__}"
    if found := change(list(index.names), list(back.names)):
        return f", names {found}"
    if hasattr(index, "step"):
        return change(*((i.start, i.stop, i.step) for i in (index, back)))
    levels, again = _levels(index), _levels(back)
    if len(levels) != len(again):
        return f": {len(levels)} levels would come back as {len(again)}"
    for (level, codes), (other, others) in zip(levels, again, strict=True):
        if found := _change_in_level(level, other):
            return found
        if codes is not None and not (codes == others).all():
            return ": the order of a level would be another"
    return ""


def _change_in_level(level: Any, back: Any) -> str:
    if not _same_dtype(level.dtype, back.dtype):
        return f": dtype {level.dtype} would come back as {back.dtype}"
    freqs = [getattr(index, "freq", None) for index in (level, back)]
    if freqs[0] != freqs[1]:
        return f": frequency {freqs[0]} would come back as {freqs[1]}"
    if _is_object(level.dtype):
        return change_in_cells(level.tolist(), back.tolist())
    return "" if level.equals(back) else ": it would come back as another"


def _same_dtype(dtype: Any, back: Any) -> bool:
    """Whether two dtypes are equal in what `==` does not look at, too."""
    if dtype is back:
        return True
    if type(dtype) is not type(back) or dtype != back:
        return False
    if hasattr(dtype, "categories"):
        same_order = dtype.ordered == back.ordered
        return same_order and not _change_in_index(dtype.categories, back.categories)
    if hasattr(dtype, "subtype"):
        return _same_dtype(dtype.subtype, back.subtype)
    if hasattr(dtype, "tz"):
        zones = dtype.tz, back.tz
        return type(zones[0]) is type(zones[1]) and repr(zones[0]) == repr(zones[1])
    return repr(getattr(dtype, "na_value", "")) == repr(getattr(back, "na_value", ""))


def _is_object(dtype: Any) -> bool:
    import numpy as np  # heavy; there already, since the dtype is

    return isinstance(dtype, np.dtype) and dtype.kind == "O"
