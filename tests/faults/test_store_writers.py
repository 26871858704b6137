"""Many processes write one store at once. None of them ever meets a locked database.

`tools/torture` has them write for 20 s each.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from durable_wf.store import head
from durable_wf.store.opening import open_store
from tests.faults.scale import TORTURE, say

TESTS = str(Path(__file__).parents[1])
PROCESSES = 8
SECONDS = 20 if TORTURE else 3
DEADLINE_S = SECONDS + 50

WRITER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from conformance.batches import batch, create, extend
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb
name, until = sys.argv[3], time.monotonic() + float(sys.argv[4])
store = open_store(sys.argv[1])
run = store.log.append(batch(create(name))).runs[name]
n = 2
while time.monotonic() < until:
    done = store.log.append(batch(extend(run, name, n, count=1 + n % 7)))
    assert not done.conflicts
    n += 1 + n % 7
    if n % 11 == 0:
        store.log.post(name, Verb.PAUSE, "me", str(n), 1, "{}")
        assert store.log.row(name).n == n
store.close()
print(n)
"""

WITHOUT_A_LOCK = """
import sqlite3, sys, time
log, until = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0), time.monotonic() + 30
locked = 0
while not locked and time.monotonic() < until:
    try:
        log.execute("BEGIN IMMEDIATE")
        log.execute("UPDATE runs SET cause = ?", (str(time.monotonic()),))
        log.execute("COMMIT")
    except sqlite3.OperationalError as error:
        assert "locked" in str(error), error
        locked += 1
print(locked)
"""


def outputs(script: str, *arguments: list[str]) -> list[str]:
    """What one process for each list of arguments prints; all of them run at once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", script, *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for given in arguments
    ]
    printed = []
    for process in started:
        out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, err
        printed.append(out)
    return printed


def test_many_writers_never_meet_a_locked_database(tmp_path):
    path = tmp_path / "s"
    open_store(path, create=True).close()
    names = [f"r{k}" for k in range(PROCESSES)]
    printed = outputs(WRITER, *([str(path), TESTS, name, str(SECONDS)] for name in names))
    counts = {name: int(n) for name, n in zip(names, printed, strict=True)}

    store = open_store(path)
    assert {one.run_id: one.n for one in store.log.rows()} == counts
    assert min(counts.values()) > 2, "each of them has written"
    for one in store.log.rows():
        assert [stored.n for stored in store.log.stored(one.run)] == list(range(1, one.n + 1))
    witness = head.read(store.folder.head)
    assert witness.seq == sum(counts.values())
    assert witness == head.compute(store.log._connection)
    store.close()
    say(f"{PROCESSES} writers for {SECONDS} s: {witness.seq:,} events, none met a locked database")


def test_writers_without_the_lock_of_the_store_would_meet_one(tmp_path):
    path = tmp_path / "s"
    store = open_store(path, create=True)
    store.close()
    printed = outputs(WITHOUT_A_LOCK, *([str(path / "log.db")] for _ in range(PROCESSES)))
    assert sum(int(locked) for locked in printed) > 0
