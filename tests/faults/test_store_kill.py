"""The process killed before each of its changes to the disk: nothing acknowledged is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from sqlite3 import Connection
from unittest import mock

import pytest
from faults import child, power, scenario, vfs
from faults.power import Found
from faults.scale import TORTURE, show

from durable_wf.core.circuit import Outcome, What
from durable_wf.core.events import RunPaused
from durable_wf.store import outcomes

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN),
]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, Callable[[Path, int, int], Found]]]:
    with power.scratch() as folder:
        yield folder / "live", scenario.judge_with(scenario.contents(folder / "reference"))


@pytest.mark.timeout(900 if TORTURE else 60)
def test_kill_before_each_change(place) -> None:
    root, judge = place
    counts: Counter[Found] = Counter()
    for death in child.kill_everywhere(root, scenario.live, step=1 if TORTURE else 3):
        counts[judge(root, death.acked, max(death.tried, 0))] += 1
    show("store, killed", counts, "kill points")
    assert set(counts) == {Found.SOUND}
    assert counts.total() > 90


def test_control_rows_in_a_transaction_of_their_own_are_caught(tmp_path) -> None:
    """Outcomes that are committed apart from their events are a torn step to the judge."""
    steps = (
        *scenario.STEPS[:2],
        lambda life: life.append("a", RunPaused("ann"), outcomes=[What.OK]),
    )
    judge = scenario.judge_with(scenario.contents(tmp_path / "reference", steps))

    def torn(root: Path, report: child.Reporter) -> None:
        before = outcomes.write

        def write(connection: Connection, rows: Sequence[Outcome]) -> None:
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
            before(connection, rows)

        with mock.patch.object(outcomes, "write", write):
            scenario.live(root, report, steps)

    found = {
        judge(tmp_path / "live", death.acked, max(death.tried, 0))
        for death in child.kill_everywhere(tmp_path / "live", torn, step=1)
    }
    assert found == {Found.SOUND, Found.TORN}


@pytest.mark.timeout(900 if TORTURE else 60)
def test_kill_again_during_the_restart(place) -> None:
    """Killed in the middle of a life, and then before each change of the restart after it."""
    root, judge = place
    counts: Counter[Found] = Counter()

    def restarted(root: Path, report: child.Reporter) -> None:
        life = scenario.Life(root)
        life.open()
        life.append("z", scenario.created(scenario.SMALL), payloads=[scenario.SMALL])
        life.close()

    for first in range(20, 330, 10 if TORTURE else 75):
        number = 1
        while True:
            death = child.run(root, scenario.live, child.kill_at(first))
            again = child.run_on(root, restarted, child.kill_at(number))
            if not again.killed:
                assert again.exit_code == 0, again.notes
                break
            found = judge(root, death.acked, max(death.tried, 0))
            counts[Found.SOUND if _only_z_was_added(found, root) else found] += 1
            number += 1 if TORTURE else 3
    show("store, killed twice", counts, "kill points")
    assert set(counts) == {Found.SOUND}
    assert counts.total() > 20


def _only_z_was_added(found: Found, root: Path) -> bool:
    """The restart's own run may be there; judged without it the store must be sound."""
    if found is not Found.TORN:
        return found is Found.SOUND
    life = scenario.Life(root)
    life.open()
    try:
        assert life.store is not None
        return {row.run_id for row in life.store.log.rows()} <= {"a", "b", "z"} and life.tips["z"][
            1
        ] == 1
    finally:
        life.close()
