"""Units: durations and sizes as people write them.

Owns: reading "1h30m" and "4GB", and the longest time that there is.
Must never: guess; what is not clearly a duration or a size is a DefinitionError.
Read next: `authoring/options.py`, which uses them.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Final, TypeGuard

from durable_wf.errors import DefinitionError

Duration = float | timedelta | str
"""Seconds, a timedelta, or text such as "90s", "10m", "1h30m", "2d", "250ms"."""

Size = int | str
"""Bytes, or text such as "512MB" (millions) or "4GiB" (powers of 1024)."""

LONGEST_S = 1e9
"""The longest time that anybody may ask for, about 30 years."""


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that is neither endless nor none; True and False are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def is_time(value: object) -> TypeGuard[float]:
    """Whether it is a number of seconds after which something may be stopped."""
    return is_number(value) and 0 < value <= LONGEST_S


_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")

_BYTES: Final = {
    "": 1,
    "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12,
    "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]I?)?B?", re.IGNORECASE)


_DURATIONS = "give seconds, or text such as '90s' or '1h30m'"


def parse_duration(value: object) -> float:
    """Seconds, more than 0. Raises DefinitionError for anything else."""
    seconds = parse_delay(value)
    if seconds == 0:
        raise DefinitionError(f"{value!r:.80} is no time: it must be more than 0; {_DURATIONS}")
    return seconds


def parse_delay(value: object) -> float:
    """Seconds, 0 or more. Raises DefinitionError for anything else."""
    try:
        seconds = _seconds(value)
    except OverflowError:  # a whole number of more digits than a float, or repr(), takes
        raise DefinitionError("a number of seconds with hundreds of digits is no time") from None
    if seconds is None or not math.isfinite(seconds):
        raise DefinitionError(f"{value!r:.80} is not a duration: {_DURATIONS}")
    if seconds < 0:
        raise DefinitionError(f"{value!r:.80} is negative, which no time may be: {_DURATIONS}")
    return seconds


def parse_limit(value: object) -> float:
    """Seconds after which something is stopped, at most `LONGEST_S`. Raises DefinitionError."""
    seconds = parse_duration(value)
    if seconds > LONGEST_S:
        raise DefinitionError(
            f"{value!r:.80} is longer than {LONGEST_S:g} seconds, which is the most there is",
            hint="leave it out where there is no limit",
        )
    return seconds


def _seconds(value: object) -> float | None:
    match value:
        case bool():
            return None
        case int() | float():
            return float(value)
        case timedelta():
            return value.total_seconds()
        case str():
            text = value.strip().lower().replace(" ", "")
            if text.startswith("-"):
                seconds = _seconds(text[1:]) if text[1:2].isdecimal() else None
                return None if seconds is None else -seconds
            if re.fullmatch(r"\d+(\.\d+)?", text):
                return float(text)
            if _DURATION.fullmatch(text):
                parts = _DURATION_PART.findall(text)
                return math.fsum(float(number) * _SECONDS[unit] for number, unit in parts)
    return None


def parse_size(value: object) -> int:
    """Bytes, more than 0. Raises DefinitionError for anything else."""
    size = _bytes(value)
    if size is None or size <= 0:
        raise DefinitionError(
            f"{value!r:.80} is not a size: give bytes, or text such as '512MB' or '4GiB'"
        )
    return size


def _bytes(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        number, unit = found.groups()
        return round(float(number) * _BYTES[(unit or "").upper()])
    return None
