"""Power cuts under the real store: no acknowledged step is ever lost or half there.

The controls run the same recording on a disk that ignores syncs; both must be caught, or the
first test would prove nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from faults import power, scenario, vfs
from faults.calls import Call, Mark
from faults.power import Found
from faults.scale import TORTURE, show

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN),
]

CONTROL = 1.0 if TORTURE else 0.4
"""The share of images that the controls look at: they need enough bad ones, not all."""

Cut = Callable[..., Counter[Found]]


@pytest.fixture(scope="module")
def recorded() -> Iterator[tuple[list[Call | Mark], Cut]]:
    """What the life of a store does to the disk, and how to cut the power under it."""
    with power.scratch() as folder:
        judge = scenario.judge_with(scenario.contents(folder / "reference"))
        root = folder / "live"
        entries = power.record(root, scenario.live)
        assert power.replay(root, entries).differs_from(root, scenario.IGNORED) == []

        def cut(entries: list[Call | Mark], **options: object) -> Counter[Found]:
            return power.cut_everywhere(root, entries, judge, ignore=scenario.IGNORED, **options)

        yield entries, cut


@pytest.mark.timeout(3600 if TORTURE else 60)
def test_no_acknowledged_step_is_lost(recorded: tuple[list[Call | Mark], Cut]) -> None:
    """Also: chains and head fit, named payload files are whole, and the store can be written."""
    entries, cut = recorded
    counts: Counter[Found] = Counter()
    for seed in range(12 if TORTURE else 1):
        counts += cut(entries, seed=seed, random_images=20 if TORTURE else 2)
    show("store, power cut", counts)
    assert set(counts) == {Found.SOUND}
    assert counts.total() > 600


def test_control_commits_that_are_not_synced_are_caught(
    recorded: tuple[list[Call | Mark], Cut],
) -> None:
    """As with synchronous=NORMAL: the WAL is synced only before it is copied back."""
    entries, cut = recorded
    counts = cut(lazy_about_the_wal(entries), random_images=1, sample=CONTROL)
    show("store, power cut, WAL synced late", counts)
    assert counts[Found.LOST] > 10


def test_control_a_disk_that_ignores_syncs_is_caught(
    recorded: tuple[list[Call | Mark], Cut],
) -> None:
    """As with synchronous=OFF."""
    entries, cut = recorded
    counts = cut(power.deaf_to_syncs(entries, lambda _: True), random_images=1, sample=CONTROL)
    show("store, power cut, no syncs", counts)
    assert counts[Found.CORRUPT] > 10


def test_control_payload_files_without_their_syncs_are_caught(
    recorded: tuple[list[Call | Mark], Cut],
) -> None:
    entries, cut = recorded
    deaf = power.deaf_to_syncs(entries, lambda call: "/payloads" in call.path)
    counts = cut(deaf, random_images=1, sample=CONTROL)
    show("store, power cut, payload files not synced", counts)
    assert counts[Found.CORRUPT] > 10


def lazy_about_the_wal(entries: list[Call | Mark]) -> list[Call | Mark]:
    """Leave out each sync of the WAL that is not followed by a write to the database itself."""
    kept: list[Call | Mark] = []
    checkpoint_follows = False
    for entry in reversed(entries):
        if isinstance(entry, Mark):
            kept.append(entry)
            continue
        if entry.kind == "write":
            checkpoint_follows = entry.path.endswith("/log.db")
        if entry.kind == "sync" and entry.path.endswith("-wal") and not checkpoint_follows:
            continue
        kept.append(entry)
    return kept[::-1]
