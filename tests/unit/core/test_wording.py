"""Numbers of things read as people say them."""

from __future__ import annotations

from durable_wf.core.judge import in_a_row
from durable_wf.core.wording import are, count_of, has, stands


def test_one_is_one_and_all_other_numbers_are_many():
    assert [count_of(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    assert count_of(12_000, "file") == "12,000 files"
    assert [has(n) for n in (0, 1, 2)] == ["have", "has", "have"]
    assert [are(n) for n in (0, 1, 2)] == ["are", "is", "are"]


def test_a_state_has_the_verb_that_goes_with_it():
    assert [stands(word) for word in ("running", "waiting", "succeeded", "skipped")] == [
        "is running", "is waiting", "has succeeded", "was skipped",
    ]  # fmt: skip


def test_one_engine_does_not_die_in_a_row():
    assert in_a_row(1) == "1 engine has died while it ran"
    assert in_a_row(3) == "3 engines in a row have died while it ran"
