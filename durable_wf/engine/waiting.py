"""Waiting: looking at something until it is there, with a deadline.

Owns: the one polling loop of this layer.
Must never: wait for ever.
Read next: `control.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], timeout_s: float, every_s: float) -> T | None:
    """What `look` returns as soon as it is not None, or None after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(every_s)
    return found
