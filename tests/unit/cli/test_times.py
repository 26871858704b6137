"""Times: JSON is exact UTC, people get what they can read, `--since` says what it accepts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.cli.times import ago, clock, iso, parse_since, span

NOON = 1_795_435_200_000_000  # 2026-11-23T12:00:00Z
SECOND = 1_000_000


def test_iso_is_utc_with_microseconds_and_z():
    assert iso(NOON + 123_456) == "2026-11-23T12:00:00.123456Z"
    assert iso(None) is None
    assert clock(NOON + 123_456) == "12:00:00.123"


@given(st.integers(0, 4_000_000_000_000_000))
def test_iso_loses_nothing(at):
    read = datetime.fromisoformat(iso(at))
    assert (read - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == at


SPANS = [
    (500, "0.5 ms"),
    (820_000, "820 ms"),
    (1 * SECOND, "1.0 s"),
    (59.94 * SECOND, "59.9 s"),
    (60 * SECOND, "1m00s"),
    (245 * SECOND, "4m05s"),
    (3_720 * SECOND, "1h02m"),
    (183_600 * SECOND, "2d 03h"),
    (-2 * SECOND, "-2.0 s"),
]


@pytest.mark.parametrize(("us", "text"), SPANS)
def test_spans_have_at_most_two_units(us, text):
    assert span(us) == text


def test_ago_is_coarse():
    assert ago(NOON, NOON + SECOND) == "just now"
    assert ago(NOON, NOON + 42 * SECOND) == "42s ago"
    assert ago(NOON, NOON + 3_700 * SECOND) == "1h ago"
    assert ago(NOON, NOON - 99 * SECOND) == "just now"  # a clock that was set back


def test_since_takes_durations_and_times():
    assert parse_since("30m", NOON) == NOON - 1_800 * SECOND
    assert parse_since("1h30m", NOON) == NOON - 5_400 * SECOND
    assert parse_since("1.5d", NOON) == NOON - 129_600 * SECOND
    assert parse_since("2026-11-23T11:00:00Z", NOON) == NOON - 3_600 * SECOND
    assert parse_since("2026-11-23T13:00:00+01:00", NOON) == NOON


@pytest.mark.parametrize("text", ["", "soon", "5", "m", "-3d", "2026-13-01"])
def test_since_says_what_it_accepts(text):
    with pytest.raises(ValueError, match="30m, 2d"):
        parse_since(text, NOON)


def test_a_time_ago_is_not_negative():
    with pytest.raises(ValueError, match="'-3d' is negative, which no time may be; say how long"):
        parse_since("-3d", NOON)
