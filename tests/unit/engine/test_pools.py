"""pools: units of named pools, shared by the engines of one store."""

from __future__ import annotations

import pytest
from loop_rig import TellingLog
from strategies import task

from durable_wf.core.resources import Resources
from durable_wf.engine.pools import PoolLeases
from durable_wf.errors import DiskFull, StoreBusy, StoreFailed
from durable_wf.store.memory import Shelf
from durable_wf.store.port import Batch

DB = (("db", 1),)
BOTH = (("api", 1), ("db", 1))


def engines(*, alive=lambda _: True, **limits):
    """Two engines of one store, each with its log and its leases."""
    shelf = Shelf()
    logs = [TellingLog(shelf, alive=alive) for _ in range(2)]
    return logs, [PoolLeases(log, f"e-{k}", limits) for k, log in enumerate(logs)]


def give_back(log, leases):
    log.append(Batch(drops=leases.released()))


def test_a_task_needs_what_has_a_limit():
    _, (leases, _) = engines(db=2)
    needy = task("a", resources=Resources(pools=(("api", 3), ("db", 1))))
    assert leases.needs(needy) == (("db", 1),)
    assert leases.needs(task("a")) == ()


def test_what_one_engine_holds_another_cannot_take():
    (log, _), (one, two) = engines(db=1)
    assert one.take([((1, 0), DB)]) == {(1, 0)}
    assert two.take([((1, 0), DB)]) == set()
    assert log.held("pool/db") == {"e-0": 1}


def test_units_come_back_with_the_transaction_that_records_the_end():
    """Not before, and once."""
    (log, _), (one, two) = engines(db=1)
    one.take([((1, 0), DB)])
    assert not one.owes
    one.end((1, 0))
    assert one.owes
    assert two.take([((1, 0), DB)]) == set()
    give_back(log, one)
    assert not one.owes
    assert two.take([((1, 0), DB)]) == {(1, 0)}
    one.end((1, 0))
    assert one.released() == []


def test_units_come_back_with_the_next_taking_too():
    _, (one, _) = engines(db=1)
    one.take([((1, 0), DB)])
    one.end((1, 0))
    assert one.take([((1, 1), DB)]) == {(1, 1)}
    assert one.released() == []


def test_in_one_transaction_the_first_come_first():
    (log, _), (one, _) = engines(db=2)
    wanted = [((1, index), DB) for index in range(3)]
    assert one.take(wanted) == {(1, 0), (1, 1)}
    assert len(log.batches) == 1


def test_all_of_what_a_task_needs_or_nothing():
    (log, _), (one, two) = engines(db=1, api=1)
    one.take([((1, 0), DB)])
    assert two.take([((1, 0), BOTH)]) == set()
    assert log.held("pool/api") == {}
    assert two.take([((1, 1), (("api", 1),))]) == {(1, 1)}


def test_what_a_dead_engine_held_is_free():
    living = {"e-0", "e-1"}
    _, (one, two) = engines(alive=living.__contains__, db=1)
    one.take([((1, 0), DB)])
    assert two.take([((1, 0), DB)]) == set()
    living.remove("e-0")
    assert two.take([((1, 0), DB)]) == {(1, 0)}


@pytest.mark.parametrize("trouble", [DiskFull("full"), StoreBusy("busy")])
def test_while_the_store_cannot_be_written_nobody_gets_any(trouble):
    """And nothing that was to be given back is forgotten."""
    (log, _), (one, _) = engines(db=1)
    one.take([((1, 0), DB)])
    one.end((1, 0))
    log.troubles = [trouble]
    assert one.take([((1, 1), DB)]) == set()
    give_back(log, one)
    assert log.held("pool/db") == {}
    assert one.take([((1, 1), DB)]) == {(1, 1)}


def test_a_store_that_failed_is_no_matter_of_waiting():
    (log, _), (one, _) = engines(db=1)
    log.troubles = [StoreFailed("EIO")]
    with pytest.raises(StoreFailed):
        one.take([((1, 0), DB)])


def test_the_end_of_a_task_without_units_gives_nothing_back():
    _, (one, _) = engines(db=1)
    one.end((1, 0))
    assert one.released() == []
