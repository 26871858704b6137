"""A commit whose sync failed may be there after a restart, or not. Every way on ends the same.

The append says StoreFailed, which means unknown. Whoever goes on opens the log again, looks at what
is there, and adds what is missing: each event is there exactly once, whatever happened between.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import pytest
from faults import child, power, scenario, vfs
from faults.calls import Call, Hook
from faults.scale import show

from durable_wf.errors import StoreFailed
from durable_wf.store.opening import open_store
from durable_wf.store.verify import verify

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(bool(vfs.HIDDEN), reason=vfs.HIDDEN),
]


class Way(Enum):
    """What happens between the failed commit and the next look at the log."""

    KILL_INSIDE = "killed before the store itself could look"
    KILL = "killed once the store had said it failed"
    CLOSE = "closed in order"
    GO_ON = "opened again beside the failed one"


class Present(Enum):
    """What the next process found of the commit that raised."""

    YES = "found"
    NO = "not found"


@pytest.fixture
def root() -> Iterator[Path]:
    with power.scratch() as folder:
        yield folder / "live"


APPENDS = 6


def fail_sync_of(target: int, way: Way):
    """The WAL's sync inside append number `target` fails, once."""

    def make(root: Path, reporter: child.Reporter) -> Hook:
        state = {"failed": False}

        def hook(call: Call) -> int:
            if state["failed"] and way is Way.KILL_INSIDE:
                os.kill(os.getpid(), signal.SIGKILL)
            armed = (root / f"arm-{target}").exists()
            if armed and call.kind == "sync" and call.path.endswith("-wal") and not state["failed"]:
                state["failed"] = True
                reporter.note("hit")
                return 1034
            return 0

        return hook

    return make


def appending(way: Way):
    """One event per append. After a failure: look, repeat what is missing, go on to the end."""

    def run(root: Path, report: child.Reporter) -> None:
        life = scenario.Life(root)
        life.open()
        _finish(root, life, report, way, arm=True)
        life.close()

    return run


def _finish(
    root: Path, life: scenario.Life, report: child.Reporter, way: Way, *, arm: bool
) -> None:
    """Append until all events are there, from wherever the log is."""
    while (n := life.tips.get("a", (0, 0))[1]) < APPENDS:
        if arm:
            (root / f"arm-{n}").touch()
        try:
            if n == 0:
                life.append("a", scenario.created(scenario.SMALL), payloads=[scenario.SMALL])
            else:
                life.append("a", scenario.started(f"t{n}"))
        except StoreFailed:
            report.note(f"failed {n}")
            if way is Way.KILL:
                os._exit(0)
            failed, life.store = life.store, None
            assert failed is not None
            with pytest.raises(StoreFailed):
                failed.log.post("a", scenario.Verb.PAUSE, "ann", "k", 1, "{}")
            if way is Way.CLOSE:
                failed.close()
            life.open()
            found = life.tips.get("a", (0, 0))[1]
            report.note(f"present {found > n}")
        if arm:
            (root / f"arm-{n}").unlink(missing_ok=True)


def test_every_way_on_from_a_failed_commit_ends_the_same(root: Path) -> None:
    ends: dict[Way, set[tuple[str, ...]]] = {way: set() for way in Way}
    counts: Counter[Present] = Counter()
    for way in Way:
        for target in range(APPENDS):
            death = child.run(root, appending(way), fail_sync_of(target, way))
            assert death.hits == 1
            if way is Way.KILL_INSIDE:
                assert death.killed
            else:
                assert death.exit_code == 0, death.notes
                assert f"failed {target}" in death.notes
            life = scenario.Life(root)
            life.open()
            if way in {Way.KILL, Way.KILL_INSIDE}:
                there = life.tips.get("a", (0, 0))[1] > target
            else:
                there = "present True" in death.notes
            counts[Present.YES if there else Present.NO] += 1
            _finish(root, life, None, way, arm=False)  # type: ignore[arg-type]
            life.close()
            store = open_store(root)
            ends[way].add(scenario.content(store).runs[0][1])
            assert verify(store).sound
            store.close()
    show("commit of unknown outcome, then looked for", counts, "failed commits")
    assert len(set.union(*ends.values())) == 1
    assert counts.total() == APPENDS * len(Way)
    assert counts[Present.YES] > 0, "some failed commit must come back, or nothing was ambiguous"
    assert counts[Present.NO] > 0
