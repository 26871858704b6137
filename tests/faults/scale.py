"""How much the fault tests try, and how they say what they tried.

DURABLE_WF_TORTURE=1 (set by `tools/torture`) chooses the long set.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from enum import Enum

TORTURE = os.environ.get("DURABLE_WF_TORTURE", "") not in {"", "0"}


def show(title: str, counts: Counter[Enum], of: str = "images") -> None:
    """Print one line of figures; `tools/torture` collects them."""
    parts = ", ".join(f"{found.value} {number:,}" for found, number in counts.items())
    print(f"\n[counts] {title}: {counts.total():,} {of}: {parts}")


def every(values: Iterable[int], share: int) -> list[int]:
    """All of the values in the long set, else one in `share`."""
    return [value for k, value in enumerate(values) if TORTURE or k % share == 0]
