"""The demo's workflow: the survey of `demo_survey.py` and its report, as tasks.

Owns: which tasks there are and what each receives.
Must never: do any of the work.
Read next: `demo.py`, which runs it.
"""

from __future__ import annotations

import platform
import sysconfig

from durable_wf.authoring.builder import WorkflowBuilder
from durable_wf.authoring.data_flow import ref
from durable_wf.cli.demo_report import write_csv, write_html
from durable_wf.cli.demo_survey import list_modules, merge, packages, parse
from durable_wf.core.definition import Workflow

NAME = "stdlib-survey"


def standard_library() -> str:
    """The folder of the standard library's source."""
    return sysconfig.get_path("stdlib")


def pipeline(root: str, out: str) -> Workflow:
    """List the modules below `root`, parse each package, merge, write both files into `out`."""
    names = packages(root)
    builder = WorkflowBuilder(NAME, "Counts what is in the standard library")
    builder.add_task("list", list_modules, parameters={"root": root})
    for name in names:
        given = {"root": root, "package": name}
        builder.add_task(f"parse/{name}", parse, parameters=given).bind(files=ref("list")[name])
    sums = {"root": root, "python": platform.python_version()}
    parsed = [f"parse/{name}" for name in names]
    builder.add_task("merge", merge, parameters=sums).depends_on(*parsed)
    builder.add_task("html", write_html, parameters={"out": out}).depends_on("merge")
    builder.add_task("csv", write_csv, parameters={"out": out}).depends_on("merge")
    return builder.build()
