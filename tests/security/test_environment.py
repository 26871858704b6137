"""What passes between a process and its surroundings: environment, secrets, streams, encodings."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cli_rig import environment, rig_in
from security.evil import everything

from durable_wf.store import trust

CANARY = "canary-5e1f2a9b"

SCRIPT = '''
import json, logging, os, subprocess, sys
from durable_wf import WorkflowBuilder

def env():
    return dict(os.environ)

def child():
    """Environment and open files of a process that a task starts."""
    code = (
        "import json, os\\n"
        "files = []\\n"
        "for fd in os.listdir('/proc/self/fd'):\\n"
        "    try: files.append(os.readlink('/proc/self/fd/' + fd))\\n"
        "    except OSError: pass\\n"
        "print(json.dumps([dict(os.environ), files]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, close_fds=False, timeout=30
    )
    return json.loads(done.stdout)

def fail():
    secret = os.environ["API_TOKEN"]
    logging.getLogger("x").warning("a warning")
    raise ValueError("could not log in")

def tell():
    print(os.environ["API_TOKEN"])
    raise ValueError(os.environ["API_TOKEN"])

looks = WorkflowBuilder("looks").add_task("env", env).add_task("child", child).build()
fails = WorkflowBuilder("fails").add_task("fail", fail).build()
tells = WorkflowBuilder("tells").add_task("tell", tell).build()

if __name__ == "__main__":
    from durable_wf import WorkflowEngine
    with WorkflowEngine("s", executor_type=sys.argv[1], workers=1) as engine:
        result = engine.run(looks)
    print(json.dumps([result["env"], *result["child"]]))
'''

ADDED = {"DURABLE_WF_WORKER"}
THREADS = {
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
}  # fmt: skip


@pytest.fixture
def rig(tmp_path):
    (tmp_path / "looks.py").write_text(SCRIPT)
    return rig_in(tmp_path)


@pytest.mark.parametrize("executor", ["parallel", "sequential"])
def test_tasks_get_the_user_s_environment_and_one_variable_of_ours(rig, executor):
    """No key, no path of a lock or pipe; and no file of the store but their own lock and output."""
    env = environment({"API_TOKEN": CANARY})
    done = subprocess.run(
        [sys.executable, "looks.py", executor],
        cwd=rig.folder, env=env, capture_output=True, text=True, timeout=50, check=True,
    )  # fmt: skip
    own, childs, files = json.loads(done.stdout)
    for found in (own, childs):
        assert found["API_TOKEN"] == CANARY, "the control: the user's own is there"
        assert set(found) - set(env) <= ADDED | THREADS | {"LC_CTYPE"}
        assert {name: found[name] for name in env} == {name: env[name] for name in env}
    store = str(rig.folder / "s")
    ours = sorted({os.path.relpath(file, store) for file in files if file.startswith(store)})
    assert all(name.startswith(("locks/w-", "output/w-")) for name in ours), ours
    assert not any("signing.key" in file for file in files)


def test_values_of_the_environment_are_nowhere_in_the_store_unless_a_task_tells_them(rig):
    """Not with faults, tracebacks, logging, definitions or events."""
    env = {"API_TOKEN": CANARY, "DWF_DEBUG": "1"}
    shown = rig.execute("run", "looks.py:fails", "--id", "r", env=env)
    assert shown.code == 1
    texts = [shown.out, shown.err]
    for command in (
        ["show", "r", "-t", "fail"],
        ["show", "r", "--json"],
        ["events", "r", "--json"],
    ):
        told = rig.execute(*command, env=env)
        texts += [told.out, told.err]
    assert "could not log in" in "".join(texts)
    assert not any(CANARY in text for text in texts)
    files = everything(rig.folder / ".durable-wf")
    assert any(b"could not log in" in data for data in files.values())
    assert not any(CANARY.encode() in data for data in files.values())
    rig.execute("run", "looks.py:tells", env=env)
    told = everything(rig.folder / ".durable-wf")
    assert any(CANARY.encode() in data for data in told.values()), "the control: it can be found"


def test_the_signing_key_is_nowhere_in_what_is_kept_or_said(rig):
    key = trust.signing_key()
    shown = rig.execute("run", "looks.py:fails", env={"DWF_DEBUG": "1"})
    assert shown.code == 1
    for form in (key, key.hex().encode()):
        assert form not in (shown.out + shown.err).encode("utf-8", "surrogateescape")
        assert not any(form in data for data in everything(rig.folder / ".durable-wf").values())


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
def test_closed_streams_are_no_trouble_and_nothing_is_written_into_the_log(rig, closed):
    """Without a care the log would be opened as descriptor 1 or 2, and printed into."""
    command = " ".join(rig.command("run", "pipeline.py:workflow", "--id", "r"))
    done = subprocess.run(
        ["sh", "-c", f"{command} {closed}"],
        cwd=rig.folder, env=environment({}), capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert rig("db", "check").code == 0
    assert rig("show", "r", "--json").document["status"] == "succeeded"
    for args in ("list", "show r", "logs r", "events r --json", "show none"):
        look = " ".join(rig.command(*args.split()))
        done = subprocess.run(
            ["sh", "-c", f"{look} {closed}"],
            cwd=rig.folder, env=environment({}), capture_output=True, text=True, timeout=50,
            check=False,
        )  # fmt: skip
        assert done.returncode == (3 if args == "show none" else 0), done.stderr


@pytest.mark.parametrize(
    "args", ["list", "events r --json", "logs r", "show r", "graph r", "--help"]
)
def test_a_reader_that_goes_away_is_no_error(rig, args):
    assert rig.execute("run", "pipeline.py:workflow", "--id", "r").code == 0
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            rig.command(*args.split()),
            cwd=rig.folder, env=environment({}), stdout=nobody, stderr=subprocess.PIPE, text=True,
            timeout=50, check=False,
        )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


def test_a_full_output_is_an_error_and_not_a_success(rig):
    assert rig.execute("run", "pipeline.py:workflow", "--id", "r").code == 0
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            rig.command("list"),
            cwd=rig.folder, env=environment({}), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=50, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "No space left" in done.stderr


# --- encodings ------------------------------------------------------------------------------------

LOCALES = [
    {"LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "no_SUCH.locale"},
]


@pytest.mark.parametrize("env", LOCALES, ids=str)
def test_text_that_the_locale_cannot_show_is_escaped_and_kept(rig, env):
    assert (
        rig.execute("run", "pipeline.py:workflow", "--id", "r", "--tag", "Grüße \u2603").code == 0
    )
    for args in (["list"], ["show", "r"], ["events", "r"], ["graph", "r"], ["show", "Grüße"]):
        shown = rig.execute(*args, env=env)
        assert "internal error" not in shown.err
        assert shown.code in ({2, 3} if args[-1] == "Grüße" else {0})
    document = rig.execute("show", "r", "--json", env=env).document
    assert document["tags"] == ["Grüße \u2603"]
    again = rig.execute("run", "pipeline.py:workflow", "--id", "s", "--tag", "Grüße", env=env)
    assert again.code == 0
    assert rig.execute("show", "s").code == 0
