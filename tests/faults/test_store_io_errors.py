"""Each call of each kind fails, once and for ever: the error is absorbed or told, nothing lies.

After every case the process is gone (as if killed), a new one opens the store, and finds all that
was acknowledged and nothing that was never tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import child, power, scenario, vfs
from faults.child import ERRORS, DiskError
from faults.power import Found
from faults.scale import TORTURE, show

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN),
]


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Path, Callable[[Path, int, int], Found]]]:
    with power.scratch() as folder:
        yield folder / "live", scenario.judge_with(scenario.contents(folder / "reference"))


@pytest.mark.timeout(900 if TORTURE else 60)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: f"{error.kind}-{error.name}")
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for-ever"])
def test_no_error_of_the_disk_loses_what_was_acknowledged(
    place, error: DiskError, for_ever: bool
) -> None:
    root, judge = place
    counts: Counter[Found] = Counter()
    told: Counter[str] = Counter()
    step = 1 if TORTURE or error.kind not in {"write", "read"} else 8
    for death in child.fail_everywhere(
        root, scenario.live_on_a_bad_disk, error, for_ever=for_ever, step=step
    ):
        assert death.exit_code == 0, death.notes
        assert not [note for note in death.notes if note.startswith("raw")]
        told.update(death.notes or ("absorbed",))
        counts[judge(root, death.acked, max(death.tried, 0))] += 1
    show(f"store, {error.name} {'for ever' if for_ever else 'once'}", counts, "I/O faults")
    print("    told as:", dict(told))
    assert set(counts) == {Found.SOUND}


def test_control_a_store_that_takes_a_failed_commit_for_done_is_caught(place) -> None:
    """A life that acknowledges whatever happens must be seen to lose what it acknowledged."""
    root, judge = place

    def boastful(root: Path, report: child.Reporter) -> None:
        with scenario.small_wal():
            life = scenario.Life(root)
            for number, step in enumerate(scenario.STEPS):
                report.tried(number)
                try:
                    step(life)
                except Exception as error:
                    report.note(type(error).__name__)
                report.acked(number)

    write_fails = next(error for error in ERRORS if error.name == "IOERR_WRITE")
    found = Counter(
        judge(root, death.acked, max(death.tried, 0))
        for death in child.fail_everywhere(root, boastful, write_fails, for_ever=True, step=40)
    )
    show("store, IOERR_WRITE acknowledged all the same", found, "I/O faults")
    assert found.total() > found[Found.SOUND]
