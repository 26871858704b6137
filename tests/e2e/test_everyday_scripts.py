"""Scripts as people write them, without a guard, run in worker processes."""

from __future__ import annotations

import subprocess
import sys

CACHED = """
import functools
import durable_wf as wf

@functools.cache
def rate(currency): return {"eur": 2}[currency]

class Page:
    def __init__(self, n): self.n = n
    @functools.cache
    def twice(self): return self.n * 2
    @functools.cached_property
    def thrice(self): return self.n * 3

def convert(x): return x * rate("eur")
def make(): return Page(7)
def read(make): return [isinstance(make, Page), make.twice(), make.thrice]

workflow = (
    wf.WorkflowBuilder("everyday")
    .add_task("convert", convert, parameters={"x": 3})
    .add_task("make", make, codec="pickle")
    .add_task("read", read).depends_on("make")
    .build()
)
result = wf.WorkflowEngine("store", workers=2).run(workflow)
print(result["convert"], result["read"])
"""


def run(script, cwd):
    (cwd / "script.py").write_text(script)
    return subprocess.run(
        [sys.executable, "script.py"], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_functions_with_caches_work_in_workers_and_in_pickled_results(tmp_path):
    done = run(CACHED, tmp_path)
    assert done.stdout == "6 [True, 14, 21]\n", done.stderr


FAILING = """
import warnings
import durable_wf as wf

def helper(text):
    return [int(one) for one in text]

def task():
    warnings.warn("careful")
    return (lambda: helper("a"))()

workflow = wf.WorkflowBuilder("failing").add_task("task", task).build()
result = wf.WorkflowEngine("store").run(workflow, check=False)
print(result.failures()["task"].traceback)
"""


def test_tracebacks_and_warnings_name_the_script_and_show_its_lines(tmp_path):
    done = run(FAILING, tmp_path)
    script = tmp_path / "script.py"
    for line, code in (
        (10, 'return (lambda: helper("a"))()'),
        (6, "return [int(one) for one in text]"),
    ):
        assert f'File "{script}", line {line}' in done.stdout, done.stdout + done.stderr
        assert code in done.stdout
    assert "dynamic-code" not in done.stdout
    (output,) = (tmp_path / "store" / "output").iterdir()
    text = output.read_text()
    assert f"{script}:9: UserWarning: careful" in text
    assert 'warnings.warn("careful")' in text
