"""Sending: one cloudpickle dump of whatever functions bring along, and words for what cannot come.

Owns: what travels by name and what by value, and the error about what cannot travel.
Must never: copy an open file, which cloudpickle would do; or be imported before code has to be
sent, because cloudpickle takes long to import.
Read next: `reducing.py` (how single things travel), `bundle.py`, whose `pack` and `unpack` are what
others use.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from typing import Any

import cloudpickle

from durable_wf.authoring.task import TaskFunction
from durable_wf.core.values import classes_of
from durable_wf.errors import NotSendable
from durable_wf.execute import reducing
from durable_wf.execute.culprits import culprit
from durable_wf.execute.port import RunCode

_FILES = (io.TextIOWrapper, io.BufferedIOBase, io.RawIOBase)
_STREAMS = ("stdin", "stdout", "stderr")
_NAMED = (types.FunctionType, type, reducing.CACHE)
_BELOW = ("__wrapped__", "func", "__func__")


# --- what is importable ---------------------------------------------------------------------------


class Homes:
    """Which modules another process can import as the ones they are here."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = dict.fromkeys(reducing.MAIN, False)

    def is_importable(self, thing: Any) -> bool:
        """Whether `thing`, a function or class, is found again by its module and name."""
        return self.way_to(thing) is not None

    def way_to(self, thing: Any) -> int | None:
        """How often `__wrapped__` leads from what its name means to `thing`; None: it does not.

        A decorator may have put something else in the place of the function it was given.
        """
        module = getattr(thing, "__module__", None)
        name = getattr(thing, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str) or not self.has(module):
            return None
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part, None)
        for steps in range(20):
            if found is thing:
                return steps
            found = getattr(found, "__wrapped__", None)
            if found is None:
                break
        return None

    def has(self, name: str) -> bool:
        """Whether module `name` can be imported elsewhere, from the same file."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._look(name)
        return known

    def _look(self, name: str) -> bool:
        module = sys.modules.get(name)
        if module is None:
            return False
        if name.partition(".")[0] in sys.stdlib_module_names:
            return True
        parent = name.rpartition(".")[0]
        if parent and not self.has(parent):
            return False
        above = sys.modules[parent] if parent else None
        spec = _asked(name, getattr(above, "__path__", None))
        if spec is None:
            return False
        file = getattr(module, "__file__", None)
        if file is None or not spec.has_location:
            return file is None and not spec.has_location
        return os.path.abspath(str(file)) == os.path.abspath(str(spec.origin))


def _asked(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """What the finders say about a module now. `importlib.util.find_spec` would not ask them, but
    take the word of the module that is loaded, wherever that came from.
    """
    for finder in sys.meta_path:
        if type(finder).__module__ in reducing.MAIN:  # the script's or notebook's own
            continue
        spec = None
        with contextlib.suppress(Exception):  # a finder can be anybody's
            spec = finder.find_spec(name, path)
        if spec is not None:
            return spec
    return None


def _found(module: types.ModuleType, name: str, steps: int) -> Any:
    """What `module` calls `name`, `steps` wrappers down. Called by the pickle in the worker."""
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part)
    for _ in range(steps):
        found = found.__wrapped__
    return found


# --- dumping --------------------------------------------------------------------------------------


class _Pickler(reducing.Pickler):
    """By name whatever is importable, and no copies of open files."""

    def __init__(self, file: io.BytesIO, homes: Homes) -> None:
        super().__init__(file, sources=True)
        self._homes = homes
        self.by_value = False

    def has(self, module: str) -> bool:
        """Whether other processes can import this module, from the same file."""
        return self._homes.has(module)

    def reducer_override(self, thing: Any) -> Any:
        """How to send `thing`, where the usual way will not do."""
        kind = type(thing)
        if issubclass(kind, _FILES) and kind is not io.BytesIO:
            return self._stream(thing)
        if kind is TaskFunction and not self._homes.has(thing.__module__):
            return thing.by_value()
        if issubclass(kind, types.ModuleType):
            _by_value(thing, self._homes)
        elif issubclass(kind, _NAMED):
            steps = self._homes.way_to(thing)
            if steps:
                return _found, (sys.modules[thing.__module__], thing.__qualname__, steps)
            if steps is None:
                self.by_value = True
                _by_value(thing, self._homes)
        return super().reducer_override(thing)

    def _stream(self, thing: Any) -> Any:
        for name in _STREAMS:
            if getattr(sys, name) is thing:
                return getattr, (sys, name)
        raise TypeError(f"cannot pickle an open file ({getattr(thing, 'name', '?')})")


def _by_value(thing: Any, homes: Homes) -> None:
    """Make cloudpickle send by value what it would look up in a module nobody else can import."""
    own = isinstance(thing, types.ModuleType)
    name = getattr(thing, "__name__" if own else "__module__", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None and name != "__main__" and not homes.has(module.__name__):
        cloudpickle.register_pickle_by_value(module)


def dump_code(code: RunCode) -> tuple[bytes, bool]:
    """One dump of the functions of a run, each with the classes that its annotations name, and
    whether any of it travels by value. Raises NotSendable.
    """
    homes = Homes()
    try:
        return dump([(function, _known(function, homes)) for function in code.functions], homes)
    except Exception as error:
        raise _not_sendable(code, homes) from error


def _known(function: Callable[..., Any], homes: Homes) -> tuple[type, ...] | None:
    """The classes to send along; None where the worker finds the same annotations itself.

    A function sent by value loses the globals that only its annotations mention.
    """
    inner: Any = function
    while not isinstance(inner, types.FunctionType | type):
        for below in ("function",) if isinstance(inner, TaskFunction) else _BELOW:
            if hasattr(inner, below):
                inner = getattr(inner, below)
                break
        else:
            inner = type(inner)
    return None if homes.is_importable(inner) else classes_of(function).all()


def _not_sendable(code: RunCode, homes: Homes) -> NotSendable:
    """The error that names the first task whose function cannot travel, and the part of it."""
    for task, function in zip(code.names, code.functions, strict=True):
        why = why_not((function, _known(function, homes)), homes)
        if why is not None:
            name = getattr(function, "__qualname__", repr(function))
            path, part = culprit(function, lambda part: why_not(part, homes))
            return NotSendable(
                f"task {task!r}: its function {name} cannot be sent to a worker process: "
                f"{path or why}",
                hint=_IF_LOCK if isinstance(part, reducing.LOCKS) else _IF_ANYTHING,
            )
    return NotSendable("the functions of this run can be sent one by one, but not together")


_IF_ANYTHING = (
    "open it inside the task, or pass what it is made of; "
    'executor_type="sequential" needs no sending'
)
_IF_LOCK = (
    "make it inside the task, or in a module, which each worker imports for itself; tasks of "
    'several workers that must not run together take the unit of a pool: pools={"name": 1}'
)


def dump(thing: Any, homes: Homes) -> tuple[bytes, bool]:
    """The bytes of `thing`, and whether code stands in them by value."""
    before = set(cloudpickle.list_registry_pickle_by_value())
    file = io.BytesIO()
    pickler = _Pickler(file, homes)
    try:
        pickler.dump(thing)
    finally:
        for name in set(cloudpickle.list_registry_pickle_by_value()) - before:
            cloudpickle.unregister_pickle_by_value(sys.modules[name])
    return file.getvalue(), pickler.by_value


def why_not(thing: Any, homes: Homes) -> str | None:
    """Why `thing` cannot travel, or None when it can."""
    try:
        dump(thing, homes)
    except Exception as error:  # noqa: BLE001 - a user's __reduce__ may raise anything
        return f"{type(error).__name__}: {error}"
    return None
