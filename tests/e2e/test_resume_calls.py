"""A script that makes several runs: each goes on with the code of the call that made it."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cli_rig import Ended, Rig, end, environment, kill, wait_for

from durable_wf.cli.exits import Exit

HEAD = '''
import dataclasses, functools, sys, threading, time
from pathlib import Path
import durable_wf as wf

HERE = Path(__file__).resolve().parent
STOP = sys.argv[1:] or ["us"]

def note(text):
    with (HERE / "notes").open("a") as file:
        file.write(text + "\\n")

def pause(region):
    """Of the regions to stop in, this says that it has come, and waits until it may go on."""
    note(f"work {region}")
    if region in STOP:
        (HERE / f"came-{region}").touch()
        while not (HERE / "go").exists():
            time.sleep(0.01)
    return region

def of(work, last, name="daily", **options):
    return (
        wf.WorkflowBuilder(name)
        .add_task("work", work, **options)
        .add_task("last", last).depends_on("work")
        .build()
    )

def engine():
    return wf.WorkflowEngine(HERE / ".durable-wf", workers=2)

def end(region, work):
    note(f"last {region} got {work}")
    return region

'''

BUILDS = {
    "a method": """
class Job:
    def __init__(self, region): self.region = region
    def work(self): return pause(self.region)
    def last(self, work): return end(self.region, work)
def build(region): return of(Job(region).work, Job(region).last)
""",
    "a method whose object cannot be seen": """
class Job:
    def __init__(self, region): self.read = {"region": region}.get
    def work(self): return pause(self.read("region"))
    def last(self, work): return end(self.read("region"), work)
def build(region): return of(Job(region).work, Job(region).last)
""",
    "a closure": """
def build(region):
    def work(): return pause(region)
    def last(work): return end(region, work)
    return of(work, last)
""",
    "a closure over a dict": """
def build(region, given=None):
    config = {"region": region}
    def work(): return pause(config["region"])
    def last(work): return end(config["region"], work)
    return of(work, last)
""",
    "a closure over an object": """
@dataclasses.dataclass
class Config:
    region: str
def build(region):
    config = Config(region)
    def work(): return pause(config.region)
    def last(work): return end(config.region, work)
    return of(work, last)
""",
    "a partial": """
def build(region): return of(functools.partial(pause, region), functools.partial(end, region))
""",
    "a global variable": """
def work(): return pause(region)
def last(work): return end(region, work)
def build(region): return of(work, last)
""",
    "parameters": """
