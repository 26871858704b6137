"""A call decodes its arguments, calls, stores the result, and makes data of what went wrong."""

from __future__ import annotations

import asyncio
import sys
import threading

import attrs
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from durable_wf.core.definition import PayloadRef
from durable_wf.core.status import FaultKind
from durable_wf.core.values import INLINE_MAX, TABLE_MAX, Missing, classes_of, decode, encode
from durable_wf.errors import Cancelled, DiskFull, NotReadable, PayloadMissing
from durable_wf.execute import calls
from durable_wf.execute.calls import Broken, Call, Done, Functions, perform, read_value
from durable_wf.execute.port import Absent, Given
from durable_wf.store.payload_files import digest_of, read_file, write_file


@attrs.frozen
class Point:
    x: int


@pytest.fixture
def call(tmp_path):
    for name in ("payloads", "output"):
        (tmp_path / name).mkdir()

    def make(*functions, args=(), function=0, **options):
        kwargs = options.pop("kwargs", ())
        task, folders = options.pop("task", "job"), (tmp_path / "payloads", tmp_path / "output")
        return Call(
            task, Functions(functions), function, *folders,
            args, kwargs, **options,
        )  # fmt: skip

    make.folder = tmp_path
    return make


def returned(call):
    outcome = perform(call)
    assert isinstance(outcome, Done), outcome
    return outcome


def fault(call):
    outcome = perform(call)
    assert isinstance(outcome, Broken), outcome
    return outcome.fault


# --- arguments ------------------------------------------------------------------------------------


def test_arguments_are_decoded_by_position_and_by_name(call):
    def join(a, b):
        return [a, b]

    done = returned(call(join, args=[Given("1")], kwargs=[("b", Given(encode((2,))))]))
    assert decode(done.value) == [1, (2,)]


def test_a_table_payload_comes_with_the_call_and_a_file_is_read(call):
    text = encode("x" * 2000).encode()
    table = PayloadRef(digest_of(text), len(text))
    file = write_file(call.folder / "payloads", text, "json")
    for given in (Given(table, payload=text), Given(file)):
        assert decode(returned(call(len, args=[given])).value) == 2000


def test_a_payload_file_that_is_gone_fails_the_attempt_and_is_named(call):
    given = Given(PayloadRef("ab" * 16, 5, "json", True))
    found = fault(call(len, args=[given]))
    assert (found.kind, found.exception) == (FaultKind.ERROR, "durable_wf.errors.PayloadMissing")
    assert "ab" * 16 in found.message


def test_a_path_leads_into_a_result(call):
    cfg = encode({"servers": [{"name": "a"}, {"name": "b"}]})
    given = Given(cfg, path=("servers", 1, "name"), task="cfg")
    assert returned(call(str, args=[given])).value == '"b"'


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            ("kee",),
            """argument 1: ref('cfg')["kee"] was not found: ref('cfg') has the keys 'key'""",
        ),
        (("key", 7), """ref('cfg')["key"][7] was not found: ref('cfg')["key"] is a list of 2"""),
        (("key", 0, "x"), """ref('cfg')["key"][0] is of type int"""),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_what_is_there(call, path, words):
    given = Given(encode({"key": [1, 2]}), path=path, task="cfg")
    found = fault(call(str, args=[given]))
    assert found.kind is FaultKind.ERROR
    assert words in found.message
    assert "task 'job'" in found.message


def test_the_argument_of_a_failed_optional_task_is_missing(call):
    seen = []
    returned(call(seen.append, args=[Absent("load", "error", "no disk")]))
    assert seen == [Missing("load", "error", "no disk")]


def test_classes_in_an_argument_are_those_of_the_task_that_made_it(call):
    def make() -> Point: ...

    def take(point):
        return point.x

    def literal(point: Point):
        return point.x

    text = encode(Point(3), classes_of(make))
    assert returned(call(take, make, args=[Given(text, producer=1)])).value == "3"
    assert returned(call(literal, args=[Given(text)])).value == "3"
    assert "not named by the annotations" in fault(call(take, args=[Given(text)])).message


def test_a_damaged_argument_fails_the_attempt(call):
    assert fault(call(len, args=[Given("[")])).exception == "durable_wf.errors.NotReadable"


# --- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_size_decides_where_a_value_is_kept(call, extra):
    inline = returned(call(lambda: "x" * (INLINE_MAX - 2 + extra)))
    assert isinstance(inline.value, str) == (extra <= 0)
    table = returned(call(lambda: "x" * (TABLE_MAX - 2 + extra)))
    assert table.value.file == (extra > 0)
    assert (table.payload is None) == table.value.file


