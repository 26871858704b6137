"""Names the tests that failed and passed when they were tried again, so that a flake is seen.

second_try.py FIRST SECOND     what pytest's cache called `lastfailed` after each try
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def passed_then(first: str, second: str) -> list[str]:
    """What failed at the first try and not at the second. Both are JSON objects whose keys are the
    names of tests; a cache that is empty has none.
    """
    return sorted(json.loads(first).keys() - json.loads(second or "{}").keys())


def told(names: list[str]) -> str:
    """What is printed about them, without an end of line; "" when there are none."""
    if not names:
        return ""
    tests = "1 test" if len(names) == 1 else f"{len(names)} tests"
    return "\n".join([f"{tests} passed only at the second try:", *(f"  {name}" for name in names)])


if __name__ == "__main__":
    first, second = (Path(name) for name in sys.argv[1:3])
    again = second.read_text() if second.exists() else ""  # pytest removes what is empty
    if text := told(passed_then(first.read_text(), again)):
        print(f"\n{text}")
