"""`dwf plan`: how a workflow would run, without running it.

Owns: the screen and the document of an execution plan.
Must never: start anything, or promise; a plan is made of estimates.
Read next: `../../core/plan.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import click

from durable_wf.cli.commands.run import load_target
from durable_wf.cli.context import Number, Settings, examples, json_option, out, pass_settings, say
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.names import stem
from durable_wf.cli.terminal import Look, shorten
from durable_wf.cli.times import span
from durable_wf.core.definition import Workflow
from durable_wf.core.plan import ExecutionPlan
from durable_wf.core.plan import plan as plan_of
from durable_wf.core.resources import Capacity
from durable_wf.core.wording import count_of
from durable_wf.engine.settings import usable_cpus

_LEVELS = 30
_PATH = 12


@click.command(
    "plan",
    epilog=examples(
        ("dwf plan pipeline.py:workflow", ""),
        ("dwf plan recorded.json --time-scale 0.001 --cpus 8", "would more cores help?"),
    ),
)
@click.argument("target", metavar="TARGET")
@click.option(
    "--cpus",
    type=Number(1),
    metavar="N",
    help="Cores to plan for. Default: those of this machine.",
)
@click.option(
    "--time-scale",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="WfFormat: as for dwf run.",
)
@json_option()
@pass_settings
def plan(
    settings: Settings,  # noqa: ARG001 - asked for so that --store is known everywhere
    *,
    target: str,
    cpus: int | None,
    time_scale: float | None,
    as_json: bool,
) -> None:
    """Say how a workflow would run: levels, critical path, makespan. Nothing is run.

    Times come from the estimates of its tasks, 1 s where there is none. The critical path is the
    chain of tasks that no number of cores can shorten.
    """
    cores = cpus or usable_cpus()
    workflow = load_target(target, time_scale, cpus=cores, code=False)
    made = plan_of(workflow.tasks, Capacity(float(cores)))
    if as_json:
        say(dumps(_document(workflow, made, cores)))
        return
    for line in _screen(workflow, made, cores, out()):
        say(line)


def _document(workflow: Workflow, made: ExecutionPlan, cores: int) -> Document:
    return {
        "workflow": workflow.name,
        "tasks": len(workflow.tasks),
        "cpus": cores,
        "batches": [list(batch) for batch in made.batches],
        "critical_path": list(made.critical_path),
        "critical_s": made.critical_s,
        "makespan_s": made.makespan_s,
        "work_s": made.work_s,
        "starts_s": {
            task.name: start for task, start in zip(workflow.tasks, made.starts_s, strict=True)
        },
    }


def _screen(workflow: Workflow, made: ExecutionPlan, cores: int, look: Look) -> list[str]:
    width = look.width or 200
    path, tasks = list(made.critical_path), count_of(len(workflow.tasks), "task")
    head = (
        ("workflow", f"{workflow.name}, {tasks}"),
        ("makespan", f"{_seconds(made.makespan_s)} on {count_of(cores, 'core')}"),
        ("critical path", f"{_seconds(made.critical_s)}, {count_of(len(path), 'task')}"),
        ("sum of work", _seconds(made.work_s)),
        *_taken_back(workflow),
    )
    lines = [f"{look.paint(f'{name:13}', 'dim')}  {text}" for name, text in head]
    lines += ["", look.paint("levels", "bold")]
    for number, batch in enumerate(made.batches[:_LEVELS], 1):
        lines.append(shorten(f"{number:>5}  {batch_text(batch)}", width, symbols=look.symbols))
    if len(made.batches) > _LEVELS:
        lines.append(f"       and {len(made.batches) - _LEVELS} more")
    arrow = " → " if look.symbols else " -> "
    if len(path) > _PATH:
        path = [*path[: _PATH - 2], f"({len(path) - _PATH + 1} more)", path[-1]]
    return [*lines, "", look.paint("critical path", "bold"), "  " + arrow.join(path)]


def _taken_back(workflow: Workflow) -> list[tuple[str, str]]:
    """How many tasks more a run may come to have. They are no part of the plan."""
    count = sum(task.undo is not None for task in workflow.tasks)
    tasks = count_of(count, "task")
    return [("taken back", f"{tasks}, if the run fails or is cancelled")] if count else []


def batch_text(batch: Sequence[str]) -> str:
    """The tasks of a level; those that are alike as one."""
    if len(batch) <= 6:
        return ", ".join(batch)
    groups = Counter(stem(name) for name in batch)
    parts = [name if count == 1 else f"{name} x {count}" for name, count in groups.items()]
    return f"{len(batch)} tasks: {', '.join(parts)}"


def _seconds(seconds: float) -> str:
    return span(seconds * 1_000_000)
