"""The codec: what stands in the log, and what is refused when it is read back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from durable_wf.core import codec
from durable_wf.core import events as e
from durable_wf.core.codec_general import GENERAL, GeneralCodec
from durable_wf.core.definition import PayloadRef
from durable_wf.core.status import FaultKind, RunStatus, TaskStatus
from durable_wf.errors import HistoryError

OUTPUT = e.OutputRef("f", 10, 20)
OUTPUT_TEXT = '"output":{"file":"f","offset":10,"length":20}'
BEGAN = '"began_at":5,"wall_us":6,"cpu_us":7'

EXAMPLES = [
    (
        e.RunCreated("w", "d", 3, tags=("a",)),
        '{"workflow":"w","definition":"d","total":3,"tags":["a"]}',
    ),
    (e.RunStarted(), "{}"),
    (e.RunClaimed("e-1", "create"), '{"engine":"e-1","why":"create"}'),
    (e.RunDraining(RunStatus.FAILED, "x"), '{"verdict":"failed","cause":"x"}'),
    (e.TasksClosed(TaskStatus.SKIPPED, 2, "x"), '{"status":"skipped","count":2,"reason":"x"}'),
    (e.AttemptStarted("t", 1, "w-1", 12, 34), '{"worker":"w-1","pid":12,"born":34}'),
    (e.AttemptReturned("t", 1), "{}"),
    (e.AttemptSucceeded("t", 2, "[1, 2]", 5, 6), '{"began_at":5,"wall_us":6,"value":[1, 2]}'),
    (
        e.AttemptSucceeded("t", 2, PayloadRef("ab", 9), 5, 6, 7, 8, OUTPUT),
        f'{{{BEGAN},"rss_kib":8,{OUTPUT_TEXT},"ref":{{"digest":"ab","size":9}}}}',
    ),
    (
        e.AttemptFailed("t", 1, e.Fault(FaultKind.ERROR, "é", exception="E", bases=("B",))),
        '{"fault":{"kind":"error","message":"é","exception":"E","bases":["B"]}}',
    ),
    (e.EngineStopped("e-1"), '{"engine":"e-1"}'),
]


@pytest.mark.parametrize(("event", "body"), EXAMPLES, ids=lambda one: type(one).__name__)
def test_bodies_are_compact_readable_and_come_back_equal(event, body):
    kind, task, attempt, written = codec.encode(event)
    assert (kind, written) == (type(event).__name__, body)
    assert (task, attempt) == (getattr(event, "task", ""), getattr(event, "attempt", 0))
    assert codec.decode(kind, task, attempt, written) == event
    json.loads(written)


@pytest.mark.parametrize(
    "value",
    ["null", '"}"', '{"value":1,"ref":{}}', '",\\"value\\":"', "[1 ,\t2]", '"\u2028\x7f"', "1e400"],
)
@pytest.mark.parametrize("output", [None, OUTPUT, e.OutputRef('a,"value":1}', 1, 2)])
def test_the_text_of_a_value_comes_back_letter_for_letter(value, output):
    event = e.AttemptSucceeded("t", 1, value, 1, 2, output=output)
    assert codec.decode(*codec.encode(event)).value == value
    assert GENERAL.decode(*codec.encode(event)) == event


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("Nonsense", "{}"),
        ("RunStarted/2", "{}"),
        ("RunStarted/1", "{}"),
        ("RunStarted/", "{}"),
        ("RunStarted/x", "{}"),
        ("RunStarted", '{"more":1}'),
        ("RunStarted", "[]"),
        ("RunStarted", "{"),
        ("RunStarted", '{"task":"t"}'),
        ("RunClaimed", '{"engine":"e-1"}'),
        ("RunClaimed", '{"engine":1,"why":"x"}'),
        ("RunDraining", '{"verdict":"sleepy","cause":""}'),
        ("AttemptStarted", '{"worker":"w","pid":"1","born":2}'),
        ("AttemptStarted", '{"worker":"w","pid":1}'),
        ("AttemptStarted", '{"worker":"w","pid":1,"born":2,"more":3}'),
        ("AttemptSucceeded", '{"began_at":1,"wall_us":2}'),
        ("AttemptSucceeded", '{"began_at":1,"wall_us":2,"value":'),
        ("AttemptSucceeded", '{"began_at":1,"wall_us":2,"value":}'),
        ("AttemptSucceeded", '{"began_at":1,"wall_us":2,"ref":{"digest":"a"}}'),
        ("AttemptSucceeded", '{"began_at":1,"wall_us":2,"ref":{"digest":"a","size":1},"value":1}'),
        ("AttemptSucceeded", '{"began_at":1.5,"wall_us":2,"value":1}'),
    ],
)
def test_what_is_unknown_or_damaged_is_a_history_error(kind, body):
    with pytest.raises(HistoryError, match=kind):
        codec.decode(kind, "t" if kind.startswith("Attempt") else "", 1, body)


def test_text_that_utf8_cannot_hold_is_escaped_and_comes_back():
    event = e.RunFailed("file \udcff is é")
    *_, body = codec.encode(event)
    assert body.encode() == '{"cause":"file \\udcff is é"}'.encode()
    assert codec.decode("RunFailed", "", 0, body) == event


BOTH = pytest.mark.parametrize("cls", [codec.Codec, GeneralCodec])


@BOTH
def test_an_old_version_is_lifted_step_by_step_and_new_ones_carry_their_version(cls):
    lifts = (
        lambda fields: {"text": fields["old_name"]},
        lambda fields: {"cause": fields["text"].upper()},
    )
    newer = cls({"RunFailed": e.RunFailed, "RunStarted": e.RunStarted}, {"RunFailed": lifts})
    assert newer.encode(e.RunFailed("x")) == ("RunFailed/3", "", 0, '{"cause":"x"}')
    assert newer.encode(e.RunStarted()) == ("RunStarted", "", 0, "{}")
    assert newer.decode("RunFailed", "", 0, '{"old_name":"a"}') == e.RunFailed("A")
    assert newer.decode("RunFailed/2", "", 0, '{"text":"a"}') == e.RunFailed("A")
    assert newer.decode("RunFailed/3", "", 0, '{"cause":"a"}') == e.RunFailed("a")
    for wrong in ("RunFailed/1", "RunFailed/4"):
        with pytest.raises(HistoryError, match="not known"):
            newer.decode(wrong, "", 0, '{"cause":"a"}')


@BOTH
def test_an_upcast_of_a_result_never_touches_its_value(cls):
    def lift(fields):
        return fields | {"wall_us": fields["wall_us"] * 1000}

    newer = cls({"AttemptSucceeded": e.AttemptSucceeded}, {"AttemptSucceeded": (lift,)})
    lifted = newer.decode("AttemptSucceeded", "t", 1, '{"began_at":1,"wall_us":2,"value":[1 , 2]}')
    assert lifted == e.AttemptSucceeded("t", 1, "[1 , 2]", 1, 2000)


def test_a_sound_log_is_read_without_cattrs():
    """It takes longer to import than a small run takes."""
    written = [codec.encode(event) for event, _ in EXAMPLES]
    code = (
        "import json, sys\n"
        "from durable_wf.core.codec import decode, encode\n"
        "again = [encode(decode(*one)) for one in json.load(sys.stdin)]\n"
        "print(json.dumps([again, 'cattrs' in sys.modules]))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, input=json.dumps(written), capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == [[list(one) for one in written], False]
