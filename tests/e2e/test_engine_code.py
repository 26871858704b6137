"""Where the code of a resumed run comes from, when no file gives it; and whose code is trusted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from crash.dying import check_log
from engine_rig import DEADLINE_S, dwf, environment, run_python, wait_for

import durable_wf as wf
from durable_wf.core import events as e
from durable_wf.core.status import RunStatus
from durable_wf.engine import code
from durable_wf.engine.view import load_definition, row_or_raise
from durable_wf.execute import bundle
from durable_wf.store import trust
from durable_wf.store.opening import open_store

RUN = "r"

CELL = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
import durable_wf as wf

@dataclass
class Pair:
    left: int
    right: int

    def total(self) -> int:
        return self.left + self.right

OFFSET = 100

def helper(x):
    return x + OFFSET

def make(folder) -> Pair:
    with (Path(folder) / "made").open("a") as file:
        file.write("made\\n")
    return Pair(1, 2)

def wait(folder):
    (Path(folder) / "came").touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.01)

def use(make: Pair):
    return helper(make.total()), isinstance(make, Pair)

workflow = (
    wf.WorkflowBuilder("cells")
    .add_task("make", make, parameters={"folder": FOLDER})
    .add_task("wait", wait, parameters={"folder": FOLDER}).after("make")
    .add_task("use", use).depends_on("make").after("wait")
    .add_task("last", lambda use: [use]).depends_on("use")
    .build()
)
wf.WorkflowEngine(STORE, workers=1).run(workflow, run_id="r")
"""

WAYS: dict[str, Callable[[Path, str], list[str]]] = {
    "python -c": lambda _, cell: ["-c", cell],
    "a notebook's cell": lambda _, cell: [
        "-c", f"exec(compile({cell!r}, '<ipython-input-7-0a1b2c3d>', 'exec'), globals())",
    ],
    "standard input": lambda folder, cell: [str(_write(folder / "stdin.py", cell)), "-"],
}  # fmt: skip


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def cell_of(folder: Path) -> str:
    return f"FOLDER = {str(folder)!r}\nSTORE = {str(folder / 's')!r}\n{CELL}"


def killed_while_it_waits(folder: Path, way: str) -> Path:
    """The store of a run whose code stands in no file, killed while its second task ran."""
    words = WAYS[way](folder, cell_of(folder))
    stdin = subprocess.PIPE
    text = None
    if words[-1] == "-":
        text = Path(words.pop(0)).read_text()
        os.unlink(folder / "stdin.py")
    process = subprocess.Popen(
        [sys.executable, *words], env=environment(), cwd=folder,
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        if text:
            process.stdin.write(text)
        process.stdin.close()
        process.stdin = None
        wait_for((folder / "came").exists, "the run to reach its second task")
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)
    (folder / "go").touch()
    return folder / "s"


@pytest.mark.parametrize("way", WAYS)
def test_functions_that_stand_in_no_file_are_resumed_from_what_was_stored(
    way: str, tmp_path: Path
) -> None:
    store = killed_while_it_waits(tmp_path, way)
    resumed = dwf(store, "resume", RUN)

    assert resumed.returncode == 0, resumed.stderr
    with wf.WorkflowEngine(store) as engine:
        succeeded = {
            r.event.task: r.event.value  # type: ignore[union-attr]
            for r in engine.history(RUN)
            if isinstance(r.event, e.AttemptSucceeded)  # type: ignore[union-attr]
        }
    assert "103" in str(succeeded["use"])
    assert "true" in str(succeeded["use"])
    assert (tmp_path / "made").read_text() == "made\n", "finished tasks did not run again"
    check_log(store, RUN)


def test_stored_code_that_another_user_signed_is_refused(tmp_path: Path) -> None:
    """Even when that store is trusted: its log may be read, its pickles are not opened."""
    store = killed_while_it_waits(tmp_path, "python -c")
    other = {"XDG_STATE_HOME": str(tmp_path / "other")}
    refused = run_python("-m", "durable_wf", "--store", store, "resume", RUN, "--trust", **other)

    assert refused.returncode not in (0, 1)
    assert "was not signed by this user" in refused.stderr
    assert dwf(store, "resume", RUN).returncode == 0, "the control: its own user may"


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a notebook's kernel, `__main__` is no file here."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def paused_cell(store: Path) -> None:
    """A paused run in this process whose one unfinished function stands in no file."""
    space: dict[str, object] = {"__name__": "__main__"}
    cell = "def first():\n    return 1\n\ndef second(first):\n    return first + 1\n"
    exec(compile(cell, "<ipython-input-1-00>", "exec"), space)
    builder = wf.WorkflowBuilder("w").add_task("first", space["first"])  # type: ignore[arg-type]
    builder.add_task("second", space["second"]).depends_on("first")  # type: ignore[arg-type]
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        engine.run(
            builder.build(),
            run_id=RUN,
            on_progress=lambda _: engine.pause(RUN),
        )