def last(work): return end(work, work)
def build(region): return of(pause, last, parameters={"region": region})
""",
}
BLIND = "a method whose object cannot be seen"
EACH = "for region in ('eu', 'us', 'asia'):\n    print(engine().run(build(region){})['last'])\n"
MAKES = {
    "without ids": EACH.format(""),
    "with ids": EACH.format(", run_id=region"),
    "submitted": "for region in ('eu', 'us', 'asia'):\n"
    "    print(engine().submit(build(region)).result()['last'])\n",
}


@pytest.fixture
def dwf(tmp_path):
    return Rig(tmp_path)


def write(dwf: Rig, body: str, name: str = "script.py") -> Path:
    path = dwf.folder / name
    path.write_text(HEAD + textwrap.dedent(body))
    return path


def killed(dwf: Rig, path: Path, *stops: str) -> None:
    """Run the script until a task has come in each of these regions, and kill it there; tasks may
    go on later.
    """
    process = subprocess.Popen(
        [sys.executable, path.name, *stops], cwd=dwf.folder, text=True, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment({}),
    )  # fmt: skip
    came = [dwf.folder / f"came-{region}" for region in stops or ("us",)]
    wait_for(lambda: all(file.exists() for file in came) or process.poll() is not None)
    assert process.poll() is None, end(process)
    kill(process)
    (dwf.folder / "go").touch()


def runs(dwf: Rig) -> dict[str, str]:
    """The state of each run by its id, oldest first."""
    rows = dwf("list", "--json").lines
    return {row["run_id"]: row["status"] for row in reversed(rows)}


def notes(dwf: Rig) -> list[str]:
    return (dwf.folder / "notes").read_text().splitlines()


def resumed(dwf: Rig, run: str = "@last", *words: object) -> Ended:
    return dwf("resume", run, "--json", *words)


# --- the call that made the run -------------------------------------------------------------------


PAIRS = [(build, "without ids") for build in BUILDS] + [(BLIND, make) for make in MAKES][1:]


@pytest.mark.parametrize(("build", "make"), PAIRS)
def test_a_run_goes_on_with_the_code_of_the_call_that_made_it(dwf, build, make):
    killed(dwf, write(dwf, BUILDS[build] + MAKES[make]))
    ended = resumed(dwf)
    assert ended.code == 0, ended.err
    assert list(runs(dwf).values()) == ["succeeded", "succeeded"], "and no other is made"
    assert notes(dwf) == ["work eu", "last eu got eu", "work us", "work us", "last us got us"]


def test_the_log_says_which_call_made_a_run_and_which_run_came_before(dwf):
    killed(dwf, write(dwf, BUILDS["parameters"] + MAKES["without ids"]))
    eu, us = runs(dwf)
    bodies = [dwf("events", run, "--json").lines[0]["body"] for run in (eu, us)]
    assert [body["call"] for body in bodies] == [1, 2]
    assert [body.get("previous", "") for body in bodies] == ["", eu]


def test_workflows_that_were_all_made_before_are_told_apart_too(dwf):
    body = "eu, us = build('eu'), build('us')\nfor one in (eu, us): engine().run(one)\n"
    killed(dwf, write(dwf, BUILDS["a closure"] + body))
    assert resumed(dwf).code == 0
    assert notes(dwf)[-1] == "last us got us"


def test_a_workflow_may_be_made_of_the_result_of_the_run_before(dwf):
    body = """
    first = engine().run(of(lambda: pause("eu"), lambda work: work + "+1", "first"))["last"]
    second = wf.WorkflowBuilder("second")
    for number in range(len(first)):
        second.add_task(f"part{number}", pause, parameters={"region": "us"})
    engine().run(second.build())
    """
    killed(dwf, write(dwf, body))
    ended = resumed(dwf)
    assert ended.code == 0, ended.err
    assert ended.document["tasks"]["by_status"]["succeeded"] == 4


def test_a_run_that_failed_before_fails_again_in_the_script_without_running(dwf):
    body = """
    def fails(): note("fails"); raise ValueError("no")
    try:
        engine().run(of(fails, lambda work: work, "bad"))
    except wf.RunFailed as error:
        region = "us" if error.result.failures() else "eu"
    engine().run(build(region))
    """
    killed(dwf, write(dwf, BUILDS["a closure"] + textwrap.dedent(body)))
    assert resumed(dwf).code == 0
    assert notes(dwf) == ["fails", "work us", "work us", "last us got us"]


def test_runs_that_were_submitted_side_by_side_all_go_on(dwf):
    body = """
    with engine() as one:
        handles = [one.submit(build(region)) for region in ("eu", "us")]
        print([handle.result()["last"] for handle in handles])
    """
    killed(dwf, write(dwf, BUILDS[BLIND] + textwrap.dedent(body)), "eu", "us")
    ended = dwf("recover", "--json")
    assert ended.code == 0, ended.err
    assert list(runs(dwf).values()) == ["succeeded", "succeeded"]
    last = [note for note in notes(dwf) if note.startswith("last")]
    assert sorted(last) == ["last eu got eu", "last us got us"]


def test_two_orders_of_the_calls_are_told_apart_by_what_they_run(dwf):
    make = "for region in ('eu', 'us'): engine().run(build(region))"
    path = write(dwf, BUILDS["a closure"] + make)
    killed(dwf, path)
    path.write_text(path.read_text().replace("('eu', 'us')", "('us', 'eu')"))
    assert resumed(dwf).code == 0
    assert notes(dwf)[-1] == "last us got us"


def test_a_retry_of_such_a_run_has_the_code_of_that_call_too(dwf):
    body = """
    class Job:
        def __init__(self, region): self.read = {"region": region}.get
        def work(self):
            note(f"work {self.read('region')}")
            if self.read("region") == "us" and not (HERE / "go").exists(): raise ValueError("no")
            return self.read("region")
        def last(self, work): return end(self.read("region"), work)
    for region in ("eu", "us"):
        engine().run(of(Job(region).work, Job(region).last), check=False)
    """
    path = write(dwf, body)
    subprocess.run(
        [sys.executable, path], cwd=dwf.folder, check=True, timeout=40, env=environment({})
    )
    (dwf.folder / "go").touch()
    ended = dwf("retry", "@last", "--json")
    assert ended.code == 0, ended.err
    assert notes(dwf)[-2:] == ["work us", "last us got us"]


def test_so_has_a_run_whose_functions_are_of_a_module_that_the_script_imports(dwf):
    (dwf.folder / "jobs.py").write_text(HEAD + BUILDS[BLIND] + "default = build('nowhere')\n")
    make = MAKES["without ids"].replace("build(", "jobs.build(")
    killed(dwf, write(dwf, f"import jobs\n{make}"))
    ended = resumed(dwf)
    assert ended.code == 0, ended.err
    assert notes(dwf)[-1] == "last us got us"


def test_so_has_its_compensation(dwf):
    module = """
