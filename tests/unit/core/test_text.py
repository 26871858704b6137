"""text: what UTF-8 has bytes for is left as it is, and the rest is told by escapes."""

from __future__ import annotations

import pytest

from durable_wf.core.text import escaped, is_text


@pytest.mark.parametrize("text", ["", "plain", "\u00e9t\u00e9", "\U0001f600"])
def test_what_can_be_written_stays_as_it_is(text):
    assert is_text(text)
    assert escaped(text) == text


def test_what_cannot_is_told_by_escapes():
    """As in names of files that are no UTF-8."""
    assert not is_text("gone: \udcff\u00e9")
    assert escaped("gone: \udcff\u00e9") == "gone: \\udcff\u00e9"


def test_a_text_of_another_class_becomes_a_plain_one_and_is_asked_nothing():
    """An exception may have such a message."""

    class Loud(str):
        __slots__ = ()

        def isascii(self):
            raise AssertionError

        def encode(self, *given):
            raise AssertionError

    made = escaped(Loud("loud"))
    assert made == "loud"
    assert type(made) is str
