"""Times and durations, as people and programs read them.

Owns: ISO-8601 in UTC with microseconds and `Z` (all JSON), local and relative times for people,
and the reading of `--since`.
Must never: read a clock; what is "now" is an argument.
Read next: `documents.py`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS_S = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([wdhms])")


LAST_US = 250_000_000_000_000_000
"""In the year 9892: what a forged log names beyond, or before 1970, is shown as the limit."""


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(microseconds=max(0, min(at, LAST_US)))


def iso(at: int | None) -> str | None:
    """UTC microseconds as `2026-11-23T14:50:00.123456Z`."""
    if at is None:
        return None
    return _moment(at).strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def clock(at: int) -> str:
    """UTC microseconds as `14:50:00.123`, for lines that follow each other."""
    return _moment(at).strftime("%H:%M:%S.%f")[:-3]


def local(at: int) -> str:
    """UTC microseconds as local date and time, with the zone."""
    return _moment(at).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def span(us: float) -> str:
    """A duration in microseconds, in at most two units: `820 ms`, `12.3 s`, `4m05s`, `2d 03h`."""
    seconds = us / 1_000_000
    if seconds < 0:
        return "-" + span(-us)
    if seconds < 0.9995:
        return f"{us / 1000:.0f} ms" if us >= 1000 else f"{us / 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d {whole % 86_400 // 3600:02d}h"


def ago(at: int, now: int) -> str:
    """How long ago, coarsely: `just now`, `3m ago`."""
    seconds = (now - at) // 1_000_000
    if seconds < 5:
        return "just now"
    for unit in ("d", "h", "m", "s"):
        if seconds >= _UNITS_S[unit]:
            return f"{seconds // _UNITS_S[unit]}{unit} ago"
    return "just now"


def parse_since(text: str, now: int) -> int:
    """`2d`, `1h30m` (before now), or an ISO-8601 date or time; returns UTC microseconds.

    A time without a zone is local. Raises ValueError with what is accepted.
    """
    text = text.strip()
    if _DURATION.fullmatch(text):
        seconds = sum(float(n) * _UNITS_S[unit] for n, unit in _PART.findall(text))
        return now - round(min(seconds * 1_000_000, now))
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        negative = text.startswith("-") and _DURATION.fullmatch(text[1:])
        what = "is negative, which no time may be" if negative else "is no time"
        raise ValueError(
            f"{text!r} {what}; say how long ago (30m, 2d, 1h30m) or when "
            "(2026-11-23, 2026-11-23T14:50)"
        ) from None
    return round((moment - _EPOCH) / timedelta(microseconds=1))
