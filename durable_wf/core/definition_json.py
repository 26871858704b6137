"""The JSON form of definitions: `write` and `read`, exact in both directions.

Owns: the document's layout, its version, and what is said of text that is none.
Must never: judge a workflow; `soundness.py` does.
Read next: `definition.py`, whose `to_json` and `from_json` these are.

The JSON is one document with one line per task; fields that have their default are left out, and
tasks name their function by its place in a list, so that a definition of 100,000 tasks stays small.
It is written and read by hand because cattrs takes four times as long; a property test holds
the two together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from json.encoder import encode_basestring_ascii as _quoted
from operator import attrgetter
from typing import Any, TypeGuard, TypeVar

import attrs

from durable_wf.core.breaker import Breaker, WhenOpen
from durable_wf.core.resources import DEFAULT_RESOURCES, Resources
from durable_wf.core.status import InDoubt, Otherwise, WaitKind
from durable_wf.core.task import FunctionRef, Literal, Source, Task, Undo, Upstream, WaitFor
from durable_wf.errors import DefinitionError

FORMAT = "workflow/1"
"""Name and version of the JSON form; another shape gets another number."""

_TASKS = ',"tasks":[\n'
_END = "\n]}\n"

_PLAIN = (
    "priority", "optional", "timeout_s", "memory_limit", "memory_hard", "estimate_s", "executor",
    "codec", "description", "deadline_s", "heartbeat_s", "probe",
)  # fmt: skip
_PARTS = ("in_doubt", "undo", "breaker", "wait")
_DEFAULTS = {
    field.name: field.default
    for cls in (Task, FunctionRef, Resources)
    for field in attrs.fields(cls)
    if field.default is not attrs.NOTHING
}
_LIMITS_OF_UNDO = (("timeout_s", None), ("memory_limit", None), ("memory_hard", False))
_PLAIN_DEFAULTS = tuple(_DEFAULTS[name] for name in _PLAIN)
_EMPTY: tuple[object, ...] = ("", (), None)
_PARTS_DEFAULTS = tuple(_DEFAULTS[name] for name in _PARTS)
_RARE = ("tags", "metadata", "rules", "beside", *_PLAIN, *_PARTS)
_RARE_DEFAULTS = tuple(_DEFAULTS[name] for name in _RARE)
_plain_of = attrgetter(*_PLAIN)
_parts_of = attrgetter(*_PARTS)
_rare_of = attrgetter(*_RARE)


def write(own: Mapping[str, Any], tasks: tuple[Task, ...]) -> str:
    """The document of a workflow: its `own` fields by name, and its tasks.

    Raises DefinitionError for what JSON cannot hold.
    """
    functions: dict[FunctionRef, int] = {}
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
    try:
        lines = ",\n".join([_task_line(task, functions, encode) for task in tasks])
        head: dict[str, Any] = {"durable_wf": FORMAT}
        head |= {key: value for key, value in own.items() if key == "name" or value not in _EMPTY}
        head |= {key: _write_pairs(own[key]) for key in ("metadata", "beside") if own[key]}
        head["functions"] = [_write_flat(ref) for ref in functions]
        return f"{encode(head)[:-1]}{_TASKS}{lines}{_END if lines else _END[1:]}"
    except ValueError as error:
        raise DefinitionError(f"workflow {own['name']!r}: not JSON: {error}") from error


def read(text: str | bytes) -> dict[str, Any]:
    """The attributes of the Workflow that a document describes. Raises DefinitionError."""
    try:
        text = text if isinstance(text, str) else text.decode()
        try:
            return _read(_by_line(text))
        except json.JSONDecodeError:
            return _read(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise DefinitionError(f"the workflow definition is not JSON: {error}") from error


def _without_defaults(value: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: got for name in names if (got := getattr(value, name)) != _DEFAULTS[name]}


def _write_flat(value: FunctionRef | Resources) -> dict[str, Any]:
    names = tuple(field.name for field in attrs.fields(type(value)) if field.name in _DEFAULTS)
    written = _without_defaults(value, names)
    if isinstance(value, FunctionRef):
        return {"qualname": value.qualname, **written}
    if value.pools:
        written["pools"] = _write_pairs(value.pools)
    return written


def _write_pairs(pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
    written = dict(pairs)
    if len(written) != len(pairs):
        raise DefinitionError(f"a name stands twice among {', '.join(name for name, _ in pairs)}")
    return written


def _write_source(source: Source) -> dict[str, Any]:
    if isinstance(source, Literal):
        return {"value": source.value}
    if source.path:
        return {"task": source.task, "path": source.path}
    return {"task": source.task}


def _task_line(
    task: Task, functions: dict[FunctionRef, int], encode: Callable[[object], str]
) -> str:
    """The JSON of a task. What nearly all have is written by hand, the rest by `encode`."""
    function = functions.setdefault(task.function, len(functions))
    line = f'{{"name":{_quoted(task.name)},"function":{function}'
    if task.upstream:
        line += f',"upstream":[{",".join(map(_quoted, task.upstream))}]'
    if task.args:
        line += f',"args":[{",".join([_source_text(source, encode) for source in task.args])}]'
    if task.kwargs:
        named = [f"{_quoted(name)}:{_source_text(source, encode)}" for name, source in task.kwargs]
        line += f',"kwargs":{{{",".join(named)}}}'
        if len(named) > 1:
            _write_pairs(task.kwargs)
    rest = _write_rest(task)
    return f"{line},{encode(rest)[1:]}" if rest else line + "}"


def _source_text(source: Source, encode: Callable[[object], str]) -> str:
    if isinstance(source, Literal):
        return f'{{"value":{_quoted(source.value)}}}'
    return encode(_write_source(source)) if source.path else f'{{"task":{_quoted(source.task)}}}'


def _write_rest(task: Task) -> dict[str, Any]:
    written: dict[str, Any] = {}
    if task.resources is not DEFAULT_RESOURCES and task.resources != DEFAULT_RESOURCES:
        written["resources"] = _write_flat(task.resources)
    if _rare_of(task) == _RARE_DEFAULTS:  # all at once: most tasks have none of them
        return written
    if (values := _plain_of(task)) != _PLAIN_DEFAULTS:
        named = zip(_PLAIN, values, _PLAIN_DEFAULTS, strict=True)
        written |= {name: value for name, value, default in named if value != default}
    if task.tags:
        written["tags"] = task.tags
    if task.metadata:
        written["metadata"] = _write_pairs(task.metadata)
    if task.rules:
        written["rules"] = task.rules
    if task.beside:
        written["beside"] = _write_pairs(task.beside)
    if (parts := _parts_of(task)) != _PARTS_DEFAULTS:
        named = zip(_PARTS, parts, _PARTS_DEFAULTS, strict=True)
        written |= {name: _write_part(part) for name, part, default in named if part != default}
    return written


def _write_part(part: InDoubt | Undo | Breaker | WaitFor) -> Any:
    """One of the parts that few tasks have."""
    match part:
        case Undo():
            written: dict[str, Any] = {"function": part.function}
            if part.args:
                written["args"] = [_write_source(source) for source in part.args]
            if part.kwargs:
                written["kwargs"] = {name: _write_source(value) for name, value in part.kwargs}
            if part.rules:
                written["rules"] = part.rules
            for name, unset in _LIMITS_OF_UNDO:
                if (limit := getattr(part, name)) is not unset:
                    written[name] = limit
            if part.resources is not None:
                written["resources"] = _write_flat(part.resources)
            return written
        case Breaker() | WaitFor():
            fields = [(f.name, getattr(part, f.name), f.default) for f in attrs.fields(type(part))]
            return {name: _value_of(got) for name, got, default in fields if got != default}
        case InDoubt():
            return part.value


def _value_of(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


# --- reading ------------------------------------------------------------------------------


class _Wrong(Exception):
    """What is wrong with a field; the reader adds where it stands."""


def _typed(kind: type, words: str) -> Callable[[object], Any]:
    def read(raw: object) -> object:
        if type(raw) is not kind:
            raise _Wrong(f"must be {words}, not {raw!r:.60}")
        return raw

    return read


_text = _typed(str, "a text")
_number = _typed(int, "a whole number")
_truth = _typed(bool, "true or false")
_list = _typed(list, "a list")
_object = _typed(dict, "an object")


_LARGEST = 1 << 1023
"""Whole numbers from here on have no float."""


def _real(raw: object) -> float:
    if type(raw) is int and abs(raw) < _LARGEST:
        return float(raw)
    if type(raw) is not float or not math.isfinite(raw):
        raise _Wrong(f"must be a number, not {raw!r:.60}")
    return raw


def _usable(raw: object) -> str:
    """A name: whoever wrote it, it will stand on screens, in messages and in the log."""
    name: str = _text(raw)
    if not name.isprintable():
        raise _Wrong(f"{name!r:.60} is no usable name")
    return name


def _texts(raw: object) -> tuple[str, ...]:
    return tuple([_text(item) for item in _list(raw)])


def _text_pairs(raw: object) -> tuple[tuple[str, str], ...]:
    return tuple([(name, _text(value)) for name, value in _object(raw).items()])


def _number_pairs(raw: object) -> tuple[tuple[str, int], ...]:
    return tuple([(name, _number(value)) for name, value in _object(raw).items()])


def _read_fields(raw: object, readers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Each field by its reader. An unknown field is an error: ignoring it would lose a meaning."""
    fields = {}
    for key, value in _object(raw).items():
        if (read := readers.get(key)) is None:
            raise _Wrong(f"has a field {key!r:.60} that this version does not know")
        try:
            fields[key] = read(value)
        except _Wrong as wrong:
            raise _Wrong(f"{key}: {wrong}") from None
    return fields


