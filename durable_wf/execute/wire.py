"""What travels between an engine and its workers, as bytes.

Owns: both directions. To a worker: pickled tuples in length-prefixed frames, many assignments in
one. From a worker: lines of JSON, nothing that could run code in the engine, each with a size
limit. A report names its attempt by `Assignment.seq` alone.
Must never: unpickle anything that comes from a worker.
Read next: `worker.py` (one end), `supervisor.py` (the other).
"""

from __future__ import annotations

import json
import pickle
from base64 import b64decode, b64encode
from collections.abc import Iterator
from enum import IntEnum
from json.encoder import encode_basestring_ascii as quote
from struct import Struct
from typing import Any

from durable_wf.core.fault import Fault, OutputRef
from durable_wf.core.payload import PayloadRef, Value
from durable_wf.core.reports import Failed, Report, Returned, Succeeded
from durable_wf.core.status import FaultKind
from durable_wf.execute.mark import DETAIL_MAX
from durable_wf.execute.port import NO_LIMITS, Absent, Argument, Assignment, Given, Limits

MAX_LINE = 4 << 20
"""Bytes of one report. Results over 64 KiB are files, so only a broken worker sends more."""

MAX_TEXT = 256 << 10
"""Characters of a message or traceback; what is longer is cut in the middle."""

_LENGTH = Struct("<I")


class Breach(Exception):
    """A worker sent what no worker sends: its process can no longer be believed."""


# --- to the worker ------------------------------------------------------------------------------


class Order(IntEnum):
    """First item of each message to a worker."""

    WORK = 0
    CODE = 1
    RECALL = 2
    CANCEL = 3
    FORGET = 4
    END = 5


Confinement = tuple[float | None, int, float, tuple[int, ...], str]
"""What a worker must know besides: timeout_s, hard memory in bytes (0: none), cpu, gpus; and the
detail of the last heartbeat before."""

Work = tuple[
    int, int, int, str, int, tuple[Any, ...], tuple[Any, ...], str, int, Confinement | None
]
"""seq, run, attempt, task, function, args, kwargs, codec, estimate_us, confinement."""


def frame(*message: Any) -> bytes:
    """A message to a worker."""
    data = pickle.dumps(message, 5)
    return _LENGTH.pack(len(data)) + data


def frames(buffer: bytearray) -> Iterator[tuple[Any, ...]]:
    """Take all complete messages out of what a worker has received."""
    at, end = 0, len(buffer)
    try:
        while end - at >= 4:
            (size,) = _LENGTH.unpack_from(buffer, at)
            if end - at - 4 < size:
                break
            data = bytes(buffer[at + 4 : at + 4 + size])
            at += 4 + size
            yield pickle.loads(data)  # noqa: S301 - the engine's own words, on a private pipe
    finally:
        del buffer[:at]


def pack_work(a: Assignment) -> Work:
    """An assignment as plain tuples: several times cheaper to pickle than the objects."""
    return (
        a.seq, a.run, a.attempt, a.task, a.function,
        tuple([_pack(arg) for arg in a.args]) if a.args else (),
        tuple([(name, _pack(arg)) for name, arg in a.kwargs]) if a.kwargs else (),
        a.codec, a.estimate_us,
        None if a.limits is NO_LIMITS and not a.detail else _confinement(a.limits, a.detail),
    )  # fmt: skip


def _confinement(limits: Limits, detail: str) -> Confinement:
    hard = limits.memory or 0 if limits.memory_hard else 0
    return limits.timeout_s, hard, limits.cpu, limits.gpus, detail


def _pack(arg: Argument) -> tuple[Any, ...]:
    match arg:
        case Given(value, path, producer, payload, task):
            plain = value if isinstance(value, str) else _ref(value)
            return plain, path, producer, payload, task
        case Absent(task, kind, message):
            return task, kind, message


def unpack_argument(packed: tuple[Any, ...]) -> Argument:
    """The argument that `pack_work` packed."""
    if len(packed) == 3:
        return Absent(*packed)
    value, path, producer, payload, task = packed
    plain = value if isinstance(value, str) else PayloadRef(*value)
    return Given(plain, path, producer, payload, task)


def _ref(ref: PayloadRef) -> tuple[str, int, str, bool]:
    return ref.digest, ref.size, ref.codec, ref.file


# --- from the worker ----------------------------------------------------------------------------

READY = b"[0,3]\n"
_DONE, _BROKEN, _RETURNED, _READY = range(4)


def done_line(
    seq: int,
    value: Value,
    payload: bytes | None,
    spent: tuple[int, int, int, int],
    output: tuple[str, int, int] | None,
) -> bytes:
    """A success. `spent` is began_at, wall_us, cpu_us, rss_kib."""
    if output is None and payload is None and isinstance(value, str):
        began_at, wall_us, cpu_us, rss_kib = spent
        text = f"[{seq},0,{quote(value)},{began_at},{wall_us},{cpu_us},{rss_kib}]\n"
        return text.encode()
    plain = value if isinstance(value, str) else _ref(value)
    data = None if payload is None else b64encode(payload).decode()
    return _line(seq, _DONE, plain, *spent, output, data)


