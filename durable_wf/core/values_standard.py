"""The forms of the standard library's types: tuples, sets, bytes, times, numbers, paths, and more.

Owns: one `Form` per type: how it is written with the JSON that `values_forms.Writer` makes of its
parts, and how it is read.
Must never: write what cannot be read back equal, of equal type; a time zone of an unknown class
or a mapping with attributes of its own is refused.
Read next: `values_forms.py`, which uses the table.
"""

from __future__ import annotations

import base64
import datetime as dt
import pathlib
import types
import zoneinfo
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol
from uuid import UUID

import attrs

from durable_wf.core.text import is_text
from durable_wf.core.values_classes import Refused

TAG = "$"
"""The key that makes a JSON object a form instead of a dict."""

_FACTORIES: dict[str, Callable[[], Any]] = {
    kind.__name__: kind for kind in (int, float, str, bytes, bool, list, dict, set, tuple)
}
_FRACTION_DAY = ("days", "seconds", "microseconds")


@attrs.frozen
class Missing:
    """Stands in an argument or result whose optional task failed. It is falsy.

    `kind` is the kind of the fault (see FaultKind), `message` what the task's error said.
    """

    task: str
    kind: str
    message: str = ""

    def __bool__(self) -> bool:
        return False


@attrs.frozen
class NotDone:
    """What a probe returns when the attempt in doubt has had no effect: the task runs again."""


class Parts(Protocol):
    """What a form may ask of the writer for the parts of its value."""

    def write(self, value: Any) -> Any:
        """One part."""

    def listed(self, value: Iterable[Any]) -> list[Any]:
        """The items of a sequence."""

    def sorted(self, value: Iterable[Any]) -> list[Any]:
        """The items of a set, in an order of their own."""

    def pairs(self, value: Any) -> list[Any]:
        """The items of a mapping."""


@attrs.frozen
class Form:
    """How a type is written and read; `tag` names the form and never changes."""

    tag: str
    write: Callable[[Parts, Any], Any]
    read: Callable[[Any], Any]


def tagged(tag: str, held: Any) -> dict[str, Any]:
    """A form as JSON."""
    return {TAG: tag, "v": held}


def write_str(value: str) -> Any:
    """A string, as it is when UTF-8 has bytes for it."""
    if is_text(value):
        return value
    return tagged("str", _base64(value.encode("utf-8", "surrogatepass")))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _list(held: Any) -> list[Any]:
    if type(held) is not list:
        raise TypeError("a list was expected")
    return held


def write_zone(zone: Any) -> Any:
    """A time zone as JSON. Raises Refused for one of a class that has no such form."""
    if zone is None:
        return None
    if type(zone) is dt.timezone:
        offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
        return [offset.days, offset.seconds, offset.microseconds, *name]
    if type(zone) is zoneinfo.ZoneInfo and zone.key is not None:
        return zone.key
    raise Refused(
        f"its time zone is a {type(zone).__module__}.{type(zone).__qualname__}",
        "use datetime.timezone.utc, a fixed offset, or zoneinfo.ZoneInfo(name)",
    )


def read_zone(held: Any) -> dt.tzinfo | None:
    """The time zone of `write_zone`. Raises ValueError and its like for what is none."""
    if held is None:
        return None
    if type(held) is str:
        return zoneinfo.ZoneInfo(held)
    days, seconds, micros, *name = held
    return dt.timezone(dt.timedelta(days, seconds, micros), *name)


def _write_zone_itself(_: Parts, value: Any) -> Any:
    return write_zone(value)


def _write_moment(_: Parts, value: dt.datetime | dt.time) -> Any:
    plain = value.replace(tzinfo=None, fold=0).isoformat()
    if value.tzinfo is None and not value.fold:
        return plain
    return [plain, write_zone(value.tzinfo), value.fold]


def _read_moment(kind: Any) -> Callable[[Any], Any]:
    def read(held: Any) -> Any:
        if type(held) is str:
            return kind.fromisoformat(held)
        plain, zone, fold = held
        return kind.fromisoformat(plain).replace(tzinfo=read_zone(zone), fold=fold)

    return read


def _write_path(_: Parts, value: pathlib.PurePath) -> Any:
    return write_str(str(value))


