"""An attempt works in the surroundings of its engine as they are when its run begins, and leaves
none of its own to the next.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile

import chores
import pytest
from pool_rig import Rig

from durable_wf.core.inputs import Failed, Succeeded
from durable_wf.execute.port import Limits


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    with Rig(tmp_path_factory.mktemp("store")) as rig:
        yield rig


def leave_in_deleted_folder():
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def move_behind_our_back():
    import ctypes

    ctypes.CDLL(None).chdir(b"/")


def change_everything():
    os.chdir("/")
    os.environ["LEFT_BEHIND"] = "yes"
    os.environ.pop("HOME", None)
    os.umask(0o777)


def see():
    umask = os.umask(0o022)
    os.umask(umask)
    return [os.getcwd(), os.environ.get("LEFT_BEHIND"), os.environ.get("HOME"), umask]


def seen_here():
    return see()


def test_a_task_that_stays_in_a_deleted_folder_does_not_keep_others_there(rig):
    rig.value(leave_in_deleted_folder)
    assert rig.value(chores.where) == os.getcwd()


def test_a_folder_changed_by_c_code_is_found_before_the_next_attempt_that_is_not_tiny(rig):
    rig.value(move_behind_our_back)
    assert rig.value(chores.where) == os.getcwd()


def test_tiny_tasks_of_one_batch_do_not_see_what_others_have_changed(rig):
    """They follow one another within microseconds."""
    seat = rig.ready()[0]
    functions = [change_everything, see] * 50 + [leave_in_deleted_folder, see]
    batch = [rig.make(function, on=seat, estimate_us=10) for function in functions]
    rig.executor.start(batch)
    reports = rig.wait(*[a.seq for a in batch])
    assert all(isinstance(report, Succeeded) for report in reports)
    want = rig.value(seen_here)
    assert want[:2] == [os.getcwd(), None]
    values = [report.value for report in reports[1::2]]
    assert set(values) == {rig.run(seen_here).value}


def test_limits_of_an_attempt_do_not_reach_the_next_one_of_its_batch(rig):
    seat = rig.ready()[0]
    batch = [
        rig.make(env_of_threads, on=seat, estimate_us=10, limits=Limits(cpu=cpu))
        for cpu in (3.0, 1.0)
    ]
    rig.executor.start(batch)
    first, second = rig.wait(*[a.seq for a in batch])
    assert first.value == '"3"'
    assert second.value != '"3"'


def env_of_threads():
    return os.environ.get("OMP_NUM_THREADS")


# --- the engine's own changes ---------------------------------------------------------------------


def test_a_run_gets_the_surroundings_its_engine_has_when_it_begins(rig, tmp_path, monkeypatch):
    """As in a notebook, which changes them between two runs of one engine."""
    monkeypatch.setenv("SET_BEFORE", "old")
    monkeypatch.setenv("GONE_LATER", "here")

    def about():
        return [os.getcwd(), os.environ.get("SET_BEFORE"), os.environ.get("GONE_LATER"),
                os.environ.get("DURABLE_WF_WORKER")]  # fmt: skip

    def about_first():
        return about()

    def about_second():
        import only_found_later

        return [*about(), only_found_later.VALUE]

    before = rig.value(about_first)
    here = os.getcwd()
    assert before[:3] == [here, "old", "here"]
    (tmp_path / "only_found_later.py").write_text("VALUE = 7\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SET_BEFORE", "new")
    monkeypatch.delenv("GONE_LATER")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert rig.value(about_second) == [str(tmp_path), "new", None, before[3], 7]
    assert rig.value(about_first) == before


def test_an_environment_that_importing_the_code_makes_stays(rig, tmp_path, monkeypatch):
    """A module is imported once in a worker; what it does then, it does not do again."""
    (tmp_path / "sets_on_import.py").write_text(
        "import os\nos.environ['SET_ON_IMPORT'] = 'yes'\n"
        "def get():\n    return os.environ.get('SET_ON_IMPORT')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import sets_on_import

    monkeypatch.delenv("SET_ON_IMPORT")
    assert rig.value(sets_on_import.get) == "yes"
    assert rig.value(sets_on_import.get) == "yes"
    assert rig.value(chores.nothing) is None
    assert rig.value(sets_on_import.get) == "yes"


def test_an_attempt_whose_folder_is_gone_says_so_and_does_not_run_elsewhere(
    rig, tmp_path, monkeypatch
):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def where():
        return os.getcwd()

    assert rig.value(where) == str(folder)
    monkeypatch.chdir(tmp_path)
    assert rig.value(lambda: os.getcwd()) == str(tmp_path)
    shutil.rmtree(folder)
    report = rig.run(where)
    assert isinstance(report, Failed)
    assert "the folder of this run cannot be entered" in report.fault.message
    assert str(folder) in report.fault.message
    assert rig.value(lambda: os.getcwd()) == str(tmp_path)
