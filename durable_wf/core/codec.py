"""Events to JSON text and back.

Owns: the body of every kind, its version tag, and the upcasts that lift old versions.
Must never: know where the text is kept, or repair what it cannot read: an unknown kind, version or
field is a HistoryError. `task` and `attempt` are columns of the log and not part of the body.
Read next: `events.py`.

A body is compact JSON with readable keys; fields at their default are left out. Two kinds make up
nearly the whole log, AttemptStarted and AttemptSucceeded: they have hand-made code. The others are
written and read by the types of their fields, as cattrs would do it, which takes longer to import
than a small run takes. A property test proves all of it equal to what cattrs alone does, and it is
asked about bodies that cannot be read. A stored value stands in the body of its AttemptSucceeded as
it is, always last, so that its exact text can be cut out again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

import attrs

from durable_wf.core.definition import PayloadRef, Value
from durable_wf.core.events import KINDS, AttemptStarted, AttemptSucceeded, Event, OutputRef
from durable_wf.core.reading import reader
from durable_wf.errors import HistoryError

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Lifts the body of one version to the next; pure. A stored value is not part of what it sees."""

UPCASTS: Mapping[str, tuple[Upcast, ...]] = {}
"""Kind -> its upcasts from version 1 on. A kind with k upcasts is at version k + 1."""

BESIDE = frozenset({"task", "attempt"})
"""Fields that are columns of the log."""

_LAST = BESIDE | {"value"}
"""The same of an event that ends with its value."""

_VALUE = ',"value":'
_INT = "(0|[1-9][0-9]*)"
_TEXT = r'"([^"\\\x00-\x1f]*)"'
_STARTED = re.compile(rf'\{{"worker":{_TEXT},"pid":{_INT},"born":{_INT}\}}').fullmatch
_SUCCEEDED = re.compile(
    rf'\{{"began_at":{_INT},"wall_us":{_INT}(?:,"cpu_us":{_INT})?(?:,"rss_kib":{_INT})?'
    rf'(?:,"output":\{{"file":{_TEXT},"offset":{_INT},"length":{_INT}\}})?,"value":(.+)\}}',
    re.DOTALL,
).fullmatch


def encode(event: Event) -> tuple[str, str, int, str]:
    """Kind tag, task, attempt and body of an event. Run events have task "" and attempt 0."""
    if type(event) is AttemptSucceeded:
        return "AttemptSucceeded", event.task, event.attempt, _succeeded_body(event)
    if type(event) is AttemptStarted and not event.detail:
        body = _started_body(event.worker, event.pid, event.born)
        return "AttemptStarted", event.task, event.attempt, body
    task: str = getattr(event, "task", "")
    attempt: int = getattr(event, "attempt", 0)
    return OWN.tag(event), task, attempt, _dumps(_plain_fields(event, BESIDE))


def decode(kind: str, task: str, attempt: int, body: str) -> Event:
    """The event that `encode` was given. Raises HistoryError."""
    if kind == "AttemptSucceeded":
        found = _SUCCEEDED(body)
        if found is not None:
            return _succeeded(task, attempt, found)
    elif kind == "AttemptStarted":
        process = _started_process(body)
        if process is not None:
            return AttemptStarted(task, attempt, *process)
    try:
        return OWN.decode(kind, task, attempt, body)
    except HistoryError:
        # cattrs is heavy; here it has the last word, and says what is wrong
        from durable_wf.core.codec_general import GENERAL

        return GENERAL.decode(kind, task, attempt, body)


# --- the two kinds that fill the log ------------------------------------------------------------


@lru_cache(maxsize=256)
def _started_body(worker: str, pid: int, born: int) -> str:
    return _readable(f'{{"worker":{encode_basestring(worker)},"pid":{pid},"born":{born}}}')


@lru_cache(maxsize=256)
def _started_process(body: str) -> tuple[str, int, int] | None:
    """Worker, pid and born: the same few for all attempts of a run."""
    found = _STARTED(body)
    if found is None:
        return None
    worker, pid, born = found.groups()
    return worker, int(pid), int(born)


def _succeeded_body(event: AttemptSucceeded) -> str:
    head = f'{{"began_at":{event.began_at},"wall_us":{event.wall_us}'
    if event.cpu_us:
        head += f',"cpu_us":{event.cpu_us}'
    if event.rss_kib:
        head += f',"rss_kib":{event.rss_kib}'
    output = event.output
    if output is not None:
        file = encode_basestring(output.file)
        head += f',"output":{{"file":{file},"offset":{output.offset},"length":{output.length}}}'
        head = _readable(head)
    return head + _tail(event.value)


def _succeeded(task: str, attempt: int, found: re.Match[str]) -> AttemptSucceeded:
    began, wall, cpu, rss, file, offset, length, value = found.groups()
    return AttemptSucceeded(
        task,
        attempt,
        value,
        int(began),
        int(wall),
        int(cpu) if cpu else 0,
        int(rss) if rss else 0,
        None if file is None else OutputRef(file, int(offset), int(length)),
    )


