"""What a workflow or task may be called."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.names import composed_form, is_name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "_",
        "7",
        "a.b-c~[1]/d e",
        "données",
        "数据",
        "имя",
        "שם",
        "हिन्दी",
        "Ünïcode ٣",
        "é" * 200,
    ],
)
def test_letters_of_any_language_make_names(name):
    assert is_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "", " a", "-a", ".a", "/a", "é" * 201, "a" * 201, "a\n", "é\n", "é\0", "a\u202eb",
        "é\u200fb", "\u2066é", "é\u200b", "é\u00ad", "é\ufeff", "é\ufe0f", "\u3164é", "\U0001f600",
        "é\U000e0020", "é\u2028", "é\u00a0b", "é\udcff", "e\u0301", "\u0301e",
        "é$", "é\\b", "é:b", "é\x1b[2J",
    ],
)  # fmt: skip
def test_what_cannot_be_seen_steers_or_has_two_forms_does_not(name):
    assert not is_name(name)


@given(st.text())
def test_a_name_is_composed_visible_and_equal_only_to_itself(name):
    if not is_name(name):
        return
    assert composed_form(name) == name
    assert name.strip() or name[0] == "_"
    categories = {unicodedata.category(char) for char in name.replace(" ", "")}
    assert not {c for c in categories if c[0] == "C"}
