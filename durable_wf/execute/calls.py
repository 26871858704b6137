"""Calls: one attempt at a task's function, from stored arguments to a stored result.

Owns: `perform`, the same in every executor: decode, call, encode, choose where the value is kept,
and make data of whatever went wrong. `read_value` for whoever needs a result as an object.
Must never: raise; an attempt's failure is an answer, `Broken`. Nor time, limit or capture: that is
the business of whoever performs.
Read next: `faults.py`, `context.py`, then `sequential.py` or `worker.py`, which call this.
"""

from __future__ import annotations

import contextlib
import shlex
import time
import types
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from durable_wf.core.fault import Fault
from durable_wf.core.payload import PayloadRef, Value
from durable_wf.core.status import FaultKind
from durable_wf.core.values import (
    INLINE_MAX,
    NO_CLASSES,
    TABLE_MAX,
    Classes,
    Missing,
    classes_of,
    decode,
    decode_payload,
    encode_result,
)
from durable_wf.errors import DiskFull, NotFound, NotStorable, PayloadMissing
from durable_wf.execute import pickling
from durable_wf.execute.faults import fault_of
from durable_wf.execute.port import Argument, Given
from durable_wf.store.payload_files import digest_of, read_file, write_file, write_kept
from durable_wf.store.trust import signing_key

SIZE_LIMIT = 1 << 30
"""Bytes of one result, unless the caller says otherwise."""

ROOM_S = 3600.0
"""How long an attempt waits for room on a full disk before it fails, in seconds."""

ROOM_PERIOD_S = 0.5
"""How often it looks."""

KEPT_MAX = 64 << 20
"""Bytes of a result that could not be stored that are kept aside."""


class Functions(list[Callable[..., Any]]):
    """The functions of a run, by index, with the classes that each one's annotations name."""

    def __init__(
        self,
        functions: Iterable[Callable[..., Any]] = (),
        known: Sequence[Classes | None] = (),
    ) -> None:
        super().__init__(functions)
        self._classes: list[Classes | None] = [*known, *[None] * (len(self) - len(known))]

    def classes(self, index: int) -> Classes:
        """The classes of the function at `index`; they are looked up once."""
        classes = self._classes[index]
        if classes is None:
            classes = self._classes[index] = classes_of(self[index])
        return classes


@attrs.define
class Call:
    """What to call and with what. `function` indexes `functions`.

    `payloads` and `output` are folders of the store. `size_limit` in bytes. `signing_key` is for
    pickled values; without it the user's own is read when one is met. `on_full` is told when the
    disk is too full for the result, and when that is over.
    """

    task: str
    functions: Functions
    function: int
    payloads: Path
    output: Path
    args: Sequence[Argument] = ()
    kwargs: Sequence[tuple[str, Argument]] = ()
    codec: str = ""
    size_limit: int = SIZE_LIMIT
    signing_key: bytes = b""
    on_full: Callable[[bool], None] | None = None


@attrs.define
class Done:
    """The function returned. `payload` are the bytes behind a table PayloadRef."""

    value: Value
    payload: bytes | None = None


@attrs.define
class Broken:
    """The attempt failed. `kept` names a file, below the output folder, with what it returned."""

    fault: Fault
    kept: str = ""


def perform(call: Call) -> Done | Broken:
    """Call the function and store what it returns. Never raises."""
    try:
        function = call.functions[call.function]
        args: Sequence[Any] = ()
        if call.args:
            args = [_argument(call, at, given) for at, given in enumerate(call.args)]
        if call.kwargs:
            kwargs = {name: _argument(call, name, given) for name, given in call.kwargs}
            result = function(*args, **kwargs)
        else:
            result = function(*args)
        if type(result) is types.CoroutineType:
            result = _await(result)
    except BaseException as error:  # noqa: BLE001 - whatever a task raises is its outcome
        return broken(error)
    try:
        return _store(call, result)
    except NotStorable as error:
        if kept := _keep(call, result):
            _tell_of(call, kept, error)
        return Broken(fault_of(error), kept)
    except BaseException as error:  # noqa: BLE001 - a full disk, or a signal's exception
        return broken(error)


def broken(error: BaseException) -> Broken:
    """The outcome of an attempt that ended with `error`. Never raises."""
    try:
        return Broken(fault_of(error))
    except BaseException as second:  # noqa: BLE001 - memory may be short while a fault is made
        kind = FaultKind.MEMORY if isinstance(error, MemoryError) else FaultKind.ERROR
        return Broken(Fault(kind, f"{type(error).__name__}; and {type(second).__name__} after it"))


# --- arguments ------------------------------------------------------------------------------------


def read_value(
    value: Value,
    classes: Classes = NO_CLASSES,
    data: bytes | None = None,
    key: bytes = b"",
    space: Mapping[str, object] | None = None,
) -> Any:
    """A stored value as an object. `data` are the bytes behind a reference, `key`
    signs pickled values (else the user's own), whose classes are looked for in `space` first.

    Raises NotReadable when it is damaged, or its classes are not at hand, or it
    was pickled by another user.
    """
    if isinstance(value, str):
        return decode(value, classes)
    if data is None:
        raise PayloadMissing(f"payload {value.digest} was not given")
    if value.codec == pickling.PICKLE:
        return pickling.unpack(data, key or signing_key(), space)
    return decode_payload(value.codec, data, classes)


