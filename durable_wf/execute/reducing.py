"""Reducing: how things that people write every day travel, where cloudpickle has no way for them.

Owns: the pickler of bundles and of pickled results. Caches, dispatchers and the like are made anew
where they are read; code keeps the name of its file.
Must never: let anything travel by a name that only this process has; or be imported before code
has to be sent, because cloudpickle takes long to import.
Read next: `rebuilding.py`, the other side; `sending.py`, which sends whole runs.
"""

from __future__ import annotations

import copyreg
import enum
import functools
import io
import linecache
import os
import sys
import threading
import types
import typing
import weakref
from collections.abc import Callable, Iterator
from contextvars import Context, ContextVar
from typing import Any

import cloudpickle

from durable_wf.execute import rebuilding

MAIN = ("__main__", "__mp_main__")
"""Modules that every process has, and each one its own."""

LOCKS = (
    type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore,
    threading.Event, threading.Barrier,
)  # fmt: skip
"""What holds back the threads of one process."""

_OF_ONE_PROCESS = (*LOCKS, threading.local, ContextVar)
_WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary)
CACHE: type = type(functools.cache(len))
"""What `functools.cache` and `lru_cache` make."""

_ALIAS = getattr(typing, "TypeAliasType", None)  # since Python 3.12
_DISPATCH = functools.singledispatch(len).__code__  # type: ignore[attr-defined]
_MADE_BY_CACHE = {"__wrapped__", "cache_parameters"}
_MADE_BY_DISPATCH = {"__wrapped__", "registry", "register", "dispatch", "_clear_cache"}
_NEW = vars(copyreg)["__newobj__"]
_NAMES = ("__module__", "__name__", "__qualname__", "__doc__", "__annotations__")
_MADE_BY_ENUM = {"_value_", "_name_", "__objclass__", "_sort_order_"}

