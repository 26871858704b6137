"""What people and programs say to tasks (comments, values, names, questions) is told harmlessly."""

from __future__ import annotations

import json
import shlex

import pytest
from cli_rig import rig_in
from security.evil import AT, EVIL, forget
from security.test_terminal import FORGED_LINE, on_a_terminal, steering

from durable_wf.core import events as e
from durable_wf.core.definition import FunctionRef, Task, WaitFor, Workflow
from durable_wf.core.events import Recorded
from durable_wf.core.evolve import replay
from durable_wf.core.state import RunState, row_of
from durable_wf.core.status import FaultKind, Verdict, WaitKind
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.port import Batch, RunAppend

F = FunctionRef("f", module="m")


def forged_waiting(folder):
    """A run that waits for everything there is to wait for, with such texts everywhere."""
    definition = Workflow("w", (
        Task("a", F, wait=WaitFor(WaitKind.APPROVAL, question=EVIL, whom=EVIL)),
        Task("s", F, wait=WaitFor(WaitKind.SIGNAL, EVIL)),
        Task("t", F),
        Task("done", F, wait=WaitFor(WaitKind.APPROVAL, question=EVIL)),
    ))  # fmt: skip
    text = definition.to_json().encode()
    answer = json.dumps({"approved": True, "by": EVIL, "comment": EVIL})
    events = [
        e.RunCreated("w", digest_of(text), 4),
        e.RunClaimed("e-12345678", "create"),
        e.RunStarted(),
        e.TaskWaiting("a", WaitKind.APPROVAL),
        e.TaskWaiting("s", WaitKind.SIGNAL),
        e.TaskWaiting("done", WaitKind.APPROVAL),
        e.OperatorDecided("done", Verdict.APPROVE, EVIL, EVIL, json.dumps(EVIL)),
        e.TaskCompleted("done", answer, EVIL),
        e.SignalReceived(EVIL + "!", json.dumps(EVIL), EVIL),
        e.AttemptStarted("t", 1, "w-12345678-0", 77, 88),
        e.AttemptFailed("t", 1, e.Fault(FaultKind.ERROR, EVIL)),
        e.TaskEscalated("t", EVIL, EVIL, EVIL, whom=EVIL),
    ]
    history = [Recorded(n, AT + n, event) for n, event in enumerate(events, 1)]
    row = row_of(replay(RunState.of("forged", definition), history))
    store = open_store(folder, create=True)
    append = RunAppend(0, "forged", 0, history, row)
    store.log.append(Batch(appends=[append], payloads=[(digest_of(text), text)]))
    store.close()
    forget(folder)
    return folder


@pytest.fixture(scope="module")
def forged(tmp_path_factory):
    return forged_waiting(tmp_path_factory.mktemp("forged") / "s")


COMMANDS = [
    ["inbox"], ["show", "@last"], ["show", "@last", "-t", "a"], ["show", "@last", "-t", "t"],
    ["show", "@last", "-t", "done"], ["watch", "@last"], ["events", "@last"], ["list"],
    ["why", "@last", "a"], ["why", "@last", "t"], ["why", "@last", "s"], ["why", "@last", "done"],
    ["graph", "@last"], ["approve", "@last", "done"], ["approve", "@last", EVIL.replace("\0", "")],
    ["signal", "@last", EVIL.replace("\0", ""), "1"], ["inbox", "--whom", EVIL.replace("\0", "")],
    ["resolve", "@last", "t", "--value", EVIL.replace("\0", "")],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c).replace(EVIL, "EVIL")[:20])
def test_nothing_of_it_steers_the_terminal(forged, command):
    seen = on_a_terminal(forged.parent, *command, "--store", str(forged))
    assert not steering(seen), seen
    assert seen.strip()
    if EVIL.replace("\0", "") not in command:
        assert FORGED_LINE not in seen


@pytest.mark.parametrize(
    "command", [["inbox"], ["show", "@last"], ["events", "@last"], ["why", "@last", "a"]]
)
def test_json_is_json_in_plain_ascii_and_says_it_exactly(forged, command):
    shown = rig_in(forged.parent)(*command, "--json", "--store", forged)
    assert shown.code == 0, shown.err
    assert shown.out.isascii()
    found = [json.loads(line) for line in shown.out.splitlines()]
    if command == ["inbox"]:
        assert {one["question"] for one in found if one["what"] != "signal"} == {EVIL}
        assert {one["signal"] for one in found if one["what"] == "signal"} == {EVIL}


def test_a_line_that_is_shown_is_one_command_of_a_shell(forged):
    """Whatever the name of a signal, it is one word, and no word is another command."""
    for one in rig_in(forged.parent)("inbox", "--json", "--store", forged).lines:
        for line in one["commands"]:
            words = shlex.split(line)
            assert words[0] == "dwf"
            assert words[1] in {"approve", "reject", "resolve", "signal"}
            assert words[2] == "forged"
            assert "\n" not in line


@pytest.mark.parametrize("command", [["approve", "@last", "a"], ["signal", "@last", EVIL, "1"]])
def test_a_store_of_somebody_else_takes_no_answers(forged, command):
    """It is not written: its code would run with what we said."""
    before = (forged / "log.db").read_bytes()
    shown = rig_in(forged.parent)(*[w.replace("\0", "") for w in command], "--store", forged)
    assert shown.code == 5
    assert "--trust" in shown.err
    assert (forged / "log.db").read_bytes() == before


def test_a_comment_comes_back_as_it_was_said(tmp_path):
    """Nothing is taken out of it where it is kept; only the screen is protected."""
    rig = rig_in(tmp_path)
    (tmp_path / "flow.py").write_text(
        "import durable_wf as wf\n"
        "workflow = wf.WorkflowBuilder('w').add_task('a', wf.approval('q?')).build()\n"
    )
    assert rig("run", "flow.py:workflow", "--id", "r", "-q").code == 7
    comment = EVIL.replace("\0", "")
    assert rig("approve", "r", "a", "-m", comment).code == 0
    (decided,) = rig("events", "r", "-k", "OperatorDecided", "--json").lines
    assert decided["body"]["comment"] == comment
    seen = on_a_terminal(tmp_path, "events", "r") + on_a_terminal(tmp_path, "approve", "r", "a")
    assert not steering(seen)
    assert FORGED_LINE not in seen