@pytest.mark.usefixtures("notebook")
def test_code_stored_under_another_python_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr(code, "_python", lambda: "3.99")
        paused_cell(store)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        before = engine.history(RUN)
        with pytest.raises(wf.NotSendable, match=r"under Python 3\.99; this is 3\.") as caught:
            engine.resume(RUN)
        assert engine.history(RUN) == before
    assert "resume with Python 3.99" in str(caught.value)


@pytest.mark.usefixtures("notebook")
def test_tampered_code_is_never_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can write the store can write fitting digests, but not the signature."""
    store = tmp_path / "s"
    paused_cell(store)
    opened = open_store(store)
    row = row_or_raise(opened.log, RUN)
    digest = load_definition(opened.log, row).tasks[0].function.by_value.partition(":")[0]
    data = opened.log.payload(digest)
    real = type(opened.log).payload
    opened.close()
    unpacked: list[bytes] = []
    monkeypatch.setattr(bundle, "unpack", lambda packed: unpacked.append(packed))
    for evil in (data[:-1] + b"!", b"\0" * 32 + data[32:], data[:40], b""):
        monkeypatch.setattr(
            "durable_wf.store.sqlite.SqliteLog.payload",
            lambda log, wanted, evil=evil: evil if wanted == digest else real(log, wanted),
        )
        with (
            wf.WorkflowEngine(store, executor_type="sequential") as engine,
            pytest.raises(wf.NotTrusted, match="not signed by this user"),
        ):
            engine.resume(RUN)

    assert unpacked == []


@pytest.mark.usefixtures("notebook")
def test_untampered_code_resumes(tmp_path: Path) -> None:
    """The control of the two above."""
    store = tmp_path / "s"
    paused_cell(store)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        assert engine.history()[0].status is RunStatus.PAUSED  # type: ignore[union-attr]
        assert engine.resume(RUN)["second"] == 2


# --- a store from elsewhere -----------------------------------------------------------------------


def test_a_store_of_unknown_origin_can_be_read_and_neither_run_nor_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is not imported before it is trusted."""
    folder, store = tmp_path / "code", tmp_path / "s"
    folder.mkdir()
    (folder / "from_elsewhere.py").write_text(
        "from pathlib import Path\n"
        "with (Path(__file__).parent / 'imported').open('a') as file:\n"
        "    file.write('x')\n"
        "def first():\n    return 1\n"
        "def second(first):\n    return first + 1\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    import from_elsewhere  # type: ignore[import-not-found]

    builder = wf.WorkflowBuilder("w").add_task("first", from_elsewhere.first)
    workflow = builder.add_task("second", from_elsewhere.second).depends_on("first").build()
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        paused = engine.run(workflow, run_id=RUN, on_progress=lambda _: engine.pause(RUN))
        assert paused.status is RunStatus.PAUSED
    del sys.modules["from_elsewhere"]
    (folder / "imported").unlink()

    monkeypatch.setattr(trust, "is_trusted", lambda _: False)
    monkeypatch.setattr("durable_wf.store.opening.is_trusted", lambda _: False)
    with wf.WorkflowEngine(store, executor_type="sequential") as engine:
        assert [row.run_id for row in engine.history()] == [RUN]  # type: ignore[union-attr]
        uses: list[Callable[[], object]] = [
            lambda: engine.run(workflow, run_id=RUN),
            lambda: engine.submit(workflow),
            lambda: engine.resume(RUN),
            engine.recover,
            lambda: engine.cancel(RUN),
            lambda: engine.pause(RUN),
        ]
        for use in uses:
            with pytest.raises(wf.NotTrusted, match="trust"):
                use()
        assert len(engine.history()) == 1
    assert not (folder / "imported").exists()
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(folder))
    with wf.WorkflowEngine(store, executor_type="sequential", trust=True) as engine:
        assert engine.resume(RUN)["second"] == 2
    assert (folder / "imported").exists()
