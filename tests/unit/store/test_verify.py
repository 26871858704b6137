"""Verification names what is not as it was written, and finds every change of event data."""

from __future__ import annotations

import random
import shutil
import sqlite3

import pytest
from store_rig import add_run

from durable_wf.errors import NotFound, VerificationFailed
from durable_wf.store.opening import open_store
from durable_wf.store.verify import Hash, head_hash, verify, verify_folder


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path / "store", create=True)
    for k in range(6):
        add_run(store, f"run-{k}", [f'"{k}-{i}"' for i in range(5)])
    yield store
    store.close()


def change(store, statement: str, *values: object) -> None:
    store.close()
    db = sqlite3.connect(store.folder.db)
    db.execute(statement, values)
    db.commit()
    db.close()


def test_an_untouched_log_is_sound(store) -> None:
    verdict = verify(store)
    assert verdict.sound
    assert (verdict.runs, verdict.events) == (6, 6 * 15)
    assert verdict.head == head_hash(store)
    verdict.raise_if_bad()
    assert verify(store, "run-3").sound


@pytest.mark.parametrize(
    "text",
    ["", "5", "5:", ":", "5:abc", "5:" + "g" * 32, "x:" + "0" * 32, "-5:" + "0" * 32,
     "1_0:" + "0" * 32, "\u0665:" + "0" * 32, "5:" + "00 " * 16, "5:" + "0" * 34,
     "9" * 5000 + ":" + "0" * 32],
)  # fmt: skip
def test_what_is_no_hash_is_refused_with_what_it_should_be(text) -> None:
    with pytest.raises(ValueError, match="is not of the form SEQ:HASH, .* 32 hexadecimal digits"):
        Hash.parse(text)


def test_a_hash_is_read_as_it_was_printed_or_typed(store) -> None:
    found = head_hash(store)
    assert Hash.parse(f" {str(found).upper()}\n") == found


def test_an_unknown_run_is_not_found(store) -> None:
    with pytest.raises(NotFound):
        verify(store, "nobody")


def test_a_changed_body_is_named_by_run_number_seq_and_kind(store) -> None:
    change(store, """UPDATE events SET body = replace(body, '"2-1"', '"9-9"') WHERE run = 3""")
    verdict = verify_folder(store.folder)
    assert [(bad.run_id, bad.n, bad.seq, bad.kind) for bad in verdict.bad] == [
        ("run-2", 7, 2 * 15 + 7, "AttemptSucceeded")
    ]
    assert verify_folder(store.folder, "run-2").bad == verdict.bad
    assert verify_folder(store.folder, "run-1").sound
    with pytest.raises(VerificationFailed, match="run run-2, event 7"):
        verdict.raise_if_bad()


def test_a_forger_who_mends_the_chain_of_the_run_is_caught_by_the_head(store) -> None:
    from durable_wf.store.chain import GENESIS, link

    store.close()
    db = sqlite3.connect(store.folder.db)
    previous = GENESIS
    rows = db.execute(
        "SELECT seq, n, at, kind, task, attempt, body FROM events WHERE run = 1 ORDER BY n"
    ).fetchall()
    for seq, n, at, kind, task, attempt, body in rows:
        body = body.replace('"0-1"', '"7-7"')
        previous = link(previous, "run-0", n, at, kind, task, attempt, body)
        db.execute("UPDATE events SET body = ?, hash = ? WHERE seq = ?", (body, previous, seq))
    db.commit()
    db.close()
    verdict = verify_folder(store.folder)
    assert verdict.bad == ()
    assert "head" in verdict.problems[0]


@pytest.mark.parametrize(
    ("statement", "run_id", "n"),
    [
        ("DELETE FROM events WHERE run = 2 AND n = 5", "run-1", 5),
        ("DELETE FROM events WHERE run = 2 AND n > 12", "run-1", 13),
        ("DELETE FROM events WHERE run = 6 AND n = 14", "run-5", 14),
        ("UPDATE events SET run = 99, n = 1 WHERE run = 4 AND n = 3", "?99", 1),
        ("UPDATE runs SET run_id = 'other' WHERE run = 1", "other", 1),
        ("UPDATE runs SET n = 15 WHERE run = 1", "run-0", 15),
        ("UPDATE events SET at = at + 1 WHERE seq = 32", "run-2", 2),
        ("UPDATE events SET attempt = 2 WHERE seq = 34", "run-2", 4),
    ],
)
def test_what_is_missing_or_moved_is_named(store, statement: str, run_id: str, n: int) -> None:
    change(store, statement)
    verdict = verify_folder(store.folder)
    assert (verdict.bad[0].run_id, verdict.bad[0].n) == (run_id, n), verdict


def test_a_cut_tail_and_an_older_copy_are_behind_the_head(store, tmp_path) -> None:
    store.close()
    older = tmp_path / "older.db"
    shutil.copy(store.folder.db, older)
    again = open_store(store.folder.path)
    add_run(again, "late")
    again.close()
    shutil.copy(older, store.folder.db)
    verdict = verify_folder(store.folder)
    assert verdict.bad == ()
    assert "11 events are gone" in verdict.problems[0]
    assert "11 events are gone" in verify_folder(store.folder, "run-1").problems[0]


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_head_that_says_nothing_is_a_problem(store, damage: str) -> None:
    head = store.folder.head
    if damage == "missing":
        head.unlink()
    else:
        head.write_bytes(bytes([head.read_bytes()[0] ^ 1]) + head.read_bytes()[1:])
    assert not verify(store).sound


def test_a_hash_that_was_kept_proves_the_log_up_to_it(store) -> None:
    kept = Hash.parse(str(head_hash(store)))
    add_run(store, "later")
    assert verify(store, kept=kept).sound
    forged = Hash(kept.seq, "00" * 16)
    assert not verify(store, kept=forged).sound
    assert not verify(store, kept=Hash(10_000, kept.digest)).sound


def test_a_store_opened_for_reading_can_be_verified(store) -> None:
    reader = open_store(store.folder.path, readonly=True)
    assert verify(reader).sound
    reader.close()


def test_no_flipped_bit_in_event_data_goes_unseen(store) -> None:
    """300 single flips in the database file. Each either changes nothing that events say, or is
    found; and nothing but a verdict comes out."""
    for k in range(20):
        add_run(store, f"more-{k}", ['"%s"' % ("x" * 300)] * 10)
    store.close()
    path = store.folder.db
    original = path.read_bytes()
    intact = _event_data(path)
    rng = random.Random(7)
    found = harmless = 0
    for _ in range(300):
        data = bytearray(original)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        verdict = verify_folder(store.folder)
        if verdict.sound:
            assert _event_data(path) == intact
            harmless += 1
        else:
            found += 1
    path.write_bytes(original)
    assert verify_folder(store.folder).sound
    print(f"\n[counts] bit flips: 300: found {found}, not in event data {harmless}")
    assert found > 100, "the flips must hit event data, or this proves nothing"


def _event_data(path) -> list[tuple[object, ...]]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.text_factory = bytes
    try:
        return db.execute(
            "SELECT e.seq, r.run_id, e.n, e.at, e.kind, e.task, e.attempt, e.body, e.hash"
            " FROM events AS e JOIN runs AS r USING (run) ORDER BY e.seq"
        ).fetchall()
    finally:
        db.close()