E = TypeVar("E", bound=Enum)


def _member(kind: type[E]) -> Callable[[object], E]:
    def read(raw: object) -> E:
        try:
            return kind(raw)
        except ValueError:
            raise _Wrong(f"{raw!r:.60} is none of {[one.value for one in kind]}") from None

    return read


_BREAKER: dict[str, Callable[[Any], Any]] = {
    "key": _text, "failures": _number, "within_s": _real, "cooldown_s": _real,
    "when_open": _member(WhenOpen), "on": _texts,
}  # fmt: skip
_WAIT: dict[str, Callable[[Any], Any]] = {
    "kind": _member(WaitKind), "name": _text, "question": _text, "whom": _text,
    "timeout_s": _real, "until": _number, "on_timeout": _member(Otherwise),
    "on_reject": _member(Otherwise),
}  # fmt: skip
_FUNCTION = {field.name: _text for field in attrs.fields(FunctionRef)}
_RESOURCES: dict[str, Callable[[Any], Any]] = {
    "cpu": _real, "memory": _number, "gpu": _number, "pools": _number_pairs,
}  # fmt: skip


def _by_line(text: str) -> Any:
    """The document in the layout that `to_json` writes, its "tasks" an iterator.

    Task by task, a large definition takes half the memory and time. Text in another layout raises
    JSONDecodeError, here or on the way.
    """
    head, layout, _ = text.partition(_TASKS)
    if not layout:
        raise json.JSONDecodeError("another layout", text, 0)
    data = json.loads(head + "}")
    if isinstance(data, dict):
        data["tasks"] = _each_line(text, len(head) + len(_TASKS))
    return data


