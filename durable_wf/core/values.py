"""Values: what tasks receive and return, stored exactly or refused.

Owns: `encode` (value -> JSON text) and `decode` (the way back, equal and of equal type), the
binary forms of arrays and tables, the thresholds that say where a value is kept, and `preview`.
Must never: store a value that would come back changed, unpickle, or import what a text names.
Read next: `values_forms.py` (how each type is written), `values_classes.py` (classes of users).

A value is a tree: two places that hold the same list come back as two equal lists.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring
from typing import Any, NoReturn

from durable_wf.core import values_arrays as arrays
from durable_wf.core.values_classes import NO_CLASSES, Classes, Refused, classes_of
from durable_wf.core.values_forms import (
    BIG_INT,
    MAX_DEPTH,
    MAX_PARTS,
    Reader,
    Writer,
    render_path,
    too_many,
)
from durable_wf.core.values_preview import preview
from durable_wf.core.values_standard import TAG, Missing, NotDone
from durable_wf.errors import NotReadable, NotStorable

__all__ = [
    "INLINE_MAX", "JSON", "NOT_DONE", "NO_CLASSES", "TABLE_MAX", "Classes", "Missing", "NotDone",
    "classes_of", "decode", "decode_payload", "encode", "encode_result", "preview",
]  # fmt: skip

INLINE_MAX = 1024
"""Bytes of JSON text up to which a value stands inside its event."""

TABLE_MAX = 65536
"""Bytes up to which a payload is a row of the database; larger ones are files."""

JSON = "json"
"""The codec of everything that is not an array or a table by itself."""

_SCALARS = frozenset({str, int, float, bool, type(None)})
_CONTAINERS = frozenset({list, dict})
_JUST_INT = frozenset({int})
_JUST_STR = frozenset({str})
_MARK = f'"{TAG}"'
_to_text = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
).encode


def encode(value: Any, classes: Classes = NO_CLASSES, *, name: str = "result") -> str:
    """The JSON text of `value`; `decode` gives back an equal value of equal type.

    Raises NotStorable, naming the part (`result["rows"][3]`; `name` is what to call the whole),
    when that cannot be promised. `classes` are the user classes that instances may have.
    """
    kind = type(value)
    if value is None:
        return "null"
    if kind is str:
        text = encode_basestring(value)
        if text.isascii() or _has_bytes(text):
            return text
    elif kind is int:
        if -BIG_INT < value < BIG_INT:
            return repr(value)
    elif kind is float:
        if value - value == 0.0:  # finite
            return repr(value)
    elif kind is bool:
        return "true" if value else "false"
    elif kind is dict or kind is list:
        try:
            if _is_plain(value, MAX_DEPTH - 1, [MAX_PARTS]):
                text = _to_text(value)
                if text.isascii() or _has_bytes(text):
                    return text
        except (ValueError, RecursionError):
            pass  # NaN, or too deep: written, or refused with its path, below
        except Refused as refused:
            raise NotStorable(f"{name}: {refused}", hint=refused.hint) from None
    return _encode_tagged(value, classes, name)


def decode(text: str, classes: Classes = NO_CLASSES) -> Any:
    """The value of a JSON text that `encode` made with the same classes. Raises NotReadable."""
    try:
        if _MARK in text:
            return json.JSONDecoder(
                object_hook=Reader(classes).revive, parse_constant=_no_constant
            ).decode(text)
        value, end = _parse(text)
        return value if end == len(text) else _no_more(end)
    except Exception as error:
        raise _not_readable(error, text, classes) from error


def encode_result(
    value: Any, classes: Classes = NO_CLASSES, codec: str = ""
) -> tuple[str, str | bytes]:
    """Codec and text or bytes of a task's result.

    An array or a table becomes bytes by itself unless `codec` is "json". Raises NotStorable.
    """
    kind = type(value)
    if kind in _SCALARS or kind in _CONTAINERS or codec == JSON:
        return JSON, encode(value, classes)
    home = kind.__module__.partition(".")[0]
    if home in arrays.LIBRARIES:
        try:
            found = arrays.to_bytes(home, value)
        except Refused as refused:
            raise NotStorable(f"result: {refused}", hint=refused.hint) from None
        if found is not None:
            return found
    return JSON, encode(value, classes)


def decode_payload(codec: str, data: bytes, classes: Classes = NO_CLASSES) -> Any:
    """The value behind the bytes of a payload. Raises NotReadable."""
    try:
        if codec != JSON:
            return arrays.from_bytes(codec, data)
        text = data.decode()
    except Exception as error:
        raise _not_readable(error, f"<{codec}, {len(data):,} bytes>", classes) from error
    return decode(text, classes)


# --- inside ---------------------------------------------------------------------------------------


def _is_plain(value: Any, depth: int, parts: list[int]) -> bool:
    """Whether `json` alone gives this list or dict back equal (NaN excepted, which it refuses).

    Works on the set of types of the items, which is found at the speed of C.
    """
    if type(value) is dict:
        if not _JUST_STR.issuperset(map(type, value)) or TAG in value:
            return False
        value = value.values()
    kinds = set(map(type, value))
    if int in kinds:
        numbers = value if kinds == _JUST_INT else [v for v in value if type(v) is int]
        if max(numbers) >= BIG_INT or min(numbers) <= -BIG_INT:
            return False
    kinds -= _SCALARS
    if not kinds:
        return True
    if not _CONTAINERS.issuperset(kinds) or depth <= 0:
        return False
    parts[0] -= len(value)
    if parts[0] < 0:
        raise too_many()
    for item in value:
        kind = type(item)
        if (kind is dict or kind is list) and not _is_plain(item, depth - 1, parts):
            return False
    return True


def _encode_tagged(value: Any, classes: Classes, name: str) -> str:
    writer = Writer(classes)
    try:
        text = _to_text(writer.write(value))
        if writer.own:
            _prove(text, classes)
    except Refused as refused:
        where = render_path(name, writer.path)
        raise NotStorable(f"{where}: {refused}", hint=refused.hint) from None
    except RecursionError:
        raise NotStorable(
            f"{name}: it is nested too deep to be stored", hint="return a flatter value"
        ) from None
    except (NotStorable, MemoryError):
        raise
    except Exception as error:
        # A user's own code ran: a property, an enum's look-up, a container changed by a thread.
        where = render_path(name, writer.path)
        raise NotStorable(f"{where}: {type(error).__name__} while it was read: {error}") from error
    return text


def _prove(text: str, classes: Classes) -> None:
    """Instances of users' classes are read back at once: now is the time to find out."""
    try:
        again = Writer(classes).write(decode(text, classes))
    except NotReadable as error:
        raise Refused(f"it cannot be read back: {error.__cause__}") from error
    if _to_text(again) != text:
        raise Refused("it does not come back equal")


def _has_bytes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _no_more(end: int) -> NoReturn:
    raise ValueError(f"more follows after character {end}")


_parse = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def _not_readable(error: Exception, text: str, classes: Classes) -> NotReadable:
    shown = text if len(text) <= 60 else text[:60] + "..."
    problems = f" (unresolved annotations: {', '.join(classes.problems)})" * bool(classes.problems)
    return NotReadable(
        f"a stored value cannot be read: {type(error).__name__}: {error}{problems}; "
        f"it begins with {shown!r}",
        hint="has a class or an annotation changed since it was stored? "
        "`dwf audit verify` tells whether the log was changed",
    )


NOT_DONE = encode(NotDone())
"""The text by which the answer of a probe is known without being decoded."""