Reduced = Any  # as of `reducer_override`: a tuple, a name, or NotImplemented


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """cloudpickle, which knows more. `sources`: notebook cells travel with their text."""

    def __init__(self, file: io.BytesIO, *, sources: bool = False) -> None:
        super().__init__(file, protocol=5)
        self._sends_sources = sources
        self._sources: dict[str, str] = {}
        self._aliases: set[int] = set()

    def has(self, module: str) -> bool:
        """Whether other processes can import this module."""
        return module not in MAIN and module in sys.modules

    def finds(self, thing: Any, module: object, name: object) -> bool:
        """Whether other processes find `thing` by this name."""
        if not isinstance(module, str) or not isinstance(name, str) or not self.has(module):
            return False
        found: Any = sys.modules[module]
        for part in name.split("."):
            found = getattr(found, part, None)
        return found is thing

    def reducer_override(self, thing: Any) -> Reduced:
        """How to send `thing`, where the usual way will not do."""
        kind = type(thing)  # not `isinstance`: a proxy says that it is what it stands for
        if issubclass(kind, types.FunctionType):
            return self._function(thing)
        if issubclass(kind, type):
            return self._class(thing)
        if issubclass(kind, _OF_ONE_PROCESS):
            return self._of_one_process(thing)
        if issubclass(kind, functools.cached_property):
            state = {k: v for k, v in vars(thing).items() if k != "lock"}
            return rebuilding.cached_property, (kind,), state
        if kind is types.CodeType:
            return self._code(thing)
        if kind in _WEAK:  # as cloudpickle does with weak sets
            return kind, (dict(thing),)
        if kind in self.dispatch_table:
            return NotImplemented
        return self._other(thing)

    # --- functions ------------------------------------------------------------------------------

    def _function(self, thing: types.FunctionType) -> Reduced:
        module, name = thing.__module__, thing.__qualname__
        if thing.__code__ is not _DISPATCH or self.finds(thing, module, name):
            return super().reducer_override(thing)
        names = {name: getattr(thing, name) for name in _NAMES}
        attributes = {k: v for k, v in vars(thing).items() if k not in _MADE_BY_DISPATCH}
        state = (dict(thing.registry), names, attributes)  # type: ignore[attr-defined]
        make = functools.singledispatch
        return make, (thing.__wrapped__,), state, None, None, rebuilding.dispatch  # type: ignore[attr-defined]

    def _code(self, thing: types.CodeType) -> Reduced:
        """cloudpickle leaves the file out; without it tracebacks show no line."""
        make, args = self.dispatch_table[types.CodeType](thing)
        file = thing.co_filename
        source = self._source(file) if self._sends_sources else ""
        return rebuilding.code, (make, args, file, source)

    def _source(self, file: str) -> str:
        """The text of what is no file, but known to this process: a cell, a typed line."""
        known = self._sources.get(file)
        if known is None:
            known = "" if os.path.exists(file) else "".join(linecache.getlines(file))
            self._sources[file] = known
        return known

    # --- classes --------------------------------------------------------------------------------

    def _class(self, thing: type) -> Reduced:
        """By value: without calling once more what is called when a class is defined."""
        reduced = super().reducer_override(thing)
        if not isinstance(reduced, tuple) or len(reduced) != 6:
            return reduced
        make, args, state, _, _, fill = reduced
        if isinstance(thing, enum.EnumMeta) and thing.__members__:
            args, state, fill = self._members(thing, args, state, fill)
        told = self._told_of(thing)
        if told:
            make, args = rebuilding.quietly, (make, args, told)
        return make, args, state, None, None, fill

    def _told_of(self, thing: type) -> tuple[type, ...]:
        """Bases and metaclasses that travel as well, and are told of every new class."""
        meta: type = type(thing)
        told = [k for k in thing.__mro__[1:] if "__init_subclass__" in vars(k)]
        told += [k for k in meta.__mro__ if "__new__" in vars(k) or "__init__" in vars(k)]
        return tuple(k for k in told if not self.finds(k, k.__module__, k.__qualname__))

    def _members(
        self, thing: enum.EnumMeta, args: tuple[Any, ...], state: Any, fill: Callable[..., Any]
    ) -> tuple[tuple[Any, ...], Any, Callable[..., Any]]:
        """Members with their aliases and attributes; cloudpickle sends names and values only."""
        bases, name, qualname, _, *rest = args
        members: dict[str, Any] = {
            "__new__": rebuilding.new_member,
            "__init__": rebuilding.init_member,
        }
        attributes: dict[str, dict[str, Any]] = {}
        member: Any
        for one, member in thing.__members__.items():
            members[one] = rebuilding.Held(member._value_, _data_of(member))
            if member.name == one:
                own = vars(member).items()
                attributes[one] = {k: v for k, v in own if k not in _MADE_BY_ENUM}
        own, slots = state
        own = {k: v for k, v in own.items() if k not in members or k.startswith("__")}
        state = (fill, (own, slots), attributes)
        return (bases, name, qualname, members, *rest), state, rebuilding.fill_enum

    # --- objects --------------------------------------------------------------------------------

    def _of_one_process(self, thing: Any) -> Reduced:
        """By the name under which an importable module has it: each process has one there."""
        for module, name in _places_of(thing):
            if self.has(module):
                return getattr, (sys.modules[module], name)
        kind = type(thing)
        if kind is ContextVar:
            try:
                default: tuple[Any, ...] = (Context().run(thing.get),)
            except LookupError:
                default = ()
            return rebuilding.context_variable, (thing.name, default)
        if issubclass(kind, threading.local) and kind.__init__ is object.__init__:
            return kind, ()  # a thread that has not used it finds it empty, too
        if kind in LOCKS:
            raise TypeError("a lock holds back the threads of one process only")
        return self._other(thing)

    def _other(self, thing: Any) -> Reduced:
        """As the object itself says, unless others would not understand it."""
        reduced = thing.__reduce_ex__(5)
        if isinstance(reduced, str):
            return self._by_name(thing, reduced)
        make, args, *more = reduced
        if make is _NEW and all(part is None for part in more):
            return self._stateless(thing, reduced)
        if make is type(thing) and _is_error_of_its_own(make):
            return _NEW, (make, *args), *more
        return reduced

    def _stateless(self, thing: Any, reduced: Reduced) -> Reduced:
        """An object without a state may be one that `is` tells, like MISSING of `dataclasses`:
        then the module of its class has a name for it.
        """
        module = type(thing).__module__
        if len(reduced[1]) == 1 and self.has(module):
            for name, value in list(vars(sys.modules[module]).items()):
                if value is thing:
                    return getattr, (sys.modules[module], name)
        return reduced

    def _by_name(self, thing: Any, name: str) -> Reduced:
        """By name where other processes have that name, else from what it was made of."""
        module = getattr(thing, "__module__", None)
        if module is None or self.finds(thing, module, name):
            return name
        kind = type(thing)
        if kind is CACHE:
            state = {k: v for k, v in vars(thing).items() if k not in _MADE_BY_CACHE}
            return rebuilding.cache, (thing.__wrapped__, thing.cache_parameters()), state
        if kind is typing.NewType:
            made_of = (thing.__name__, thing.__supertype__, module, thing.__qualname__)
            return rebuilding.new_type, made_of
        if kind is typing.TypeVarTuple:
            return typing.TypeVarTuple, (thing.__name__,)
        if kind is typing.ParamSpec:
            return rebuilding.parameters, (thing.__name__, thing.__bound__)
        if kind is _ALIAS:
            return self._alias(thing)
        if module in MAIN:
            raise TypeError(f"only this process has the name {module}.{name}")
        return name

    def _alias(self, thing: Any) -> Reduced:
        """A type alias may name itself, and nothing fills one later: then it becomes Any."""
        if id(thing) in self._aliases:
            return getattr, (typing, "Any")
        self._aliases.add(id(thing))
        return rebuilding.type_alias, (thing.__name__, thing.__value__, thing.__type_params__)


def _places_of(thing: Any) -> Iterator[tuple[str, str]]:
    """The modules that have `thing` at their top level, each with a name for it."""
    for module, held in list(sys.modules.items()):
        for name, value in list(getattr(held, "__dict__", {}).items()):
            if value is thing:
                yield module, name


def _is_error_of_its_own(kind: type) -> bool:
    """An exception class whose `__init__` takes other arguments than those that it keeps."""
    return (
        issubclass(kind, BaseException)
        and kind.__reduce__ is BaseException.__reduce__
        and isinstance(kind.__init__, types.FunctionType)
        and isinstance(kind.__new__, types.BuiltinFunctionType)
    )


def _data_of(member: Any) -> tuple[Any, ...]:
    """What `__new__` of the data type of an enum's member makes it of; nothing where all that it
    holds are attributes.
    """
    kind, value = type(member)._member_type_, member._value_
    if hasattr(kind, "__getnewargs__"):  # str, int and the like
        args: tuple[Any, ...] = kind.__getnewargs__(member)
        return args
    if type(value) is not kind:
        return ()
    make, args = value.__reduce_ex__(5)[:2]
    return args[1:] if make is _NEW else args  # of a dataclass: nothing