def _argument(call: Call, at: int | str, given: Argument) -> Any:
    if type(given) is not Given:
        return Missing(task=given.task, kind=given.kind, message=given.message)  # type: ignore[union-attr]
    index = given.producer if given.producer >= 0 else call.function
    value, data = given.value, given.payload
    if type(value) is str:
        found = decode(value, call.functions.classes(index))
    else:
        if data is None and isinstance(value, PayloadRef):
            data = read_file(call.payloads, value.digest)
        classes, space = call.functions.classes(index), _globals_of(call)
        found = read_value(value, classes, data, call.signing_key, space)
    return _follow(call, at, given, found) if given.path else found


def _globals_of(call: Call) -> Mapping[str, object]:
    """The globals of the function that is called, as far as it has any."""
    function = call.functions[call.function]
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    space: Mapping[str, object] = getattr(function, "__globals__", {})
    return space


def _follow(call: Call, at: int | str, given: Given, found: Any) -> Any:
    """What the path finds inside a result."""
    where = f"ref({(given.task or '...')!r})"
    for step in given.path:
        try:
            found = found[step]
        except Exception:  # noqa: BLE001 - looking into a value is its own code
            name = f"argument {at!r}" if isinstance(at, str) else f"argument {at + 1}"
            raise NotFound(
                f"task {call.task!r}, {name}: {_quoted(where, step)} was not found: "
                f"{_contents(where, found)}",
                hint="check the key against what the task returns",
            ) from None
        where = _quoted(where, step)
    return found


def _quoted(where: str, step: str | int) -> str:
    return f'{where}["{step}"]' if isinstance(step, str) else f"{where}[{step}]"


def _contents(where: str, found: Any) -> str:
    if isinstance(found, dict):
        keys = ", ".join(repr(key) for key in list(found)[:8])
        return f"{where} has the keys {keys}{', ...' if len(found) > 8 else ''}"
    if isinstance(found, list | tuple):
        return f"{where} is a {type(found).__name__} of {len(found)} items"
    return f"{where} is of type {type(found).__name__}"


def _await(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end, also when this thread has an event loop that is running."""
    # Heavy, and tasks that are no coroutines never need it.
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    # Heavy too, and needed only inside a notebook's loop.
    import contextvars
    from concurrent.futures import ThreadPoolExecutor

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="durable-wf-coroutine") as pool:
        future = pool.submit(context.run, asyncio.run, coroutine)
        return future.result()  # no wait: as long as the task takes, like any function


# --- results --------------------------------------------------------------------------------------


def _store(call: Call, result: Any) -> Done:
    classes = call.functions.classes(call.function)
    if call.codec == pickling.PICKLE:
        text: str | bytes = pickling.pack(result, call.signing_key or signing_key())
        codec = pickling.PICKLE
    else:
        codec, text = encode_result(result, classes, call.codec)
    if isinstance(text, str):
        # A character takes at most 4 bytes: most values need no second look.
        if len(text) <= INLINE_MAX // 4 or (text.isascii() and len(text) <= INLINE_MAX):
            return Done(text)
        data = text.encode()
        if len(data) <= INLINE_MAX:
            return Done(text)
    else:
        data = text
    if len(data) > call.size_limit:
        raise NotStorable(
            f"result: it takes {len(data):,} bytes, and the limit is {call.size_limit:,}",
            hint="write it to a file and return its path",
        )
    if len(data) <= TABLE_MAX:
        return Done(PayloadRef(digest_of(data), len(data), codec), data)
    return Done(_write(call, data, codec))


def _write(call: Call, data: bytes, codec: str) -> PayloadRef:
    """Write a payload file; a full disk is waited out, since the task's work may have been long."""
    deadline = time.monotonic() + ROOM_S
    told = False
    try:
        while True:
            try:
                return write_file(call.payloads, data, codec)
            except DiskFull:
                if time.monotonic() >= deadline:
                    raise
            if call.on_full is not None and not told:
                call.on_full(True)
                told = True
            time.sleep(ROOM_PERIOD_S)
    finally:
        if call.on_full is not None and told:
            call.on_full(False)


def _keep(call: Call, result: Any) -> str:
    """Keep what a task returned although it cannot be stored: its work may have been long.

    Returns the file's name below the output folder, or "" where there are no bytes to keep.
    """
    with contextlib.suppress(BaseException):
        data = pickling.raw(result)
        if len(data) <= KEPT_MAX:
            return write_kept(call.output, data, ".pickle")
    return ""


def _tell_of(call: Call, kept: str, error: NotStorable) -> None:
    """Say in the error where the result is. Its place is told within the store, which may move."""
    error.message += f"; what the task returned is kept in {call.output.name}/{kept} of the store"
    how = f"dwf show RUN --task {shlex.quote(call.task)}   says how to read what was kept"
    error.hint = f"{error.hint}; {how}" if error.hint else how
