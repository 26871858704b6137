"""RUN: an exact id, `@last`, a unique beginning; else an error that helps."""

from __future__ import annotations

import pytest
from conformance.batches import create

from durable_wf.cli.picking import pick
from durable_wf.core.events import Recorded, RunCreated
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import Counts, RunRow
from durable_wf.errors import NotFound
from durable_wf.store.memory import MemoryLog
from durable_wf.store.port import Batch, RunAppend


def log_of(*names: str) -> MemoryLog:
    log = MemoryLog()
    for at, name in enumerate(names):
        row = RunRow(name, "w", RunStatus.PENDING, 1, 1, Counts(pending=1), at)
        created = Recorded(1, at, RunCreated("w", "d", 1))
        log.append(Batch(appends=[RunAppend(0, name, 0, [created], row)]))
    return log


LOG = log_of("etl", "etl-1", "etl-2", "report-7")


@pytest.mark.parametrize(
    ("name", "found"),
    [("etl", "etl"), ("etl-1", "etl-1"), ("rep", "report-7"), ("@last", "report-7")],
)
def test_exact_ids_come_before_beginnings(name, found):
    assert pick(LOG, name).run_id == found


def test_an_ambiguous_beginning_names_the_candidates():
    with pytest.raises(NotFound) as caught:
        pick(LOG, "et")
    for name in ("etl", "etl-1", "etl-2"):
        assert name in caught.value.message
    assert "more of the id" in str(caught.value.hint)


def test_many_candidates_are_cut_short():
    log = log_of(*(f"run-{number}" for number in range(30)))
    with pytest.raises(NotFound) as caught:
        pick(log, "run")
    assert caught.value.message.count("run-") <= 9
    assert caught.value.message.endswith("...")


def test_retries_of_one_another_count_as_one_and_the_newest_is_meant():
    log = MemoryLog()
    runs = (
        create("etl", created_at=1),
        create("etl.2", origin="etl", root="etl"),
        create("etl.3", origin="etl.2", root="etl"),
        create("load"),
        create("load.f1", origin="load", origin_n=3),
    )
    log.append(Batch(appends=runs))
    assert pick(log, "et").run_id == "etl.3"
    assert pick(log, "etl").run_id == "etl"
    with pytest.raises(NotFound, match="the beginning of several runs"):
        pick(log, "lo")


def test_a_run_from_elsewhere_belongs_to_no_chain_here():
    log = MemoryLog()
    log.append(Batch([create("etl"), create("etl.2", origin="etl", root="etl", imported=True)]))
    with pytest.raises(NotFound, match="the beginning of several runs"):
        pick(log, "et")


def test_a_slip_of_the_finger_is_understood():
    with pytest.raises(NotFound) as caught:
        pick(LOG, "reprot-7")
    assert caught.value.hint == "did you mean report-7?"


@pytest.mark.parametrize("name", ["zzz", "", "@first"])
def test_what_is_not_there_says_what_to_do(name):
    with pytest.raises(NotFound) as caught:
        pick(LOG, name)
    assert caught.value.hint


def test_an_empty_store_has_no_last_run():
    with pytest.raises(NotFound, match="no runs"):
        pick(MemoryLog(), "@last")
