"""hot: values that are made several times for every task.

Owns: the decorator `hot`, which gives the same values as `attrs.frozen` (slots, equality, hash,
keyword or positional arguments), but leaves it to the type checker to keep them from being
changed. At run time an `attrs.frozen` class pays for its guard with one slow call per field: the
values of one task would cost more than all decisions about it.
Must never: be used for values that users hold; theirs are `attrs.frozen`.
Read next: `events.py`, whose commonest kinds are hot; `tests/unit/core/test_hot.py`.
"""

from __future__ import annotations

from typing import TypeVar, dataclass_transform

import attrs

C = TypeVar("C", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def hot(cls: C) -> C:
    """A value class, frozen for the type checker, cheap to make at run time."""
    made: C = attrs.define(cls, eq=True, unsafe_hash=True)
    return made
