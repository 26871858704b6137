"""Random batches by two writers, against an oracle that is a plain list."""

from __future__ import annotations

import pytest
from conformance.batches import batch, create, extend
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

IDS = ["a", "b", "c", "d"]

steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.lists(
            st.tuples(st.sampled_from(IDS), st.integers(1, 3), st.sampled_from([0, 0, 0, -1, 1])),
            max_size=4,
        ),
    ),
    max_size=25,
)


@pytest.mark.parametrize("kind", ["sqlite", "memory"])
@given(steps=steps)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_log_is_the_list_of_what_fitted(new_world, kind, steps):
    world = new_world(kind)
    writers = [world.log, world.another()]
    oracle: list[tuple[str, int, object]] = []
    surrogates: dict[str, int] = {}
    try:
        for writer, wishes in steps:
            appends, fits, wanted = [], {}, [one[0] for one in wishes]
            for run_id, count, off in wishes:
                n = sum(1 for one in oracle if one[0] == run_id)
                expected = max(0, n + off)
                new = expected == 0
                append = (
                    create(run_id, count=count)
                    if new
                    else extend(surrogates.get(run_id, 99), run_id, expected, count=count)
                )
                appends.append(append)
                fits[run_id] = (
                    expected == n
                    and new == (run_id not in surrogates)
                    and wanted.count(run_id) == 1
                )
            done = writers[writer].append(batch(*appends))
            assert done.conflicts == {run_id for run_id, fit in fits.items() if not fit}
            for append in appends:
                if append.run_id not in done.conflicts:
                    assert done.first_seq[append.run_id] == len(oracle) + 1
                    oracle += [(append.run_id, one.n, one.event) for one in append.events]
            surrogates |= done.runs
        for log in writers:
            stored = {}
            for run_id, run in surrogates.items():
                events = [(run_id, one.n, one.event) for one in log.history(run)]
                numbers = [one.seq for one in log.stored(run)]
                stored |= dict(zip(numbers, events, strict=True))
            assert [stored[seq] for seq in sorted(stored)] == oracle
            assert sorted(stored) == list(range(1, len(oracle) + 1))
    finally:
        world.end()
