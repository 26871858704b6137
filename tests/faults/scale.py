"""How much the fault tests try, and how they say what they tried.

DURABLE_WF_TORTURE=1 chooses the long set, DURABLE_WF_COUNTS names a file that gathers the figures;
`tools/torture` sets both.
"""

from __future__ import annotations

import os
from collections import Counter
from enum import Enum

TORTURE = os.environ.get("DURABLE_WF_TORTURE", "") not in {"", "0"}


def show(title: str, counts: Counter[Enum], of: str = "images") -> None:
    """Print one line of figures, and add it to the file that gathers them."""
    parts = ", ".join(f"{found.value} {number:,}" for found, number in counts.items())
    say(f"{title}: {counts.total():,} {of}: {parts}")


def say(line: str) -> None:
    """The same for a line that is already made."""
    print(f"\n[counts] {line}")
    if gathered := os.environ.get("DURABLE_WF_COUNTS"):
        with open(gathered, "a") as file:
            file.write(line + "\n")
