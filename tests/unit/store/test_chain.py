"""The hash chain."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from durable_wf.store.chain import BLOCK, GENESIS, LogHash, link

EVENT = (GENESIS, "r1", 1, 10, "RunStarted", "t", 0, "{}")


def test_every_part_of_an_event_changes_its_hash():
    others = (b"x" * 16, "r2", 2, 11, "RunEnded", "u", 1, "{} ")
    changed = [
        link(*EVENT[:place], other, *EVENT[place + 1 :]) for place, other in enumerate(others)
    ]
    assert len({link(*EVENT), *changed}) == len(EVENT) + 1


def test_text_cannot_move_from_one_part_to_the_next():
    assert link(GENESIS, "r1", 1, 10, "K", "", 0, "{}") != link(
        GENESIS, "r", 11, 10, "K", "", 0, "{}"
    )


@given(st.lists(st.integers(0, BLOCK + 3), max_size=8))
def test_the_hash_of_the_log_does_not_depend_on_its_commits(sizes):
    hashes = [number.to_bytes(16, "big") for number in range(sum(sizes))]
    grouped, single = LogHash(), LogHash()
    begin = 0
    for size in sizes:
        grouped.add(hashes[begin : begin + size])
        begin += size
    for one in hashes:
        single.add([one])
    assert (grouped.seq, grouped.base, grouped.digest()) == (
        single.seq,
        single.base,
        single.digest(),
    )


def test_one_digest_and_the_events_of_a_block_are_enough_to_go_on():
    hashes = [number.to_bytes(16, "big") for number in range(3 * BLOCK)]
    whole, resumed = LogHash(), LogHash(BLOCK)
    whole.add(hashes[:BLOCK])
    resumed = LogHash(whole.seq, whole.base)
    whole.add(hashes[BLOCK:])
    resumed.add(hashes[BLOCK:])
    assert resumed.digest() == whole.digest()
    assert len({LogHash().digest(), whole.digest()}) == 2