def _each_line(text: str, at: int) -> Iterator[object]:
    decode = json.JSONDecoder().raw_decode
    if text[at:] == _END[1:]:
        return
    while True:
        value, at = decode(text, at)
        yield value
        if not text.startswith(",\n", at):
            break
        at += 2
    if text[at:] != _END:
        raise json.JSONDecodeError("more text than expected", text, at)


def _read(data: Any) -> dict[str, Any]:
    """The attributes of the Workflow that the document describes."""
    if not isinstance(data, dict) or "durable_wf" not in data:
        raise DefinitionError('this JSON is no workflow definition: it has no "durable_wf"')
    version = data.pop("durable_wf")
    if version != FORMAT:
        raise DefinitionError(
            f"the workflow definition has format {version!r}; this version reads {FORMAT!r}",
            hint="update durable_wf, or write the definition again with to_json()",
        )
    return _Reader(data).workflow()


def _is_path(raw: object) -> TypeGuard[list[str | int]]:
    return type(raw) is list and all(type(key) in (str, int) for key in raw)


def _breaker(raw: object) -> Breaker:
    fields = _read_fields(raw, _BREAKER)
    if "key" not in fields:
        raise _Wrong("has no key")
    return Breaker(**fields)


def _wait(raw: object) -> WaitFor:
    fields = _read_fields(raw, _WAIT)
    if "kind" not in fields:
        raise _Wrong("has no kind")
    return WaitFor(**fields)


