"""Nothing that was stored or sent is ever run by being looked at: pickles, names, results."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest
from cli_rig import ROOT, environment, rig_in
from security import evil
from security.evil import Texts, forge, forget, written

import durable_wf
from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.core.definition import FunctionRef, PayloadRef, Task, Workflow
from durable_wf.core.values import NO_CLASSES
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.errors import DurableWorkflowError, NotReadable, NotTrusted
from durable_wf.execute import pickling
from durable_wf.execute.calls import read_value
from durable_wf.store import trust
from durable_wf.store.opening import open_store
from durable_wf.store.payload_files import digest_of
from durable_wf.store.portable import export_run

LOOKING = [
    ["list"], ["list", "--json"], ["show", "@last"], ["show", "@last", "--json"],
    ["show", "@last", "-t", "t"], ["events", "@last"], ["events", "@last", "--json"],
    ["events", "@store"], ["logs", "@last"], ["graph", "@last"], ["graph", "@last", "-f", "svg"],
    ["watch", "@last"], ["db", "check"], ["audit", "verify"], ["audit", "head"],
    ["breakers"],
]  # fmt: skip


class Bomb:
    """Unpickling this makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.fixture
def dwf(tmp_path):
    return rig_in(tmp_path)


def imports_of(folder, *args):
    """Names of all modules that a command imports."""
    code = (
        "import sys\nfrom durable_wf.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=folder, env=environment({}), capture_output=True, text=True, check=True, timeout=40,
    )  # fmt: skip
    return set(done.stderr.split())


def test_pickles_in_a_database_are_never_unpickled(tmp_path, dwf):
    """Not as payloads, not in bodies, not in files, whoever looks."""
    marker = tmp_path / "marker"
    data = pickle.dumps(Bomb(marker))
    signed = b"dwf-pickle-1\n" + bytes(32) + data
    code = bytes(32) + b'durable_wf bundle 1 {"python": "3.11", "by_value": []}\n' + data
    digest = digest_of(code)
    ref = FunctionRef("f", by_value=f"{digest}:0", python=".".join(map(str, sys.version_info[:2])))
    folder = forge(tmp_path / "s", Texts(function=ref, free=repr(data)))
    with written(folder / "log.db") as connection:
        for blob in (data, signed, code):
            connection.execute("INSERT INTO payloads VALUES (?, 0, ?)", (digest_of(blob), blob))
    for command in LOOKING:
        dwf(*command, "--store", folder)
        assert not marker.exists(), command
    exported, fresh = tmp_path / "x.dwf", tmp_path / "fresh"
    assert dwf("export", "@last", exported, "--store", folder).code == 0
    for command in LOOKING:
        dwf(*command, "--store", exported)
    assert dwf("import", exported, "--store", fresh).code == 0
    assert dwf("show", "@last", "--store", fresh).code == 0
    assert dwf("db", "backup", tmp_path / "b.tar", "--store", folder).code == 0
    assert not marker.exists()
    pickle.loads(data)
    assert marker.exists(), "the bomb is a bomb"


def test_stored_code_that_this_user_has_not_signed_is_not_unpacked_even_when_trusted(tmp_path):
    marker = tmp_path / "marker"
    code = bytes(32) + b'durable_wf bundle 1 {"python": "3.11", "by_value": []}\n'
    code += pickle.dumps(Bomb(marker))
    digest = digest_of(code)
    ref = FunctionRef("f", by_value=f"{digest}:0", python=".".join(map(str, sys.version_info[:2])))
    folder = forge(tmp_path / "s", Texts(function=ref))
    with written(folder / "log.db") as connection:
        connection.execute("INSERT INTO payloads VALUES (?, 0, ?)", (digest, code))
    with (
        pytest.raises(NotTrusted, match="not signed by this user"),
        WorkflowEngine(folder, executor_type="sequential", trust=True) as engine,
    ):
        engine.resume("forged")
    assert not marker.exists()


@pytest.mark.parametrize("key", [b"another key", b""])
def test_a_pickled_value_of_another_user_is_not_unpickled(tmp_path, key):
    marker = tmp_path / "marker"
    data = pickling.pack(Bomb(marker), key)
    with pytest.raises(NotReadable, match="not signed"):
        pickling.unpack(data, b"my key")
    with pytest.raises(NotReadable):
        read_value(_ref(data), NO_CLASSES, data)
    assert not marker.exists()
    pickling.unpack(data, key)
    assert marker.exists()


def _ref(data):
    return PayloadRef(digest_of(data), len(data), "pickle")


def make_bomb(path):
    return Bomb(path)


@pytest.mark.parametrize("executor", ["sequential", "parallel"])
def test_a_result_with_reduce_never_runs_in_the_engine(tmp_path, executor):
    """What JSON cannot hold is refused; it is not unpickled to find out what it is."""
    marker = tmp_path / "marker"
    builder = WorkflowBuilder("w").add_task("t", make_bomb, parameters={"path": str(marker)})
    with WorkflowEngine(tmp_path / "s", executor_type=executor, workers=1) as engine:
        result = engine.run(builder.build(), check=False)
    assert result.failures()["t"].kind.value == "not_storable"
    assert not marker.exists()


