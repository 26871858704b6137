"""For any event: the hand-made codec says what the general one says, and both give it back."""

from __future__ import annotations

import json

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from durable_wf.core import codec
from durable_wf.core import events as e
from durable_wf.core.codec_general import GENERAL
from durable_wf.core.definition import PayloadRef
from durable_wf.core.status import (
    FaultKind,
    Otherwise,
    RunStatus,
    TaskStatus,
    Verdict,
    WaitKind,
)

any_text = st.text(st.characters(), max_size=20)  # lone surrogates too
names = st.text("abc-/[]~é", min_size=1, max_size=10)
numbers = st.integers(0, 2**63 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=8,
)
value_texts = st.one_of(
    json_values.map(json.dumps),
    json_values.map(lambda value: json.dumps(value, indent=1)),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
)
refs = st.builds(PayloadRef, any_text, numbers, names, st.booleans())
outputs = st.builds(e.OutputRef, any_text, numbers, numbers)
faults = st.builds(
    e.Fault,
    st.sampled_from(FaultKind),
    any_text,
    any_text,
    st.lists(any_text, max_size=3).map(tuple),
    any_text,
    st.none() | st.integers(-64, 255),
    st.none() | numbers,
)
FIELDS = {
    "task": names,
    "attempt": st.integers(1, 99),
    "value": value_texts | refs,
    "output": st.none() | outputs,
    "fault": faults,
    "status": st.sampled_from(TaskStatus),
    "tags": st.lists(any_text, max_size=3).map(tuple),
    "argv": st.lists(any_text, max_size=3).map(tuple),
    "facts": st.lists(st.tuples(any_text, st.integers(-9, 2**60)), max_size=3).map(tuple),
    "metadata": st.lists(st.tuples(any_text, any_text), max_size=3).map(tuple),
    "limits": st.lists(st.tuples(any_text, any_text), max_size=3).map(tuple),
}
TYPES = {
    str: any_text,
    int: numbers,
    bool: st.booleans(),
    int | None: st.none() | numbers,
    PayloadRef | None: st.none() | refs,
    RunStatus: st.sampled_from(RunStatus),
    FaultKind: st.sampled_from(FaultKind),
    Otherwise: st.sampled_from(Otherwise),
    Verdict: st.sampled_from(Verdict),
    WaitKind: st.sampled_from(WaitKind),
    tuple[str, ...]: st.lists(any_text, max_size=3).map(tuple),
    tuple[tuple[str, str], ...]: st.lists(st.tuples(any_text, any_text), max_size=3).map(tuple),
}


def events_of(kind):
    fields = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        named = field.name in FIELDS and (field.name != "value" or kind is e.AttemptSucceeded)
        fields[field.name] = FIELDS[field.name] if named else TYPES[field.type]
    return st.builds(kind, **fields)


hot = st.one_of(events_of(e.AttemptStarted), events_of(e.AttemptSucceeded))


@given(hot)
@example(e.AttemptSucceeded("t", 1, "1", 0, 0, output=e.OutputRef(',"value":', 1, 2)))
@example(e.AttemptSucceeded("t", 1, PayloadRef(',"value":', 1), 0, 0))
def test_fast_and_general_codec_agree(event):
    encoded = codec.encode(event)
    assert encoded == GENERAL.encode(event) == codec.OWN.encode(event)
    assert codec.decode(*encoded) == GENERAL.decode(*encoded) == codec.OWN.decode(*encoded) == event


@pytest.mark.parametrize("kind", e.KINDS.values(), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_event_comes_back_equal_and_its_body_is_storable_text(kind, data):
    event = data.draw(events_of(kind))
    encoded = codec.encode(event)
    encoded[3].encode()
    assert encoded == GENERAL.encode(event) == codec.OWN.encode(event)
    assert codec.decode(*encoded) == GENERAL.decode(*encoded) == codec.OWN.decode(*encoded) == event


DAMAGE = st.sampled_from(["", "x", '"', "{", "0", "\\", "null", "[]", '"a"', "1.5", "true"])


@given(st.one_of(hot, *map(events_of, e.KINDS.values())), st.integers(0, 500), DAMAGE)
def test_a_damaged_body_is_refused_or_read_the_same_by_both(event, place, put):
    kind, task, attempt, body = codec.encode(event)
    place %= len(body)
    damaged = body[:place] + put + body[place + 1 :]

    def outcome(decode):
        try:
            return decode(kind, task, attempt, damaged)
        except codec.HistoryError:
            return "refused"

    assert outcome(codec.decode) == outcome(GENERAL.decode)
    assert outcome(codec.OWN.decode) in ("refused", outcome(GENERAL.decode))
