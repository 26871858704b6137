"""chains: which run of a chain of retries is the newest, and what new ones are called."""

from __future__ import annotations

import attrs
import pytest
from conformance.batches import create

from durable_wf.engine.chains import fork_id, members, newest, retry_id
from durable_wf.errors import CallerError, RunConflict
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch


def log_of(*runs):
    """A log with these runs, each an id and the fields of its row."""
    log = MemoryLog()
    log.append(Batch([create(run_id, **fields) for run_id, fields in runs]))
    return log


def retry(run_id, origin, root, **fields):
    return run_id, {"origin": origin, "root": root, **fields}


CHAIN = (("a", {}), retry("a.2", "a", "a"), ("other", {}), retry("a.3", "a.2", "a"))


@pytest.mark.parametrize("run_id", ["a", "a.2", "a.3"])
def test_all_ids_of_a_chain_stand_for_its_newest_run(run_id):
    log = log_of(*CHAIN)
    assert newest(log, log.row(run_id)).run_id == "a.3"
    assert [one.run_id for one in members(log, log.row(run_id))] == ["a.3", "a.2", "a"]
    assert retry_id(log, log.row(run_id)) == "a.4"


def test_a_run_alone_is_its_own_chain():
    log = log_of(*CHAIN)
    row = log.row("other")
    assert (newest(log, row), members(log, row)) == (row, [row])
    assert retry_id(log, row) == "other.2"


def test_what_belongs_together_does_not_stand_in_the_ids():
    log = log_of(("a", {}), ("a.2", {}), retry("mine", "a", "a"), retry("a.2.2", "a.2", "a.2"))
    assert newest(log, log.row("a")).run_id == "mine"
    assert newest(log, log.row("a.2")).run_id == "a.2.2"
    assert retry_id(log, log.row("a")) == "a.3"
    taken = log_of(("a", {}), ("a.2", {}))
    assert retry_id(taken, taken.row("a")) == "a.3"


def test_forks_are_numbered_by_their_origin_and_begin_chains_of_their_own():
    log = log_of(*CHAIN, ("a.f1", {"origin": "a", "origin_n": 4}))
    assert fork_id(log, log.row("a")) == "a.f2"
    assert fork_id(log, log.row("a.2")) == "a.2.f1"
    assert newest(log, log.row("a")).run_id == "a.3"
    assert retry_id(log, log.row("a.f1")) == "a.f1.2"


def test_an_imported_run_cannot_claim_a_place_in_a_chain():
    log = log_of(("a", {}), retry("a.9", "a", "a", imported=True))
    assert newest(log, log.row("a")).run_id == "a"
    assert members(log, log.row("a.9")) == [log.row("a.9")]
    assert retry_id(log, log.row("a")) == "a.2"


def test_the_first_run_need_not_be_there():
    log = log_of(retry("a.2", "a", "a"), retry("a.3", "a.2", "a"))
    assert [one.run_id for one in members(log, log.row("a.2"))] == ["a.3", "a.2"]


def test_an_id_of_ones_own_must_be_free():
    log = log_of(*CHAIN)
    assert retry_id(log, log.row("a"), "mine") == fork_id(log, log.row("a"), "mine") == "mine"
    for wanted in (retry_id, fork_id):
        with pytest.raises(RunConflict, match="'other' already"):
            wanted(log, log.row("a"), "other")


def test_an_id_that_would_be_too_long_is_not_made():
    log = log_of(("a" * 127, {}))
    with pytest.raises(CallerError, match="too long") as told:
        retry_id(log, log.row("a" * 127))
    assert "--id" in told.value.hint
    row = attrs.evolve(log.row("a" * 127), run_id="b" * 126)
    assert retry_id(log, row) == "b" * 126 + ".2"