def test_size_is_counted_in_bytes_not_characters(call):
    done = returned(call(lambda: "€" * (INLINE_MAX // 2)))
    assert done.value == PayloadRef(digest_of(done.payload), len(done.payload))
    assert decode(done.payload.decode()) == "€" * (INLINE_MAX // 2)


def test_a_large_result_is_a_file_before_it_is_reported(call):
    done = returned(call(lambda: list(range(50_000))))
    data = read_file(call.folder / "payloads", done.value.digest)
    assert read_value(done.value, data=data) == list(range(50_000))
    assert done.value.size == len(data)


def test_arrays_are_payloads_of_their_own_codec(call):
    done = returned(call(lambda: np.arange(5)))
    assert done.value.codec == "npy"
    assert read_value(done.value, data=done.payload).tolist() == [0, 1, 2, 3, 4]


def test_a_reference_needs_its_bytes():
    with pytest.raises(PayloadMissing, match="was not given"):
        read_value(PayloadRef("00", 1))


def test_a_result_over_the_size_limit_is_not_stored(call):
    found = fault(call(lambda: "x" * 5000, size_limit=4000))
    assert found.kind is FaultKind.NOT_STORABLE
    assert "5,002 bytes, and the limit is 4,000" in found.message
    assert "return its path" in found.message


@pytest.fixture
def full_for_two_looks(monkeypatch):
    """A disk that has room for a file at the third attempt."""
    left = [DiskFull("no space is left"), DiskFull("no space is left")]

    def write(*given):
        if left:
            raise left.pop()
        return write_file(*given)

    monkeypatch.setattr(calls, "write_file", write)
    monkeypatch.setattr(calls, "ROOM_PERIOD_S", 0.0)


def test_a_result_waits_for_room_on_a_full_disk_and_says_so_once(call, full_for_two_looks):
    told = []
    done = returned(call(lambda: "x" * 200_000, on_full=told.append))
    assert done.value.size > 200_000
    assert told == [True, False]


def test_that_nobody_is_told_of_a_full_disk_does_not_matter(call, full_for_two_looks):
    assert returned(call(lambda: "x" * 200_000)).value.file


def test_what_cannot_be_stored_is_kept_aside(call):
    outcome = perform(call(lambda: {1: [object]}))
    assert outcome.fault.kind is FaultKind.NOT_STORABLE
    assert outcome.fault.message.startswith("result[1][0]: ")
    assert outcome.fault.traceback == ""
    kept = call.folder / "output" / outcome.kept
    assert kept.read_bytes().startswith(b"\x80")


def test_the_fault_names_the_file_that_was_kept_and_how_to_learn_to_read_it(call):
    outcome = perform(call(lambda: Point(1)))
    what, hint = outcome.fault.message.split("\n  hint: ")
    assert what.endswith(f"; what the task returned is kept in output/{outcome.kept} of the store")
    assert hint.startswith("a lambda cannot be annotated")
    assert hint.endswith("; dwf show RUN --task job   says how to read what was kept")
    spoken = perform(call(lambda: Point(1), task="two words; rm")).fault.message
    assert "--task 'two words; rm'   says" in spoken


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"a": [2**70]}),
        pa.table({"a": pa.chunked_array([pa.array([c]).dictionary_encode() for c in "ab"])}),
        pd.DataFrame({"a": [{"id": 1}, {"id": 2.5}]}),
    ],
    ids=["OverflowError", "ArrowInvalid", "would change"],
)
def test_a_table_that_a_library_cannot_write_is_not_storable_and_kept_aside(call, table):
    outcome = perform(call(lambda: table))
    assert outcome.fault.kind is FaultKind.NOT_STORABLE
    assert outcome.fault.traceback == ""
    assert outcome.kept in outcome.fault.message


def test_a_generator_is_refused_with_what_to_do_and_leaves_nothing(call):
    def rows():
        yield 1

    outcome = perform(call(rows))
    assert outcome.fault.kind is FaultKind.NOT_STORABLE
    assert outcome.fault.message.endswith("return list(...) of it")
    assert outcome.kept == ""


def test_a_deep_list_costs_the_attempt_only(call):
    def deep():
        value = []
        for _ in range(20_000):
            value = [value]
        return value

    assert fault(call(deep)).kind is FaultKind.NOT_STORABLE
    assert returned(call(int)).value == "0"


def test_pickled_results_are_signed_and_read_only_with_the_key(call):
    class Local:
        n = 5

    done = returned(call(Local, codec="pickle", signing_key=b"mine"))
    assert done.value.codec == "pickle"
    assert read_value(done.value, data=done.payload, key=b"mine").n == 5
    for bad in (done.payload[:-1] + b"x", b"\x80" + done.payload, b""):
        with pytest.raises(NotReadable):
            read_value(done.value, data=bad, key=b"mine")
    with pytest.raises(NotReadable, match="not signed by this user"):
        read_value(done.value, data=done.payload, key=b"another")