def fails(work): raise ValueError("no")
def work():
    return pause("us")
def build(region):
    def undo(): note(f"undo {region}")
    return of(work, fails, compensate=undo)
default = build("nowhere")
"""
    (dwf.folder / "jobs.py").write_text(HEAD + module)
    killed(dwf, write(dwf, "import jobs\nengine().run(jobs.build('us'))\n"))
    assert resumed(dwf).code == Exit.RUN_FAILED
    assert notes(dwf)[-1] == "undo us"


def test_so_have_its_rules(dwf):
    module = """
def fails(work): raise ValueError("no")
def work():
    return pause("us")
def build(region):
    instead = wf.fallback_to(lambda work: note(f"instead {region}"))
    flow = wf.WorkflowBuilder("daily").add_task("work", work)
    return flow.add_task("last", fails, on_fault=instead).depends_on("work").build()
default = build("nowhere")
"""
    (dwf.folder / "jobs.py").write_text(HEAD + module)
    killed(dwf, write(dwf, "import jobs\nengine().run(jobs.build('us'))\n"))
    assert resumed(dwf).code == 0
    assert notes(dwf)[-1] == "instead us"


# --- what cannot be known is refused --------------------------------------------------------------


def test_a_call_before_it_whose_run_has_not_ended_is_named(dwf):
    """The script waits for it there, and what it would do with the outcome is not known."""
    body = """
    first = threading.Thread(target=lambda: engine().run(build("eu"), run_id="eu"))
    if not wf.is_loading():
        first.start()
        while not (HERE / "came-eu").exists(): time.sleep(0.01)
    else:
        engine().run(build("eu"), run_id="eu")
    engine().run(build("us"), run_id="us")
    """
    killed(dwf, write(dwf, BUILDS["a closure"] + textwrap.dedent(body)), "eu", "us")
    ended = resumed(dwf, "us")
    assert ended.code == Exit.WRONG_STATE
    assert "run eu" in ended.err
    assert "has not ended" in ended.err
    assert "dwf resume eu" in ended.err
    assert "--accept-changes" not in ended.err
    assert resumed(dwf, "eu").code == 0
    assert resumed(dwf, "us").code == 0
    assert notes(dwf)[-1] == "last us got us"


def test_a_call_that_was_not_there_is_not_taken_for_one_that_was(dwf):
    make = "for region in ('eu', 'us'): engine().run(build(region))"
    path = write(dwf, BUILDS["a closure"] + make)
    killed(dwf, path)
    more = "engine().run(wf.WorkflowBuilder('daily').add_task('more', lambda: 1).build())\n"
    path.write_text(path.read_text().replace(make, more + make))
    ended = resumed(dwf)
    assert ended.code == Exit.WRONG_STATE
    assert "its call number 1" in ended.err
    assert "task 'more' is new" in ended.err
    assert "--accept-changes" not in ended.err
    assert runs(dwf).popitem()[1] == "interrupted"


def test_an_id_that_names_no_run_is_not_run(dwf):
    make = "engine().run(build('us'), run_id='us')"
    path = write(dwf, BUILDS["a closure"] + make)
    killed(dwf, path)
    path.write_text(path.read_text().replace(make, f"{make.replace('us', 'eu')}\n{make}"))
    ended = resumed(dwf)
    assert ended.code == Exit.WRONG_STATE
    assert "there is no run 'eu'" in ended.err
    assert list(runs(dwf)) == ["us"]


def test_a_script_that_does_not_come_to_the_call_any_more_says_so(dwf):
    path = write(dwf, BUILDS["a closure"] + "if STOP: engine().run(build(STOP[0]))\n")
    killed(dwf, path, "us")
    path.write_text(path.read_text().replace("if STOP:", "if False:"))
    ended = resumed(dwf)
    assert ended.code == Exit.NOT_FOUND
    assert "ended before it came to the call that made run daily-" in ended.err


def test_code_that_really_changed_is_asked_about_where_the_call_is_reached(dwf):
    path = write(dwf, BUILDS["a closure"] + MAKES["without ids"])
    killed(dwf, path)
    path.write_text(path.read_text().replace("return end(region, work)", "return end('new', work)"))
    ended = resumed(dwf)
    assert ended.code == Exit.WRONG_STATE
    assert "--accept-changes" in ended.err
    assert resumed(dwf, "@last", "--accept-changes").code == 0
    assert notes(dwf)[-1] == "last new got us"


# --- logs without that knowledge ------------------------------------------------------------------


def test_of_workflows_in_a_module_the_one_whose_code_is_recorded_goes_on(dwf):
    """Which call made it is not known of a target: its code tells."""
    (dwf.folder / "flows.py").write_text(
        HEAD + BUILDS["a closure"] + "eu, us = build('eu'), build('us')\n"
    )
    process = dwf.start("run", "flows.py:us", "--id", "us")
    wait_for(lambda: (dwf.folder / "came-us").exists() or process.poll() is not None)
    assert process.poll() is None, end(process)
    kill(process)
    (dwf.folder / "go").touch()
    assert resumed(dwf).code == 0
    assert notes(dwf)[-1] == "last us got us"


def test_a_definition_in_a_file_gets_the_functions_whose_code_is_recorded_in_it(dwf):
    """Of a module that has several workflows alike, each with functions that no name gives."""
    (dwf.folder / "go").touch()
    (dwf.folder / "flows.py").write_text(
        HEAD + BUILDS["a closure"] + "eu, us = build('eu'), build('us')\n"
    )
    told = "from pathlib import Path; import flows; Path('us.json').write_text(flows.us.to_json())"
    subprocess.run(
        [sys.executable, "-c", told], cwd=dwf.folder, check=True, timeout=40, env=environment({})
    )
    ended = dwf("run", "us.json", "--json")
    assert ended.code == 0, ended.err
    assert notes(dwf) == ["work us", "last us got us"]


# --- scripts that handle their own end ------------------------------------------------------------

ENDINGS = {
    "exits": "except:\n    sys.exit(5)",
    "raises": "except BaseException as error:\n    raise SystemError('mine') from error",
    "goes on": "except BaseException:\n    pass\nengine().run(build('eu'))",
    "cleans up": "finally:\n    raise OSError('nothing to clean up')",
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_script_that_catches_everything_has_come_to_its_call_all_the_same(dwf, ending):
    body = f"{BUILDS['a closure']}\ntry:\n    engine().run(build('us'))\n{ending}\n"
    killed(dwf, write(dwf, body))
    ended = resumed(dwf)
    assert ended.code == 0, ended.err
    assert runs(dwf).popitem()[1] == "succeeded"
    assert len(runs(dwf)) == 1


def test_a_script_can_keep_its_cleanup_to_itself_while_it_is_loaded(dwf):
    body = """
    def prepare(): (HERE / "scratch").write_text("42"); return pause("us")
    def use(work): return (HERE / "scratch").read_text()
    try:
        engine().run(of(prepare, use))
    finally:
        if not wf.is_loading():
            (HERE / "scratch").unlink()
    """
    killed(dwf, write(dwf, body))
    assert resumed(dwf).code == 0
    assert (dwf.folder / "scratch").exists()


# --- what has changed, and where it has gone ------------------------------------------------------


def test_a_script_whose_graph_has_changed_is_told_of(dwf):
    path = write(dwf, BUILDS["a closure"] + "engine().run(build('us'), run_id='us')\n")
    killed(dwf, path)
    text = path.read_text()
    path.write_text(text.replace(".build()\n    )", ".add_task('more', lambda: 1).build()\n    )"))
    ended = resumed(dwf, "us")
    assert ended.code == 0, ended.err
    assert "task 'more' is new" in ended.err
    assert "goes on as it was recorded" in ended.err


def test_a_script_that_is_not_there_any_more_says_what_to_do(dwf):
    path = write(dwf, BUILDS["a closure"] + "engine().run(build('us'), run_id='us')\n")
    killed(dwf, path)
    path.rename(dwf.folder / "moved.py")
    ended = resumed(dwf, "us")
    assert ended.code == Exit.NOT_FOUND
    assert "script.py" in ended.err
    hint = "dwf run NEW/PLACE.py --id us"
    assert hint in ended.err
    again = dwf("run", "moved.py", "--id", "us")
    assert again.code == 0, again.err
    assert notes(dwf)[-1] == "last us got us"


def test_dwf_run_of_a_script_with_runs_of_its_own_says_that_it_does_the_first_alone(dwf):
    (dwf.folder / "go").touch()
    write(dwf, BUILDS["parameters"] + MAKES["without ids"])
    ended = dwf("run", "script.py")
    assert ended.code == 0
    assert "stopped at its first engine.run" in ended.err
    assert "python script.py" in ended.err
    assert notes(dwf) == ["work eu", "last eu got eu"]
