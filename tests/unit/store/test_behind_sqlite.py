"""Nobody in the process opens the database behind SQLite's back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = str(Path(__file__).parents[2])

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
