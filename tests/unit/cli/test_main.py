"""`dwf` itself: start-up loads nothing heavy, help is whole, each error has its exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from durable_wf import errors
from durable_wf.cli import exits
from durable_wf.cli.exits import CODES, Exit, code_of, code_of_run
from durable_wf.cli.main import COMMANDS, dwf
from durable_wf.cli.states import INTERRUPTED
from durable_wf.core.status import RunStatus
from durable_wf.execute import launch

HEAVY = {
    "cattrs",
    "cloudpickle",
    "dill",
    "multiprocess",
    "numpy",
    "psutil",
    "rich",
    "sqlite_utils",
    "sqlite3",
    "asyncio",
}


def loaded_by(*args: str) -> set[str]:
    """Top modules that a command has imported when it ends."""
    code = (
        "import sys, io\n"
        "from durable_wf.cli.main import dwf\n"
        "sys.stdout = io.StringIO()\n"
        "try: dwf.main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "sys.__stdout__.write(' '.join({m.partition('.')[0] for m in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=30, check=True
    )
    return set(done.stdout.split())


def test_help_loads_nothing_heavy():
    assert not loaded_by("--help") & HEAVY


def test_a_list_loads_the_store_and_nothing_more(tmp_path):
    loaded = loaded_by("list", "--store", str(tmp_path / "nowhere"))
    assert "sqlite3" in loaded
    assert not loaded & (HEAVY - {"sqlite3"})


@pytest.mark.parametrize(
    ("args", "warmed"),
    [
        (["resume", "none"], 1),
        (["run", "none.py:w"], 1),
        (["resume", "none", "--dry-run"], 0),
        (["run", "none.py:w", "--executor", "sequential"], 0),
        (["run", "--help"], 0),
        (["list"], 0),
        (["nonsense"], 0),
    ],
)
def test_workers_begin_to_load_before_the_command_that_needs_them(
    args, warmed, tmp_path, monkeypatch
):
    calls = []
    monkeypatch.setattr(launch, "warm_up", lambda: calls.append(1))
    CliRunner().invoke(dwf, ["--store", str(tmp_path / "none"), *args])
    assert len(calls) == warmed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_explains_itself(name):
    command = dwf.get_command(click.Context(dwf), name)
    assert command is not None
    assert command.name == name
    assert command.help
    shown = CliRunner().invoke(dwf, [name, "--help"])
    assert shown.exit_code == 0
    assert "Usage: dwf" in shown.output
    for inner in _leaves(command):
        assert inner.help, inner.name
        assert inner.help.splitlines()[0].endswith("."), inner.name
        assert any(parameter.name == "store" for parameter in inner.params), inner.name
        for parameter in inner.params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{inner.name} {parameter.name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name):
    command = dwf.get_command(click.Context(dwf), name)
    shown = [inner for inner in _leaves(command) if name != "demo"]
    assert all("Examples" in (inner.epilog or "") for inner in shown)


def _leaves(command: click.Command | None) -> list[click.Command]:
    if isinstance(command, click.Group):
        return [leaf for inner in command.commands.values() for leaf in _leaves(inner)]
    assert command is not None
    return [command]


@pytest.mark.parametrize("words", [[], ["db"], ["audit"], ["rules"]])
def test_who_names_no_command_is_shown_those_there_are(words):
    """As other tools do it: that is no error of theirs, but nothing was done either."""
    shown = CliRunner().invoke(dwf, words, prog_name="dwf")
    assert shown.exit_code == Exit.USAGE
    assert shown.stderr.startswith(" ".join(["Usage: dwf", *words, "[OPTIONS]"]))
    assert "error:" not in shown.output
    assert "hint:" not in shown.output


def test_a_mistyped_command_is_understood():
    shown = CliRunner().invoke(dwf, ["lst"])
    assert shown.exit_code == Exit.USAGE
    assert "Did you mean 'list'?" in shown.stderr


EXPECTED = {
    errors.RunFailed: 1,
    errors.DefinitionError: 2,
    errors.CycleError: 2,
    errors.NotSendable: 2,
    errors.NotFound: 3,
    errors.WrongState: 4,
    errors.OwnedElsewhere: 4,
    errors.RunConflict: 4,
    errors.CodeChanged: 4,
    errors.StoreBusy: 5,
    errors.NewerSchema: 5,
    errors.LostTail: 5,
    errors.UnsafeStore: 5,
    errors.PayloadMissing: 5,
    errors.HistoryError: 5,
    errors.NotTrusted: 5,
    errors.VerificationFailed: 6,
    errors.Interrupted: 130,
    KeyboardInterrupt: 130,
    ValueError: 70,
}


@pytest.mark.parametrize("cls", EXPECTED)
def test_each_error_has_its_exit_code(cls):
    assert code_of(cls.__new__(cls)) == EXPECTED[cls]


def test_no_error_of_the_package_is_taken_for_an_internal_one():
    known = [cls for cls in vars(errors).values() if isinstance(cls, type)]
    for cls in known:
        if issubclass(cls, errors.DurableWorkflowError) and cls is not errors.DurableWorkflowError:
            assert any(base in CODES for base in cls.__mro__[:-3]), cls


def test_how_a_run_stands_is_an_exit_code():
    assert code_of_run(RunStatus.SUCCEEDED) == 0
    assert code_of_run(RunStatus.FAILED) == 1
    assert code_of_run(RunStatus.CANCELLED) == 8
    assert code_of_run(RunStatus.PAUSED) == 7
    assert code_of_run(INTERRUPTED) == 4


def test_an_error_says_what_and_what_next(capsys):
    error = errors.NotFound("there is no run 'x'", hint="dwf list")
    assert exits.report(error, as_json=False, debug=False) == Exit.NOT_FOUND
    assert capsys.readouterr().err == "error: there is no run 'x'\n  hint: dwf list\n"


def test_an_error_as_json_is_one_document_on_stderr(capsys):
    error = errors.WrongState("it has ended", hint="dwf show r")
    exits.report(error, as_json=True, debug=False)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["error"] == {
        "type": "WrongState",
        "message": "it has ended",
        "hint": "dwf show r",
        "code": 4,
    }


@pytest.mark.parametrize("debug", [False, True])
def test_a_traceback_comes_only_when_it_is_asked_for(capsys, debug):
    exits.report(ValueError("oops"), as_json=False, debug=debug)
    err = capsys.readouterr().err
    assert "internal error: ValueError: oops" in err
    assert ("Traceback" in err or "ValueError: oops\n" in err.partition("error:")[0]) == debug


def test_debug_can_be_set_in_the_environment(capsys, monkeypatch):
    monkeypatch.setenv("DWF_DEBUG", "1")
    try:
        raise ValueError("oops")
    except ValueError as error:
        exits.report(error, as_json=False, debug=False)
    assert "Traceback" in capsys.readouterr().err


def test_what_a_signal_interrupted_can_be_resumed(capsys):
    code = exits.report(errors.Interrupted("etl-1", 2), as_json=False, debug=False)
    assert code == Exit.INTERRUPTED
    assert "dwf resume etl-1" in capsys.readouterr().err