class _Reader:
    """Reads one document. What occurs often is shared: functions, names, sources."""

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data
        self._functions: list[FunctionRef] = []
        self._shared: dict[str, str] = {}
        self._literals: dict[str, Literal] = {}
        self._upstreams: dict[str, Upstream] = {}
        self._task: dict[str, Callable[[Any], Any]] = {
            "name": self._name, "function": self._function, "upstream": self._names,
            "args": self._args, "kwargs": self._kwargs, "resources": self._resources,
            "priority": _number, "optional": _truth, "timeout_s": _real, "memory_limit": _number,
            "memory_hard": _truth, "estimate_s": _real, "executor": _text, "codec": _text,
            "description": _text, "tags": _texts, "metadata": _text_pairs,
            "rules": _texts, "deadline_s": _real, "heartbeat_s": _real, "probe": _text,
            "in_doubt": _member(InDoubt), "undo": self._undo, "breaker": _breaker, "wait": _wait,
            "beside": _text_pairs,
        }  # fmt: skip

    def workflow(self) -> dict[str, Any]:
        try:
            refs = _list(self._data.pop("functions", []))
            self._functions = [self._ref(raw) for raw in refs]
            tasks = self._data.pop("tasks", [])
            if not isinstance(tasks, Iterator):
                tasks = iter(_list(tasks))
            readers = {
                "name": _usable, "description": _text, "tags": _texts, "metadata": _text_pairs,
                "rules": _texts, "deadline_s": _real, "beside": _text_pairs,
            }  # fmt: skip
            fields = _read_fields(self._data, readers)
        except _Wrong as wrong:
            raise DefinitionError(f"the workflow definition {wrong}") from None
        if "name" not in fields:
            raise DefinitionError("the workflow definition has no name")
        return {**fields, "tasks": tuple(self._read_tasks(tasks))}

    def _read_tasks(self, tasks: Iterator[object]) -> Iterator[Task]:
        for i, raw in enumerate(tasks, 1):
            try:
                yield self._read_task(raw)
            except _Wrong as wrong:
                name = raw.get("name", f"number {i}") if isinstance(raw, dict) else f"number {i}"
                raise DefinitionError(f"the workflow definition, task {name}: {wrong}") from None

    def _read_task(self, raw: object) -> Task:
        fields = _read_fields(raw, self._task)
        if "name" not in fields or "function" not in fields:
            raise _Wrong("has no name or no function")
        return Task(**fields)

    def _ref(self, raw: object) -> FunctionRef:
        fields = _read_fields(raw, _FUNCTION)
        if "qualname" not in fields:
            raise _Wrong("has a function without a qualname")
        return FunctionRef(**fields)

    def _name(self, raw: object) -> str:
        name: str = _text(raw)
        known = self._shared.get(name)
        if known is None:
            known = self._shared[name] = _usable(name)
        return known

    def _names(self, raw: object) -> tuple[str, ...]:
        return tuple([self._name(item) for item in _list(raw)])

    def _function(self, raw: object) -> FunctionRef:
        if type(raw) is not int or not 0 <= raw < len(self._functions):
            raise _Wrong(f"there is no function number {raw!r:.60}")
        return self._functions[raw]

    def _args(self, raw: object) -> tuple[Source, ...]:
        return tuple([self._source(item) for item in _list(raw)])

    def _kwargs(self, raw: object) -> tuple[tuple[str, Source], ...]:
        return tuple([(name, self._source(item)) for name, item in _object(raw).items()])

    def _source(self, raw: object) -> Source:
        if type(raw) is dict:
            source: Source | None
            if len(raw) == 1 and type(value := raw.get("value")) is str:
                if (source := self._literals.get(value)) is None:
                    source = self._literals[value] = Literal(value)
                return source
            if len(raw) == 1 and type(task := raw.get("task")) is str:
                if (source := self._upstreams.get(task)) is None:
                    source = self._upstreams[task] = Upstream(self._name(task))
                return source
            task, path = raw.get("task"), raw.get("path")
            if len(raw) == 2 and type(task) is str and _is_path(path):
                return Upstream(self._name(task), tuple(path))
        raise _Wrong(f"is neither a value nor a task: {raw!r:.60}")

    def _undo(self, raw: object) -> Undo:
        readers = {
            "function": _text, "args": self._args, "kwargs": self._kwargs, "rules": _texts,
            "timeout_s": _real, "memory_limit": _number, "memory_hard": _truth,
            "resources": self._resources,
        }  # fmt: skip
        fields = _read_fields(raw, readers)
        if "function" not in fields:
            raise _Wrong("has no function")
        return Undo(**fields)

    def _resources(self, raw: object) -> Resources:
        return Resources(**_read_fields(raw, _RESOURCES))
