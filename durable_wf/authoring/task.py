"""The `task` decorator: a plain function that knows its options.

Owns: TaskFunction and `task`.
Must never: change what the function does; calling it is calling the function.
Read next: `factory.py`, which makes Task definitions of functions.
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, Self, TypeVar, Unpack, cast, overload

from durable_wf.authoring.options import NOT_SENT, TaskOptions
from durable_wf.errors import DefinitionError

P = ParamSpec("P")
R = TypeVar("R")


class TaskFunction(Generic[P, R]):
    """A function with a task's name and options. Called, it is the function itself.

    `function` is what was decorated, `name` what a task made of it is called by default, `settings`
    the options given (see `TaskOptions`).
    """

    __module__: str
    __name__: str
    __qualname__: str

    def __init__(
        self, function: Callable[P, R], name: str | None, settings: Mapping[str, object]
    ) -> None:
        if not callable(function):
            raise DefinitionError(f"@task decorates functions, not {function!r:.60}")
        functools.update_wrapper(self, function)
        self.function = function
        self.name: str = name or str(getattr(function, "__name__", ""))
        self.settings = dict(settings)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function."""
        return self.function(*args, **kwargs)

    def options(
        self, *, name: str | None = None, **options: Unpack[TaskOptions]
    ) -> TaskFunction[P, R]:
        """The same function with these options instead of, or besides, its own."""
        return TaskFunction(self.function, name or self.name, {**self.settings, **options})

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """In a class body it makes a method, as a function does."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<task {self.name!r}: {self.function!r}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> str | tuple[Any, ...]:
        """By reference where the module gives it under its name, else by value.

        What runs as `__main__` always goes by value: no other process has it.
        """
        found: Any = sys.modules.get(self.__module__)
        for part in self.__qualname__.split("."):
            found = getattr(found, part, None)
        if self.__module__ != "__main__" and isinstance(found, TaskFunction):
            if found is self:
                return self.__qualname__
            if found.function is self.function:
                return _itself, (found,)
        return self.by_value()

    def by_value(self) -> tuple[Any, ...]:
        """How `pickle` makes a copy, for a process that cannot import the module."""
        settings = {name: v for name, v in self.settings.items() if name not in NOT_SENT}
        return TaskFunction, (self.function, self.name, settings)


def _itself(function: TaskFunction[..., Any]) -> TaskFunction[..., Any]:
    """What a copy with other options is unpickled as: the task that the module gives."""
    return function


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...
@overload
def task(
    *, name: str | None = None, **options: Unpack[TaskOptions]
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...
def task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    **options: Unpack[TaskOptions],
) -> Any:
    """Give a function a task's options: `@task`, or `@task(timeout="10m", cpu=2)`.

    The function stays what it was: it may be called, tested and imported as before. The options
    are read when a workflow is built; what is wrong with them is reported there.
    """
    settings = cast("Mapping[str, object]", options)
    if function is not None:
        return TaskFunction(function, name, settings)
    return lambda decorated: TaskFunction(decorated, name, settings)