def _write_factory(writer: Parts, value: defaultdict[Any, Any]) -> Any:
    factory = value.default_factory
    name = None if factory is None else getattr(factory, "__name__", "")
    if factory is not None and _FACTORIES.get(str(name)) is not factory:
        raise Refused("its default_factory is a function of yours", "return dict(value)")
    return [name, writer.pairs(value)]


def _read_factory(held: Any) -> Any:
    name, pairs = held
    return defaultdict(None if name is None else _FACTORIES[name], pairs)


def _write_deque(writer: Parts, value: deque[Any]) -> Any:
    return [value.maxlen, writer.listed(value)]


def _read_deque(held: Any) -> Any:
    maxlen, items = held
    return deque(_list(items), maxlen)


def _read_float(held: Any) -> float:
    if held not in {"nan", "inf", "-inf"}:
        raise ValueError(f"{held!r} is not such a number")
    return float(held)


def _listed(writer: Parts, value: Any) -> Any:
    return writer.listed(value)


def _sorted(writer: Parts, value: Any) -> Any:
    return writer.sorted(value)


def _pairs(writer: Parts, value: Any) -> Any:
    return writer.pairs(value)


def _table() -> dict[type, Form]:
    """Every type of the standard library that has a form."""
    forms: dict[type, Form] = {
        tuple: Form("tuple", _listed, lambda v: tuple(_list(v))),
        set: Form("set", _sorted, lambda v: set(_list(v))),
        frozenset: Form("frozenset", _sorted, lambda v: frozenset(_list(v))),
        OrderedDict: Form("OrderedDict", _pairs, lambda v: OrderedDict(_list(v))),
        Counter: Form("Counter", _pairs, lambda v: Counter(dict(_list(v)))),
        defaultdict: Form("defaultdict", _write_factory, _read_factory),
        deque: Form("deque", _write_deque, _read_deque),
        bytes: Form("bytes", lambda _, v: _base64(v), _bytes),
        bytearray: Form("bytearray", lambda _, v: _base64(v), lambda v: bytearray(_bytes(v))),
        complex: Form(
            "complex", lambda w, v: [w.write(v.real), w.write(v.imag)], lambda v: complex(*v)
        ),
        range: Form(
            "range", lambda w, v: [w.write(v.start), w.write(v.stop), w.write(v.step)],
            lambda v: range(*v),
        ),
        dt.datetime: Form("datetime", _write_moment, _read_moment(dt.datetime)),
        dt.date: Form("date", lambda _, v: v.isoformat(), dt.date.fromisoformat),
        dt.time: Form("time", _write_moment, _read_moment(dt.time)),
        dt.timedelta: Form(
            "timedelta", lambda _, v: [getattr(v, part) for part in _FRACTION_DAY],
            lambda v: dt.timedelta(*v),
        ),
        dt.timezone: Form("timezone", _write_zone_itself, read_zone),
        zoneinfo.ZoneInfo: Form("zone", _write_zone_itself, read_zone),
        Decimal: Form("Decimal", lambda _, v: str(v), Decimal),
        Fraction: Form(
            "Fraction", lambda w, v: [w.write(v.numerator), w.write(v.denominator)],
            lambda v: Fraction(*v),
        ),
        UUID: Form("UUID", lambda _, v: str(v), UUID),
        Missing: Form(
            "Missing", lambda w, v: [w.write(v.task), w.write(v.kind), w.write(v.message)],
            lambda v: Missing(*v),
        ),
        NotDone: Form("NotDone", lambda *_: None, lambda _: NotDone()),
        types.EllipsisType: Form("Ellipsis", lambda *_: None, lambda _: ...),
    }  # fmt: skip
    for name in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"):
        path = getattr(pathlib, name)
        forms[path] = Form(name, _write_path, path)
    return forms


FORMS = _table()
"""Type -> its form. The type must be exactly this one, not a subclass."""

READERS: dict[str, Callable[[Any], Any]] = {
    **{form.tag: form.read for form in FORMS.values()},
    "dict": lambda v: dict(_list(v)),
    "str": lambda v: _bytes(v).decode("utf-8", "surrogatepass"),
    "int": lambda v: int(v, 16),
    "float": _read_float,
}
"""Form -> how its content is read."""
