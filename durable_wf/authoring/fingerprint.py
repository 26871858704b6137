"""Fingerprints: where a function's code is found, and whether it is still the same code.

Owns: FunctionRef of a callable.
Must never: run the callable.
Read next: `loading.py`, which goes the other way.

A fingerprint covers the function's bytecode, constants, argument names and defaults, the simple
values, objects and functions in its closure, decorators' wrappers together with what they wrap, and
in the same way every function and class of the same module that it refers to by a global name; so
do global constants that are written as such: numbers, texts, None, enum members, and tuples and
frozen sets of these. Of an object it covers what `held.py` can say of it; so it does of the object
whose bound method is a task.
It does not change with comments, line numbers, the file's place, or the docstring of the function.

It does not see: global variables that are computed when the program starts (`os.getpid()`), that
can be changed in place (lists, dicts, sets, objects) or that the function itself assigns; functions
and data of other modules, installed packages included; what is found at run time only (methods of
objects, `getattr`, strings that are imported); what objects of libraries hold; files, environment.
Bytecode belongs to one minor version of Python, so another one counts as changed code.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from enum import Enum
from typing import Any, Final

import attrs

from durable_wf.authoring.held import exact_text, fields_of, held_by
from durable_wf.authoring.literals import literal_names
from durable_wf.core.definition import FunctionRef

_PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
_SIMPLE: Final = (type(None), bool, int, float, complex, str, bytes, type(...))
_MAX_ITEMS: Final = 10_000
_MAX_DEPTH: Final = 12
_GLOBAL_NAME: Final = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_GLOBAL_ASSIGNED: Final = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})


def function_ref(function: Callable[..., Any]) -> FunctionRef:
    """Where `function` is found, and its fingerprint.

    A function of the script being run has no module but a file; one of a REPL or a notebook has
    neither and must travel by value. A callable that no attribute of its module gives (a lambda, a
    closure, a partial, a bound method) has a qualname that is no dotted name, or is not found
    there; it is found again by the name of its task.
    """
    inner = innermost(function)
    module: str = getattr(inner, "__module__", None) or ""
    file = ""
    if module == "__main__":
        module, file = "", script_of_main()
    return FunctionRef(
        qualname=qualname_of(function),
        module=module,
        file=file,
        fingerprint=fingerprint(function),
        python="" if module or file else _PYTHON,
    )


def script_of_main() -> str:
    """The absolute path of the script that runs as `__main__`, or "" (REPL, notebook, -c)."""
    file = getattr(sys.modules.get("__main__"), "__file__", None) or ""
    return os.path.abspath(file) if file and os.path.isfile(file) else ""  # noqa: PTH100, PTH113


def innermost(function: object) -> Any:
    """The function below decorators, partials and bound methods; of an object, its class."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif wrapped := getattr(function, "__wrapped__", None):
            function = wrapped
        elif isinstance(function, type) or hasattr(function, "__qualname__"):
            return function
        else:
            return type(function)


def qualname_of(function: object) -> str:
    """The dotted name below the module; in brackets what kind of thing else carries that name."""
    name: str = innermost(function).__qualname__
    if isinstance(function, functools.partial):
        return f"<partial {name}>"
    if isinstance(function, types.MethodType):
        return name if isinstance(function.__self__, type) else f"<bound {name}>"
    if isinstance(function, type) or getattr(function, "__qualname__", None):
        return name
    return f"<object {name}>"


def fingerprint(function: Callable[..., Any]) -> str:
    """32 hex digits; the same for the same code, in every process of one Python version."""
    inner = innermost(function)
    walk = _Walk(inner)
    walk.callable(function)
    text = "\n".join(walk.parts)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@attrs.frozen(eq=False)
class _CodeFacts:
    """What of a code object never changes: its text form, and the global names it refers to."""

    text: str
    globals: tuple[str, ...]
    assigned: frozenset[str]


