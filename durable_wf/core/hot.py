"""hot, frozen: how the values of this package are made where there are many of them.

Owns: two decorators. `frozen` gives what `attrs.frozen` gives, with one `__repr__` for all classes:
to make one for each takes a third of the time that making a class takes, and every process makes
all kinds of events, inputs and decisions. `hot`, for values that are made several times for every
task, leaves it to the type checker to keep them from being changed: an `attrs.frozen` class pays
for its guard with one slow call per field, and the values of one task would cost more than all
decisions about it.
Must never: be used for values that users hold, `hot`; theirs are frozen.
Read next: `task_events.py`, whose commonest kinds are hot; `tests/unit/core/test_hot.py`.
"""

from __future__ import annotations

from typing import TypeVar, dataclass_transform

import attrs

C = TypeVar("C", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def frozen(cls: C) -> C:
    """A value class that cannot be changed."""
    made: C = attrs.frozen(cls, repr=False)
    made.__repr__ = _repr  # type: ignore[assignment]
    return made


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def hot(cls: C) -> C:
    """A value class, frozen for the type checker, cheap to make at run time."""
    made: C = attrs.define(cls, eq=True, unsafe_hash=True, repr=False)
    made.__repr__ = _repr  # type: ignore[assignment]
    return made


def _repr(self: attrs.AttrsInstance) -> str:
    """As attrs writes it."""
    shown = [f"{f.name}={getattr(self, f.name)!r}" for f in attrs.fields(type(self)) if f.repr]
    return f"{type(self).__qualname__.rpartition('>.')[2]}({', '.join(shown)})"