def test_a_pickle_that_is_not_ours_is_never_run(call):
    import pickle

    ran = []

    class Evil:
        def __reduce__(self):
            return ran.append, (1,)

    data = pickle.dumps(Evil.__reduce__(Evil())[0:0]) + b"x" * 60
    with pytest.raises(NotReadable):
        read_value(PayloadRef("00", 1, "pickle"), data=data, key=b"k")
    assert not ran


def test_without_a_key_the_users_own_signs(call):
    done = returned(call(lambda: {1: object}, codec="pickle"))
    assert read_value(done.value, data=done.payload) == {1: object}


# --- coroutines -----------------------------------------------------------------------------------


async def double(n):
    await asyncio.sleep(0)
    return 2 * n


def test_a_coroutine_function_is_run_to_its_end(call):
    assert returned(call(double, args=[Given("4")])).value == "8"


def test_a_coroutine_function_runs_also_inside_a_running_loop(call):
    async def notebook():
        return perform(call(double, args=[Given("4")]))

    assert asyncio.run(notebook()).value == "8"


# --- exceptions -----------------------------------------------------------------------------------


class TwoArguments(ValueError):
    def __init__(self, a, b):
        super().__init__(a)
        self.b = b


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def raising(error):
    def task():
        raise error

    return task


def test_an_exception_becomes_data(call):
    found = fault(call(raising(TwoArguments("bad row", 2))))
    assert found.kind is FaultKind.ERROR
    assert found.message == "bad row"
    assert found.exception == f"{__name__}.TwoArguments"
    assert found.bases == ("ValueError", "Exception", "BaseException")
    assert "raise error" in found.traceback


def test_the_traceback_begins_with_the_users_frames(call):
    found = fault(call(raising(ValueError("x"))))
    first = found.traceback.splitlines()[1]
    assert first.lstrip().startswith(f'File "{__file__}"')


@pytest.mark.parametrize(
    ("error", "kind", "message", "code"),
    [
        (SystemExit(3), FaultKind.EXIT, "the task called exit(3)", 3),
        (SystemExit(), FaultKind.EXIT, "the task called exit()", 0),
        (SystemExit("bye"), FaultKind.EXIT, "bye", 1),
        (MemoryError("big"), FaultKind.MEMORY, "big", None),
        (KeyboardInterrupt(), FaultKind.LOST, "", None),
        (Cancelled("stop"), FaultKind.LOST, "stop", None),
        (RecursionError("deep"), FaultKind.ERROR, "deep", None),
        (Mute(), FaultKind.ERROR, "<str() of this Mute raised RuntimeError>", None),
        (ValueError("a\ud800"), FaultKind.ERROR, "a\\ud800", None),
    ],
    ids=lambda v: type(v).__name__,
)
def test_each_end_has_its_kind(call, error, kind, message, code):
    found = fault(call(raising(error)))
    assert (found.kind, found.message, found.exit_code) == (kind, message, code)


def test_messages_and_tracebacks_have_a_limit(call):
    found = fault(call(raising(ValueError("a" * 10_000_000 + "end"))))
    assert len(found.message) < 9000
    assert found.message.endswith("end")
    assert len(found.traceback) < 34_000


def test_a_thousand_causes_do_not_make_an_endless_text(call):
    error = None
    for n in range(1000):
        made = ValueError(n)
        made.__cause__ = error
        error = made
    assert len(fault(call(raising(error))).traceback) < 34_000


def test_notes_and_groups_are_told(call):
    inner = KeyError("k")
    inner.add_note("while reading rows.csv")
    text = fault(call(raising(ExceptionGroup("two", [inner, ValueError("v")])))).traceback
    assert "while reading rows.csv" in text
    assert "ValueError: v" in text


def test_endless_recursion_is_an_ordinary_error(call):
    def task():
        return task()

    found = fault(call(task))
    assert found.exception == "RecursionError"
    assert "more times" in found.traceback


def test_nothing_of_the_exception_is_kept_alive(call):
    import gc
    import weakref

    class Held: ...

    alive = []

    def task():
        held = Held()
        alive.append(weakref.ref(held))
        raise ValueError

    fault(call(task))
    gc.collect()
    assert alive[0]() is None


def test_an_unknown_function_number_is_a_failed_attempt(call):
    assert fault(call(function=3)).exception == "IndexError"


def test_calls_may_run_in_many_threads(call):
    outcomes = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(perform(call(lambda: 1)))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert [outcome.value for outcome in outcomes] == ["1"] * 8
    assert sys.exc_info() == (None, None, None)
