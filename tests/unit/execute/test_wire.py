"""What travels between engine and workers: it comes back equal, and junk is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable_wf.core.definition import PayloadRef
from durable_wf.core.events import Fault, OutputRef
from durable_wf.core.inputs import Failed, Returned, Succeeded
from durable_wf.core.status import FaultKind
from durable_wf.execute import wire
from durable_wf.execute.port import Absent, Assignment, Given, Limits

A = Assignment(7, "w-1-1", 3, 5, 2, "task", 0)
numbers = st.integers(0, 1 << 53)
words = st.text(st.characters(codec="utf-8"))
spent = st.tuples(numbers, numbers, numbers, numbers)
outputs = st.none() | st.tuples(words, numbers, numbers)
refs = st.builds(PayloadRef, words, numbers, words, st.booleans())
values = words | refs


def read(line):
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return wire.report(wire.read_lines(line[:-1])[0], A)


@given(values, st.none() | st.binary(), spent, outputs)
def test_a_success_comes_back_as_it_was(value, payload, spent, output):
    report = read(wire.done_line(7, value, payload, spent, output))
    ref = OutputRef(*output) if output else None
    assert report == Succeeded(3, 5, 2, value, *spent, ref, payload)


@given(
    st.sampled_from(FaultKind), words, words, st.tuples(words, words), words,
    st.none() | st.integers(-64, 255), words, spent, outputs,
)  # fmt: skip
def test_a_failure_comes_back_as_it_was(kind, text, name, bases, trace, code, kept, spent, output):
    fault = Fault(kind, text, name, bases, trace, code)
    report = read(wire.broken_line(7, fault, kept, spent, output))
    ref = OutputRef(*output) if output else None
    assert report == Failed(3, 5, 2, fault, *spent, ref, kept)


@given(st.none() | st.tuples(numbers, words))
def test_the_last_heartbeat_of_a_failure_comes_back(beat):
    line = wire.broken_line(7, Fault(FaultKind.ERROR), "", (1, 2, 3, 4), None, beat)
    (row,) = wire.read_lines(line[:-1])
    assert wire.last_beat(row) == beat
    assert isinstance(wire.report(row, A), Failed)


def test_only_failures_bring_heartbeats():
    for line in (wire.done_line(7, "1", None, (1, 2, 3, 4), None), wire.returned_line(7)):
        (row,) = wire.read_lines(line[:-1])
        assert wire.last_beat(row) is None


@pytest.mark.parametrize("beat", [5, [], [1], ["1", "x"], [1, 2], [1, "x" * 9000]])
def test_a_heartbeat_that_is_none_is_a_breach(beat):
    row = [7, 1, ["error", "m", "e", [], "t", None, None], 1, 1, 1, 1, None, "", beat]
    with pytest.raises(wire.Breach, match="heartbeat"):
        wire.last_beat(row)


def test_a_return_comes_back():
    assert read(wire.returned_line(7)) == Returned(3, 5, 2)


arguments = st.builds(
    Given, values, st.tuples(words | numbers), st.integers(-1, 9), st.none() | st.binary(), words
) | st.builds(Absent, words, words, words)


@given(st.lists(arguments), st.lists(st.tuples(words, arguments)))
def test_an_assignment_comes_back_as_it_was(args, kwargs):
    a = Assignment(
        7, "w", 3, 5, 2, "t", 4, tuple(args), tuple(kwargs), Limits(2.0), "c", 9, detail="41"
    )  # fmt: skip
    buffer = bytearray(wire.frame(wire.Order.WORK, [wire.pack_work(a)]))
    [(order, [work])] = wire.frames(buffer)
    assert (order, buffer) == (wire.Order.WORK, bytearray())
    seq, run, attempt, task, function, packed, named, codec, estimate, limits = work
    assert (seq, run, attempt, task, function, codec, estimate) == (7, 3, 2, "t", 4, "c", 9)
    assert limits == (2.0, 0, 1.0, (), "41")
    assert [wire.unpack_argument(p) for p in packed] == args
    assert [(name, wire.unpack_argument(p)) for name, p in named] == kwargs


@given(st.lists(st.binary(max_size=50), max_size=5), st.integers(1, 20))
def test_frames_are_found_however_the_pipe_cuts_them(datas, step):
    stream = b"".join(wire.frame(wire.Order.CODE, data) for data in datas)
    buffer, found = bytearray(), []
    for at in range(0, len(stream), step):
        buffer += stream[at : at + step]
        found += [message[1] for message in wire.frames(buffer)]
    assert (found, buffer) == (datas, bytearray())


def test_the_hard_limit_travels_only_when_it_is_asked_for():
    def limits(**more):
        return wire.pack_work(Assignment(1, "w", 1, 1, 1, "t", 0, limits=Limits(**more)))[-1]

    assert limits(memory=5) == (None, 0, 1.0, (), "")
    assert limits(memory=5, memory_hard=True) == (None, 5, 1.0, (), "")
    assert wire.pack_work(A)[-1] is None


def test_a_detail_travels_without_limits_too():
    work = wire.pack_work(Assignment(1, "w", 1, 1, 1, "t", 0, detail="[1]"))
    assert work[-1] == (None, 0, 1.0, (), "[1]")


JUNK = [
    b"", b"{}", b"[]", b"nonsense", b"[1,2", b"\xff\xfe", b'["7",2]', b"[7]", b"[7,9]", b"[7,0]",
    b"[7,0,5,1,1,1,1]", b'[7,0,"v","x",1,1,1]', b'[7,0,["d",1,"c"],1,1,1,1,null,null]',
    b'[7,0,"v",1,1,1,1,["f",1],null]', b'[7,0,"v",1,1,1,1,null,"not base64"]', b'[7,1,"f"]',
    b'[7,1,["no kind","m","e",[],"t",null],1,1,1,1,null,""]',
    b'[7,1,["error",5,"e",[],"t",null],1,1,1,1,null,""]', b"[" * 20_000, b"[7,0,NaN,1,1,1,1]",
]  # fmt: skip


@pytest.mark.parametrize("junk", JUNK, ids=lambda junk: junk[:40].decode("ascii", "replace"))
def test_junk_from_a_worker_is_a_breach_and_nothing_else(junk):
    def take():
        rows = wire.read_lines(junk)
        return [wire.report(row, A) for row in rows if not wire.is_ready(row)] or None

    if junk == b"":
        assert take() is None
        return
    with pytest.raises(wire.Breach):
        take()


@given(st.recursive(st.none() | st.booleans() | st.floats() | numbers | words, st.lists))
def test_no_json_value_from_a_worker_raises_anything_but_a_breach(value):
    try:
        for row in wire.read_lines(json.dumps(value).encode()):
            assert isinstance(wire.report(row, A), Succeeded | Failed | Returned)
    except wire.Breach:
        assert True


def test_a_huge_message_is_cut_in_the_middle():
    text = wire.cut("a" * wire.MAX_TEXT + "b" * wire.MAX_TEXT)
    assert len(text) < wire.MAX_TEXT + 100
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert wire.cut("short") == "short"