@functools.lru_cache(maxsize=4096)
def _facts(code: types.CodeType) -> _CodeFacts:
    arguments = code.co_argcount + code.co_kwonlyargcount
    arguments += bool(code.co_flags & 0x04) + bool(code.co_flags & 0x08)
    nested = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in _GLOBAL_NAME
    }
    names.update(name for const in nested for name in _facts(const).globals)
    assigned = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in _GLOBAL_ASSIGNED
    }
    assigned.update(name for const in nested for name in _facts(const).assigned)
    parts = (
        hashlib.blake2b(code.co_code, digest_size=16).hexdigest(),
        getattr(code, "co_exceptiontable", b"").hex(),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags),
        code.co_varnames[:arguments],
        code.co_names,
    )
    return _CodeFacts(ascii(parts), tuple(sorted(names)), frozenset(assigned))


class _Walk:
    """Writes down, in an order that depends on nothing but the code, what it reaches from a root.

    `home` are the globals of the root's module: functions with other globals are not entered.
    """

    def __init__(self, root: Any) -> None:
        self.parts: list[str] = []
        self._home = getattr(root, "__globals__", None)
        self._module = getattr(root, "__module__", None)
        self._seen: dict[int, int] = {}
        self._kept: list[object] = []

    def _new(self, thing: object) -> bool:
        """Whether `thing` is met for the first time; if not, a reference to it is written."""
        if (number := self._seen.setdefault(id(thing), len(self._seen))) < len(self._kept):
            self.parts.append(f"again {number}")
            return False
        self._kept.append(thing)  # alive, so that its id stays its own
        return True

    def callable(self, function: object) -> None:
        if isinstance(function, functools.partial):
            self.parts.append("partial")
            self.callable(function.func)
            self.value((function.args, function.keywords))
        elif isinstance(function, types.MethodType):
            self.parts.append("bound")
            self.callable(function.__func__)
            if not isinstance(function.__self__, type):
                self._fields(fields_of(function.__self__), function.__self__, 0)
        elif isinstance(function, types.FunctionType):
            self._function(function)
        elif isinstance(function, type):
            self._class(function)
        elif wrapped := getattr(function, "__wrapped__", None):
            self.callable(wrapped)
        elif isinstance(function, types.BuiltinFunctionType):
            self.parts.append(f"builtin {function.__module__}.{function.__qualname__}")
        else:
            self.parts.append("object")
            self._class(type(function))
            self._fields(fields_of(function), function, 0)

    def _function(self, function: types.FunctionType) -> None:
        if not self._new(function):
            return
        code = function.__code__
        self._code(code, function.__doc__)
        self.value((function.__defaults__, function.__kwdefaults__))
        for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            self.parts.append(f"cell {name}")
            try:
                self.value(cell.cell_contents)
            except ValueError:
                self.parts.append("empty")
        self._globals(function)
        if wrapped := getattr(function, "__wrapped__", None):
            self.callable(wrapped)
        registered = getattr(function, "registry", None)  # of `functools.singledispatch`
        if isinstance(registered, types.MappingProxyType):
            for kind, choice in registered.items():
                self.value((kind, choice))

    def _globals(self, function: types.FunctionType) -> None:
        if function.__globals__ is not self._home:
            return
        facts = _facts(function.__code__)
        for name in facts.globals:
            found = function.__globals__.get(name)
            if self._is_home(found):
                self.parts.append(f"global {name!a}")
                self.callable(found)
            elif (
                name in function.__globals__
                and name not in facts.assigned
                and name in literal_names(function.__code__.co_filename)
                and _is_constant(found)
            ):
                self.parts.append(f"constant {name!a}")
                self.value(found)

    def _is_home(self, thing: object) -> bool:
        if isinstance(thing, type):
            return thing.__module__ == self._module
        if not callable(thing):
            return False
        inner = innermost(thing)
        if isinstance(inner, type):
            return inner.__module__ == self._module
        return getattr(inner, "__globals__", None) is self._home

    def _code(self, code: types.CodeType, doc: object = None) -> None:
        self.parts.append(_facts(code).text)
        for i, const in enumerate(code.co_consts):
            if i == 0 and isinstance(const, str) and const == doc:
                const = None  # noqa: PLW2901 - the docstring
            self.value(const)

    def _class(self, cls: type) -> None:
        self.parts.append(f"class {cls.__qualname__!a}")
        if cls.__module__ != self._module or not self._new(cls):
            return
        for base in cls.__bases__:
            self._class(base)
        for name, member in sorted(vars(cls).items()):
            for function in _functions_of(member):
                if function.__globals__ is self._home:
                    self.parts.append(f"member {name!a}")
                    self._function(function)
            if not name.startswith("__") and isinstance(member, (*_SIMPLE, tuple)):
                self.parts.append(f"member {name!a}")
                self.value(member)

    def value(self, value: object, depth: int = 0) -> None:
        """A simple value as itself, a function as its code, an object as its class and what it
        holds, of anything else only the name of the class.
        """
        kind = type(value)
        if kind is int:
            self.parts.append(f"int {value:x}")  # in decimal, Python writes no huge one
        elif kind in _SIMPLE:
            self.parts.append(f"{kind.__name__} {value!a}")
        elif isinstance(value, types.CodeType):
            self._code(value)
        elif isinstance(value, Enum):
            self.parts.append(f"enum {kind.__qualname__}.{value.name}")
        elif kind in (tuple, list, set, frozenset, dict):
            self._collection(value, depth)
        elif callable(value) and self._is_home(value):
            self.callable(value)
        else:
            named = value if hasattr(value, "__qualname__") else kind
            self.parts.append(f"of {named.__qualname__!a}")
            if named is kind:
                self._object(value, depth)

    def _object(self, value: object, depth: int) -> None:
        text = exact_text(value)
        if text is None:
            self._fields(held_by(value, self._module), value, depth)
        else:
            self.parts.append(f"exactly {text!a}")

    def _fields(self, fields: Sequence[tuple[str, object]] | None, of: object, depth: int) -> None:
        if not fields or depth > _MAX_DEPTH or not self._new(of):
            return
        self.parts.append(f"holds {len(fields)}")
        for name, held in fields:
            self.parts.append(f"field {name!a}")
            self.value(held, depth + 1)

    def _collection(self, value: Any, depth: int) -> None:
        kind = type(value)
        self.parts.append(f"{kind.__name__} of {len(value)}")
        if len(value) > _MAX_ITEMS or depth > _MAX_DEPTH:
            return
        if kind is dict:
            value = [part for pair in value.items() for part in pair]
        elif kind in (set, frozenset):
            value = sorted(value, key=lambda item: (type(item).__qualname__, repr(item)))
        for item in value:
            self.value(item, depth + 1)


def _is_constant(value: object, depth: int = 0) -> bool:
    """Whether this can only be changed by another assignment, and says all about itself."""
    if type(value) in _SIMPLE or isinstance(value, Enum):
        return True
    if type(value) not in (tuple, frozenset) or depth > _MAX_DEPTH:
        return False
    return all(_is_constant(item, depth + 1) for item in value)  # type: ignore[attr-defined]


def _functions_of(member: object) -> Iterator[types.FunctionType]:
    """The functions that a member of a class holds: methods, and those in their wrappers."""
    if isinstance(member, property):
        candidates: tuple[object, ...] = (member.fget, member.fset, member.fdel)
    elif isinstance(member, functools.cached_property):
        candidates = (member.func,)
    elif isinstance(member, functools.singledispatchmethod):
        candidates = tuple(member.dispatcher.registry.values())
    else:
        candidates = (getattr(member, "__wrapped__", member),)
    for candidate in candidates:
        if isinstance(candidate, types.FunctionType):
            yield candidate