def broken_line(
    seq: int,
    fault: Fault,
    kept: str,
    spent: tuple[int, int, int, int],
    output: tuple[str, int, int] | None,
    beat: tuple[int, str] | None = None,
) -> bytes:
    """A failure. `beat` is the last heartbeat: when (monotonic nanoseconds) and its detail."""
    plain = (
        fault.kind.value, cut(fault.message), fault.exception, fault.bases,
        cut(fault.traceback), fault.exit_code, fault.retry_after_us,
    )  # fmt: skip
    return _line(seq, _BROKEN, plain, *spent, output, kept, beat)


def returned_line(seq: int) -> bytes:
    """An attempt that will not begin."""
    return b"[%d,2]\n" % seq


def _line(*items: Any) -> bytes:
    return json.dumps(items, separators=(",", ":")).encode() + b"\n"


def cut(text: str) -> str:
    """`text`, without its middle when it is very long."""
    if len(text) <= MAX_TEXT:
        return text
    half = MAX_TEXT // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters cut ...\n{text[-half:]}"


def read_lines(body: bytes) -> list[list[Any]]:
    """Complete lines, the last one without its end, as lists. Raises Breach."""
    try:
        rows = json.loads(b"[" + body.replace(b"\n", b",") + b"]")
        if all(type(row) is list and type(row[0]) is int for row in rows):
            return rows  # type: ignore[no-any-return]
    except (ValueError, RecursionError, IndexError) as error:
        raise Breach(f"not a report: {error}") from None
    raise Breach("not a report")


def is_ready(row: list[Any]) -> bool:
    """Whether a line says that the worker can take work."""
    return len(row) == 2 and row[1] == _READY


def report(row: list[Any], a: Assignment) -> Report:
    """The report that a line makes about an attempt. Raises Breach."""
    try:
        if row[1] == _DONE:
            return _done(row, a)
        if row[1] == _BROKEN:
            _, _, fault, began_at, wall_us, cpu_us, rss_kib, output, kept, _ = row
            kind, message, exception, bases, traceback, code, retry_after = fault
            if retry_after is not None:
                _check(int, retry_after)
            _check(str, message, exception, traceback, kept, *bases)
            _check(int, began_at, wall_us, cpu_us, rss_kib)
            return Failed(
                a.run, a.index, a.attempt,
                Fault(
                    FaultKind(kind), message, exception, tuple(bases), traceback, code, retry_after
                ),
                began_at, wall_us, cpu_us, rss_kib, _output(output), kept,
            )  # fmt: skip
        if row[1] == _RETURNED:
            return Returned(a.run, a.index, a.attempt)
    except (ValueError, TypeError, IndexError) as error:
        raise Breach(f"not a report: {error}") from None
    raise Breach("not a report")


def last_beat(row: list[Any]) -> tuple[int, str] | None:
    """The last heartbeat that came with a failure: when, and its detail. Raises Breach."""
    if row[1] != _BROKEN or row[9] is None:
        return None
    try:
        at_ns, detail = row[9]
        _check(int, at_ns)
        _check(str, detail)
    except (ValueError, TypeError) as error:
        raise Breach(f"not a heartbeat: {error}") from None
    if len(detail) > DETAIL_MAX:
        raise Breach(f"a heartbeat of {len(detail)} characters")
    return at_ns, detail


def _done(row: list[Any], a: Assignment) -> Report:
    if len(row) == 7:
        _, _, value, began_at, wall_us, cpu_us, rss_kib = row
        if type(value) is not str:
            raise TypeError(value)
        _check(int, began_at, wall_us, cpu_us, rss_kib)
        return Succeeded(a.run, a.index, a.attempt, value, began_at, wall_us, cpu_us, rss_kib)
    _, _, value, began_at, wall_us, cpu_us, rss_kib, output, data = row
    _check(int, began_at, wall_us, cpu_us, rss_kib)
    if type(value) is not str:
        digest, size, codec, file = value
        _check(str, digest, codec)
        _check(int, size)
        value = PayloadRef(digest, size, codec, bool(file))
    return Succeeded(
        a.run, a.index, a.attempt, value, began_at, wall_us, cpu_us, rss_kib, _output(output),
        None if data is None else b64decode(data, validate=True),
    )  # fmt: skip


def _output(row: list[Any] | None) -> OutputRef | None:
    if row is None:
        return None
    file, offset, length = row
    _check(str, file)
    _check(int, offset, length)
    return OutputRef(file, offset, length)


def _check(kind: type, *values: Any) -> None:
    for value in values:
        if type(value) is not kind:
            raise TypeError(value)
