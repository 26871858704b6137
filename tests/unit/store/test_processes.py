"""Several processes on one store, and nobody who opens the database behind SQLite's back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from durable_wf.store import head
from durable_wf.store.opening import open_store

TESTS = str(Path(__file__).parents[2])

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
from conformance.batches import batch, create, extend
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb
name, batches = sys.argv[3], int(sys.argv[4])
store = open_store(sys.argv[1])
run = store.log.append(batch(create(name))).runs[name]
n = 2
for _ in range(batches):
    done = store.log.append(batch(extend(run, name, n, count=1 + n % 7)))
    assert not done.conflicts
    n += 1 + n % 7
    if n % 11 == 0:
        store.log.post(name, Verb.PAUSE, "me", str(n), 1, "{}")
        assert store.log.row(name).n == n
store.close()
print(n)
"""

AUDIT = """
import sys
opened = []
def hook(event, args):
    if event in ("open", "shutil.copyfile", "os.rename", "os.link") and "log.db" in repr(args[:2]):
        opened.append((event, repr(args)))
sys.addaudithook(hook)
sys.path.insert(0, sys.argv[2])
from conformance.batches import batch, create, extend
from durable_wf.core.events import EngineStopped
from durable_wf.store.opening import open_store
from durable_wf.store.port import Batch, Verb
store = open_store(sys.argv[1], create=True)
store.log.append(batch(create("r1"), payloads=[("a" * 32, b"x")]))
store.log.post("r1", Verb.PAUSE, "me", "k", 1, "{}")
reader = open_store(sys.argv[1], readonly=True)
assert len(list(reader.log.history(1))) == 2
for n in range(2, 50):
    store.log.append(batch(extend(1, "r1", n)))
reader.close()
store.close()
open_store(sys.argv[1]).close()
if len(sys.argv) > 3:
    open(sys.argv[1] + "/log.db", "rb").close()
print(len(opened), opened)
"""


@pytest.mark.parametrize("processes", [8])
def test_many_writers_never_meet_a_locked_database(tmp_path, processes):
    open_store(tmp_path / "s", create=True).close()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "s"), TESTS, f"r{k}", "150"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(processes)
    ]
    counts = {}
    for k, process in enumerate(started):
        out, err = process.communicate(timeout=50)
        assert process.returncode == 0, err
        counts[f"r{k}"] = int(out)
    store = open_store(tmp_path / "s")
    assert {one.run_id: one.n for one in store.log.rows()} == counts
    assert min(counts.values()) > 150
    for one in store.log.rows():
        assert [stored.n for stored in store.log.stored(one.run)] == list(range(1, one.n + 1))
    witness = head.read(store.folder.head)
    assert witness.seq == sum(counts.values())
    assert witness == head.compute(store.log._connection)
    store.close()
    print(json.dumps({"processes": processes, "events": witness.seq}))


def audited(tmp_path, *control):
    command = [sys.executable, "-c", AUDIT, str(tmp_path / "s"), TESTS, *control]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True)
    return done.stdout.split(maxsplit=1)


def test_nothing_in_the_process_opens_the_database_behind_sqlite(tmp_path):
    count, opened = audited(tmp_path)
    assert count == "0", opened


def test_the_audit_would_notice(tmp_path):
    count, opened = audited(tmp_path, "control")
    assert count == "1"
    assert "log.db" in opened