def _tail(value: Value) -> str:
    """The end of a body: the value's own text, or the reference to its payload."""
    if type(value) is str:
        return f"{_VALUE}{value}}}"
    return f',"ref":{_dumps(_plain_fields(value))}}}'


# --- all kinds ------------------------------------------------------------------------------------


def _plain_fields(value: Any, omitted: frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of an attrs value that are not at their default, as JSON knows them."""
    return {
        field.name: _plain(got)
        for field in attrs.fields(type(value))
        if field.name not in omitted and (got := getattr(value, field.name)) != field.default
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if type(value) is tuple:
        return [_plain(item) for item in value]
    return _plain_fields(value) if attrs.has(type(value)) else value


class Codec:
    """All kinds in `kinds`, by the types of their fields."""

    def __init__(
        self, kinds: Mapping[str, type], upcasts: Mapping[str, tuple[Upcast, ...]]
    ) -> None:
        self._kinds = kinds
        self._upcasts = upcasts
        self._tags = {
            cls: name + (f"/{len(upcasts[name]) + 1}" if upcasts.get(name) else "")
            for name, cls in kinds.items()
        }

    def encode(self, event: Event) -> tuple[str, str, int, str]:
        """As `encode` of this module."""
        fields = self.unstructure(event)
        if type(event) is AttemptSucceeded:
            body = _dumps(fields)[:-1] + _tail(event.value)
        else:
            body = _dumps(fields)
        task: str = getattr(event, "task", "")
        attempt: int = getattr(event, "attempt", 0)
        return self.tag(event), task, attempt, body

    def tag(self, event: Event) -> str:
        """The kind of an event, with its version."""
        return self._tags[type(event)]

    def decode(self, kind: str, task: str, attempt: int, body: str) -> Event:
        """As `decode` of this module."""
        name, version = self._name_and_version(kind)
        try:
            event: Event = self._read(name, version, task, attempt, body)
        except Exception as error:
            raise HistoryError(
                f"the body of a {kind} event cannot be read: "
                f"{type(error).__name__}: {error}: {body[:200]}"
            ) from error
        return event

    def _read(self, name: str, version: int, task: str, attempt: int, body: str) -> Any:
        cls = self._kinds[name]
        beside: dict[str, Any] = {"task": task, "attempt": attempt}
        if cls is AttemptSucceeded:
            body, beside["value"] = self._cut_value(body)
        fields = json.loads(body)
        for upcast in self._upcasts.get(name, ())[version - 1 :]:
            fields = upcast(fields)
        if doubled := beside.keys() & fields.keys():
            raise ValueError(f"{sorted(doubled)} stand in the body")
        own = attrs.fields_dict(cls)
        fields.update((key, value) for key, value in beside.items() if key in own)
        return self.structure(fields, cls)

    def structure(self, fields: dict[str, Any], cls: type) -> Any:
        """The event, or value in one, with these fields."""
        return reader(cls)(fields)

    def unstructure(self, value: Any) -> dict[str, Any]:
        """The fields of an event, or of a value in one, that stand in its JSON."""
        return _plain_fields(value, _LAST if type(value) is AttemptSucceeded else BESIDE)

    def _name_and_version(self, kind: str) -> tuple[str, int]:
        name, _, digits = kind.partition("/")
        newest = len(self._upcasts.get(name, ())) + 1
        known = name in self._kinds
        if known and not digits and "/" not in kind:
            return name, 1
        if known and re.fullmatch("[1-9][0-9]{0,8}", digits) and 2 <= int(digits) <= newest:
            return name, int(digits)
        raise HistoryError(
            f"event kind {kind!r} is not known to this version of durable_wf",
            hint="it was written by a newer version, or the log is damaged: dwf audit verify",
        )

    def _cut_value(self, body: str) -> tuple[str, Value]:
        """The body without its value, and the value. Safe for any text: before the first
        `,"value":` stand only our own keys, numbers, and strings whose quotes are escaped.
        """
        head, found, rest = body.partition(_VALUE)
        if found:
            if not rest.endswith("}") or len(rest) < 2:
                raise ValueError("the value is cut off")
            return head + "}", rest[:-1]
        fields = json.loads(body)
        ref = self.structure(fields.pop("ref"), PayloadRef)
        return _dumps(fields), ref


def _dumps(fields: dict[str, Any]) -> str:
    return _readable(json.dumps(fields, ensure_ascii=False, separators=(",", ":")))


def _readable(text: str) -> str:
    """The text as it is, or with escapes where UTF-8 cannot hold it (lone surrogates, which file
    names and messages may contain).
    """
    if text.isascii():
        return text
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)


OWN = Codec(KINDS, UPCASTS)
"""The codec of the log."""