# --- names of code --------------------------------------------------------------------------------

MODULE = "antigravity"
"""A module of the standard library that nothing needs."""


@pytest.fixture
def named(tmp_path):
    """A store whose definition names functions of modules, and a script, that must not run."""
    (tmp_path / "evil_script.py").write_text("import os\nos.mkdir('marker')\n")
    return tmp_path


@pytest.mark.parametrize(
    "ref",
    [
        FunctionRef("system", module="os"),
        FunctionRef("geohash", module=MODULE),
        FunctionRef("f", file="evil_script.py"),
    ],
)
def test_reading_imports_nothing_that_a_definition_names(named, dwf, ref):
    folder = forge(named / "s", Texts(function=ref))
    for command in LOOKING:
        dwf(*command, "--store", folder)
    assert MODULE not in sys.modules
    assert MODULE not in imports_of(named, "show", "@last", "--store", str(folder))
    assert not (named / "marker").exists()


@pytest.mark.parametrize("command", [["resume", "@last"], ["recover"]])
def test_resuming_an_untrusted_store_imports_nothing(named, command):
    ref = FunctionRef("geohash", module=MODULE)
    folder = forge(named / "s", Texts(function=ref))
    found = imports_of(named, *command, "--store", str(folder))
    assert "durable_wf.engine.facade" in found
    assert MODULE not in found
    before = evil.everything(folder)
    with pytest.raises(NotTrusted), WorkflowEngine(folder, executor_type="sequential") as engine:
        engine.resume("forged")
    assert evil.everything(folder) == before


def test_resuming_a_trusted_store_does_import(named, monkeypatch):
    """The positive control of the tests above."""
    (named / "imported_on_resume.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    monkeypatch.chdir(named)
    monkeypatch.syspath_prepend(str(named))
    folder = forge(named / "s", Texts(function=FunctionRef("f", module="imported_on_resume")))
    with (
        pytest.raises(DurableWorkflowError, match="cannot be imported"),
        WorkflowEngine(folder, executor_type="sequential", trust=True) as engine,
    ):
        engine.resume("forged")
    assert (named / "ran").exists()


@pytest.mark.parametrize("command", ["graph", "plan"])
def test_looking_at_a_definition_file_does_not_run_the_scripts_that_it_names(named, dwf, command):
    flow = Workflow("w", (Task("t", FunctionRef("f", file=str(named / "evil_script.py"))),))
    (named / "flow.json").write_text(flow.to_json())
    shown = dwf.execute(command, "flow.json")
    assert shown.code == 0
    assert "t" in shown.out
    assert not (named / "marker").exists()
    dwf.execute("run", "flow.json")
    assert (named / "marker").exists(), "running it does"


# --- trust ----------------------------------------------------------------------------------------


def test_an_export_does_not_tell_the_id_that_its_owner_s_engines_trust(tmp_path):
    """Else who receives it could make a store that the owner's engines take for their own."""
    folder = forge(tmp_path / "s", Texts())
    store = open_store(folder, readonly=True)
    export_run(store, "forged", tmp_path / "x.dwf")
    store.close()
    assert store.id.encode() in (folder / "log.db").read_bytes()
    assert store.id.encode() not in (tmp_path / "x.dwf").read_bytes()


@pytest.mark.parametrize("claimed", ["x\n{other}", "", "{other}\n", "0" * 33, "A" * 32])
def test_trusting_a_store_trusts_no_other(tmp_path, claimed):
    """Ids stand one a line in the user's list: an id with a line break would add two."""
    first, second = forge(tmp_path / "a", Texts()), forge(tmp_path / "b", Texts())
    other = open_store(second, readonly=True)
    other.close()
    with written(first / "log.db") as connection:
        text = claimed.format(other=other.id)
        connection.execute("UPDATE meta SET value = ? WHERE key = 'store_id'", (text,))
    with pytest.raises(DurableWorkflowError, match="is not the id"):
        open_store(first, trust=True)
    store = open_store(second)
    assert not store.writable
    store.close()


def test_the_key_and_the_list_of_stores_are_private_and_outside_of_stores(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = os.umask(0)
    try:
        open_store(tmp_path / "s", create=True).close()
        key = trust.signing_key()
    finally:
        os.umask(before)
    state = trust.state_folder()
    assert {path.name for path in state.iterdir()} == {"stores", "signing.key"}
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    assert not state.is_relative_to(tmp_path / "s")
    assert all(key not in data for data in evil.everything(tmp_path / "s").values())


def test_a_store_that_was_forgotten_can_be_read_and_not_written(tmp_path):
    """The rig's `forget` does what it says."""
    open_store(tmp_path / "s", create=True).close()
    mine = open_store(tmp_path / "s")
    assert mine.writable
    mine.close()
    forget(tmp_path / "s")
    foreign = open_store(tmp_path / "s")
    assert not foreign.writable
    foreign.close()


def test_the_package_is_the_one_of_this_folder():
    """Processes that these tests start run what is being tested."""
    assert str(ROOT) in str(durable_wf.__file__)
