"""Durations and sizes as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from durable_wf.core.units import parse_delay, parse_duration, parse_size
from durable_wf.errors import DefinitionError


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0), (0.5, 0.5), ("90", 90.0), ("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0),
        ("1h 30m", 5400.0), ("2d", 172800.0), ("1w", 604800.0), ("250ms", 0.25), ("1.5H", 5400.0),
        (timedelta(minutes=2), 120.0),
    ],
)  # fmt: skip
def test_a_duration_is_read(written, seconds):
    assert parse_duration(written) == pytest.approx(seconds)
    assert type(parse_duration(written)) is float


@pytest.mark.parametrize(
    "written",
    ["", "soon", "10 minutes", "m", "1h30", True, None, float("nan"), float("inf"), [1],
     "-", "--5", "-soon"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(written):
    with pytest.raises(DefinitionError, match="is not a duration: give seconds.*'90s' or '1h30m'"):
        parse_duration(written)


@pytest.mark.parametrize("written", ["-5s", "-1h30m", "- 5", -5, -0.5, timedelta(seconds=-1)])
def test_that_a_time_is_negative_is_said_with_an_example_of_a_good_one(written):
    with pytest.raises(DefinitionError, match="is negative, which no time may be: .*'1h30m'"):
        parse_duration(written)
    with pytest.raises(DefinitionError, match="is negative, which no time may be: .*'1h30m'"):
        parse_delay(written)


@pytest.mark.parametrize("written", [0, "0", "0s", "0h0m", timedelta(0)])
def test_no_time_at_all_is_a_delay_but_no_duration(written):
    with pytest.raises(DefinitionError, match="it must be more than 0; give seconds.*'1h30m'"):
        parse_duration(written)
    assert parse_delay(written) == 0.0


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_number_that_no_float_takes_is_no_duration(digits):
    for written in (10**digits, -(10**digits)):
        with pytest.raises(DefinitionError, match="is no time"):
            parse_duration(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1024, 1024), ("1024", 1024), ("512MB", 512 * 10**6), ("4GiB", 4 * 2**30),
        ("4 gb", 4 * 10**9), ("1.5K", 1500), ("2Ti", 2 * 2**40), ("10B", 10),
    ],
)  # fmt: skip
def test_a_size_is_read(written, size):
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "big", "4XB", "-1", -1, 0, True, None, 1.5, "1h"])
def test_what_is_no_size_is_refused(written):
    with pytest.raises(DefinitionError, match="is not a size"):
        parse_size(written)
