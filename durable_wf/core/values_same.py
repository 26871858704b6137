"""Whether a value that came back from a library is the one that was given to it.

Owns: `change`, which compares what stands in the cells of tables, in value and in type, all the
way down, and says in words what is another.
Must never: leave the judgement to `==`, for which 1 and 1.0 are equal, and 2 and 2.00; or call two
values the same of whose type it knows nothing.
Read next: `values_pandas.py`, `values_tables.py`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

_BY_EQUALITY = frozenset({bool, int, str, bytes, type(None), UUID, dt.date, dt.timedelta})
_BY_WORDS = frozenset({float, complex, Decimal, dt.datetime, dt.time})
"""Here `==` does not see a difference in sign, scale, fold or zone; repr() shows it."""

_LEAVES = _BY_EQUALITY | _BY_WORDS

_OTHER = ": it would come back as another value"
_SHOWN = 40


def change(value: Any, back: Any) -> str:
    """What is another in `back`, with the way to it, as `["id"]: int would come back as float`;
    "" when nothing is.
    """
    kind = type(value)
    if kind is not type(back):
        return f": {_name(kind)} would come back as {_name(type(back))}"
    if kind in _BY_EQUALITY:
        return "" if value == back else _OTHER
    if kind in _BY_WORDS:
        return "" if repr(value) == repr(back) else _OTHER
    if kind is dict:
        return _change_in_dict(value, back)
    if kind is list or kind is tuple:
        if len(value) != len(back):
            return f": {len(value)} items would come back as {len(back)}"
        return _first(zip(value, back, strict=True))
    if kind.__module__ == "numpy":
        return _change_in_numpy(value, back)
    return f": values of type {_name(kind)} cannot be compared"


def change_in_cells(cells: Sequence[Any], back: Sequence[Any]) -> str:
    """The same for two long lists, of which most hold nothing but text, bytes or whole numbers."""
    if _BY_EQUALITY.issuperset(map(type, cells)) and _of_same_types(cells, back) and cells == back:
        return ""
    return change(cells, back)


def _of_same_types(items: Iterable[Any], back: Iterable[Any]) -> bool:
    return list(map(type, items)) == list(map(type, back))


def _first(pairs: Iterable[tuple[Any, Any]]) -> str:
    for at, (item, again) in enumerate(pairs):
        if found := change(item, again):
            return f"[{at}]{found}"
    return ""


def _change_in_dict(value: dict[Any, Any], back: dict[Any, Any]) -> str:
    if (
        _LEAVES.issuperset(map(type, value.values()))
        and _of_same_types(value.values(), back.values())
        and _of_same_types(value, back)
        and _LEAVES.issuperset(map(type, value))
        and repr(value) == repr(back)
    ):
        return ""  # the same as what follows, at the speed of C
    if len(value) != len(back):
        return f": {len(value)} keys would come back as {len(back)}"
    for (key, item), (other, again) in zip(value.items(), back.items(), strict=True):
        if change(key, other):
            return ": its keys would come back as others, or in another order"
        if found := change(item, again):
            return f"[{json.dumps(str(key)[:_SHOWN])}]{found}"
    return ""


def _change_in_numpy(value: Any, back: Any) -> str:
    """Arrays and scalars of numpy, whose types are told apart by their dtypes."""
    import numpy as np  # heavy; there already, since the values are

    if not isinstance(value, np.ndarray | np.generic):
        return f": values of type {_name(type(value))} cannot be compared"
    if value.dtype != back.dtype or value.shape != back.shape:
        return (
            f": an array of {value.dtype} and shape {value.shape} would come back as one of "
            f"{back.dtype} and shape {back.shape}"
        )
    if value.flags.writeable and not back.flags.writeable:
        return ": an array would come back read-only"
    if value.dtype.hasobject:
        return _first(zip(value.flat, back.flat, strict=True))
    return "" if value.tobytes() == back.tobytes() else _OTHER


def _name(kind: type) -> str:
    name = kind.__qualname__
    return name if kind.__module__ == "builtins" else f"{kind.__module__}.{name}"
