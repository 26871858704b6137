"""`dwf resume --dry-run`, `dwf recover --dry-run`: they tell what would be and write nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_rig import kill, rig_in
from security.evil import forget

FLOW = """
import time
from pathlib import Path
import durable_wf as wf

def step(number):
    with Path("marks").open("a") as file:
        file.write(f"{number}\\n")
    while number == 2 and not Path("go").exists():
        time.sleep(0.01)
    return number

builder = wf.WorkflowBuilder("flow", rules=[wf.retry(2, losses=3), wf.keep_going()])
for number in range(4):
    builder.add_task(f"step{number}", step, parameters={"number": number})
    if number:
        builder.after(f"step{number - 1}")
flow = builder.build()
"""


@pytest.fixture
def dwf(tmp_path):
    """`dwf` where a run was killed in its third task."""
    rig = rig_in(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW)
    process = rig.start("run", "flow.py:flow", "--id", "r")
    rig.wait_for_marks(3)
    kill(process)
    return rig


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a store; the -shm is no content, but the index that SQLite shares in memory."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith("-shm")
    }


def test_the_dry_run_tells_what_the_resume_then_does(dwf):
    told = dwf("resume", "r", "--dry-run", "--json")
    assert told.code == 0, told.err
    document = told.document
    assert document["reused"] == ["step0", "step1"]
    (decision,) = document["decisions"]
    assert (decision["task"], decision["attempt"], decision["in_doubt"]) == ("step2", 1, True)
    assert [said["rule"] for said in decision["rules"]] == ["retry up to 2 attempts", "keep going"]
    assert (document["starts"], document["later"]) == (["step2"], ["step3"])
    assert document["refused"] == []
    dwf.go()
    assert dwf("resume", "r", "--quiet").code == 0
    assert dwf.marks() == ["0", "1", "2", "2", "3"]
    explained = dwf("rules", "explain", "r", "step2", "--json").document["decisions"]
    assert explained[0]["rule"] == decision["decision"]["rule"]
    assert explained[0]["reason"] == decision["decision"]["reason"]
    assert explained[0]["facts"] == decision["decision"]["facts"]


def test_people_read_the_same(dwf):
    told = dwf("resume", "r", "--dry-run")
    assert told.code == 0, told.err
    assert "run r would be resumed; nothing was written" in told.out
    assert "reused       2: step0, step1" in told.out
    assert "-> retry up to 2 attempts (version 1): try again at once" in told.out
    assert "keep going (version 1): no answer" in told.out
    assert "starts       1: step2" in told.out
    recovered = dwf("recover", "--dry-run")
    assert recovered.code == 0
    assert "run r would be recovered; nothing was written" in recovered.out


ASKING = """
import durable_wf as wf

def load():
    raise ValueError("no rows")

flow = wf.WorkflowBuilder("f").add_task("load", load).on_fault(wf.escalate(whom="ops")).build()
"""


def test_what_waits_for_a_person_is_told_as_the_inbox_tells_it(tmp_path):
    rig = rig_in(tmp_path)
    (tmp_path / "asking.py").write_text(ASKING)
    ran = rig("run", "asking.py:flow", "--id", "a", "--quiet")
    assert ran.code == 7
    assert "  1 task: 1 waiting" in ran.out
    told = rig("resume", "a", "--dry-run")
    assert "load for a decision of ops: task 'load' failed" in told.out
    refused = rig("approve", "a", "load")
    assert refused.code == 4
    assert "waits for no approval but for a decision (dwf resolve)" in refused.err


def test_nothing_is_written(dwf):
    """Not one byte of the store, nor compiled code beside the script; and the next one sees the
    same. The control: a real resume changes both.
    """
    store = dwf.folder / ".durable-wf"
    before, names = bytes_of(store), {path.name for path in dwf.folder.iterdir()}
    first = dwf("resume", "r", "--dry-run", "--json")
    assert dwf("recover", "--dry-run").code == 0
    assert dwf("resume", "r", "--dry-run", "--json").document == first.document
    assert bytes_of(store) == before
    assert {path.name for path in dwf.folder.iterdir()} == names
    dwf.go()
    assert dwf("resume", "r", "--quiet").code == 0
    assert bytes_of(store) != before


def test_changed_code_is_named_and_would_be_refused(dwf):
    text = FLOW.replace("return number", "return number + 1")
    (dwf.folder / "flow.py").write_text(text)
    told = dwf("resume", "r", "--dry-run")
    assert told.code == 4
    assert "would not be resumed" in told.out
    assert "the code of step2, step3 (--accept-changes)" in told.out
    accepted = dwf("resume", "r", "--dry-run", "--accept-changes", "--json")
    assert accepted.code == 0
    assert accepted.document["changed"] == ["step2", "step3"]


def test_a_missing_script_only_means_that_rules_are_not_at_hand(dwf):
    (dwf.folder / "flow.py").unlink()
    told = dwf("resume", "r", "--dry-run")
    assert told.code == 4
    assert "rules        not at hand, so the default is asked" in told.out
    assert "-> in doubt: run again: try again at once" in told.out
    assert "starts       1: step2" in told.out
    document = dwf("recover", "--dry-run", "--json").document
    assert "flow.py" in document["no_code"]
    assert document["decisions"][0]["rules"] == []


def test_a_foreign_store_is_read_and_its_code_is_not_loaded(dwf):
    """With --trust it would be; then, too, nothing is written, and it stays foreign."""
    store = dwf.folder / ".durable-wf"
    (dwf.folder / "flow.py").write_text(FLOW + "\nPath('loaded').touch()\n")
    forget(store)
    before = bytes_of(store)
    told = dwf("resume", "r", "--dry-run", "--json")
    assert told.code == 4
    assert "not made by this user" in told.document["refused"][0]
    assert told.document["starts"] == ["step2"]
    assert not (dwf.folder / "loaded").exists()
    trusting = dwf("resume", "r", "--dry-run", "--json", "--trust")
    assert (trusting.code, trusting.document["no_code"]) == (0, "")
    assert (dwf.folder / "loaded").exists()
    assert bytes_of(store) == before
    assert dwf("resume", "r", "--dry-run").code == 4


def test_what_would_be_refused_at_once_is_the_error_that_it_would_be(dwf):
    dwf.go()
    assert dwf("resume", "r", "--quiet").code == 0
    ended = dwf("resume", "r", "--dry-run")
    assert ended.code == 4
    assert "has ended" in ended.err
    nothing = dwf("recover", "--dry-run")
    assert nothing.code == 0
    assert "no run was interrupted" in nothing.err
