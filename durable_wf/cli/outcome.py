"""The end of a run, told: its state, figures, failures, and what to do next.

Owns: what `run`, `resume` and `recover` print when a run has ended or stopped, and the comparison
of a replayed recording with what was recorded.
Must never: wait or run anything.
Read next: `commands/run.py`.
"""

from __future__ import annotations

import time

import attrs

from durable_wf.cli.asked import asked_lines, awaited_document
from durable_wf.cli.context import Settings, note, say
from durable_wf.cli.documents import Document, dumps, run_document
from durable_wf.cli.exits import Exit, code_of_run
from durable_wf.cli.render import row_counts_text, state_text
from durable_wf.cli.states import MARKS, WAITING, RunShown, shown_run
from durable_wf.cli.terminal import Look, one_line, shorten
from durable_wf.cli.times import span
from durable_wf.core.definition import Workflow
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine.result import RunResult

_FAILURES = 3


@attrs.frozen
class Makespan:
    """A recording against its replay, in seconds. `recorded_s` and `work_s` are as recorded,
    the scaled ones are what the replay aims at.
    """

    time_scale: float
    work_s: float
    scaled_work_s: float
    recorded_s: float | None
    scaled_s: float | None
    achieved_s: float | None


def makespan_of(workflow: Workflow, row: RunRow) -> Makespan | None:
    """The figures of a replayed recording; None for any other workflow."""
    metadata = dict(workflow.metadata)
    if "wfformat" not in workflow.tags or "time_scale" not in metadata:
        return None
    try:
        scale = float(metadata["time_scale"])
        recorded = metadata.get("recorded_makespan_s")
        recorded_s = None if recorded is None else float(recorded)
    except ValueError:
        return None
    scaled_work = sum(task.estimate_s or 0.0 for task in workflow.tasks)
    achieved = None
    if row.started_at is not None and row.ended_at is not None:
        achieved = (row.ended_at - row.started_at) / 1e6
    return Makespan(
        time_scale=scale,
        work_s=scaled_work / scale if scale else 0.0,
        scaled_work_s=scaled_work,
        recorded_s=recorded_s,
        scaled_s=None if recorded_s is None else recorded_s * scale,
        achieved_s=achieved,
    )


def outcome_document(result: RunResult) -> Document:
    """What `--json` prints about a run that was just driven."""
    document = run_document(result.row, alive=bool(result.waiting))
    makespan = makespan_of(result.workflow, result.row)
    if makespan is not None:
        document["makespan"] = attrs.asdict(makespan)
    failures = result.failures() if result.status is not RunStatus.SUCCEEDED else {}
    document["failures"] = {
        name: {"kind": fault.kind.value, "exception": fault.exception, "message": fault.message}
        for name, fault in failures.items()
    }
    document["waiting"] = [awaited_document(result.run_id, one) for one in result.waiting]
    if result.status is not RunStatus.SUCCEEDED and (states := result.compensations()):
        document["taken_back"] = {task: state.value for task, state in states.items()}
    return document


def tell_outcome(result: RunResult, look: Look, *, as_json: bool) -> Exit:
    """Print the end of a run; returns the exit code."""
    # One that waits is told as the engine left it, though nobody holds it any more.
    shown = shown_run(result.row, alive=bool(result.waiting))
    if as_json:
        say(dumps(outcome_document(result)))
        return code_of_run(shown)
    row = result.row
    for line in _lines(result, shown, look):
        say(line)
    if shown is WAITING:
        now, store = time.time_ns() // 1000, Settings.named_store()
        for line in asked_lines(result.run_id, result.waiting, look, now, store):
            say(line)
    if makespan := makespan_of(result.workflow, row):
        note(makespan_text(makespan))
    if step := _next(row, shown):
        note(f"next: {step}")
    return code_of_run(shown)


def _lines(result: RunResult, shown: RunShown, look: Look) -> list[str]:
    row = result.row
    took = ""
    if row.started_at is not None and row.ended_at is not None:
        took = f" in {span(row.ended_at - row.started_at)}"
    state = look.paint(state_text(shown, look), MARKS[shown].colour, "bold")
    cause = f"  {one_line(row.cause)}" if row.cause and shown is not RunStatus.SUCCEEDED else ""
    tasks = "1 task" if row.total == 1 else f"{row.total} tasks"
    lines = [
        f"{state}  {row.run_id}{cause}",
        f"  {tasks}{took}: {row_counts_text(row.counts, look, alive=False)}",
    ]
    lines += _taken_back(result, look)
    if result.status is not RunStatus.FAILED:
        return lines
    failures = result.failures()
    for name, fault in list(failures.items())[:_FAILURES]:
        kind = fault.exception.rpartition(".")[2] or fault.kind.value
        text = one_line(f"{name}: {kind}: {fault.message}")
        lines.append("  " + look.paint(shorten(text, (look.width or 200) - 2), "red"))
    if len(failures) > _FAILURES:
        lines.append(f"  and {len(failures) - _FAILURES} more")
    return lines


def _taken_back(result: RunResult, look: Look) -> list[str]:
    """What of its effects a failed or cancelled run has taken back."""
    states = result.compensations() if result.status is not RunStatus.SUCCEEDED else {}
    lines = []
    for done in (True, False):
        names = [task for task, state in states.items() if (state is TaskStatus.SUCCEEDED) is done]
        if names:
            text = f"{'taken back' if done else 'NOT taken back'}: {', '.join(names)}"
            lines.append("  " + shorten(one_line(text), (look.width or 200) - 2))
    return lines


def makespan_text(makespan: Makespan) -> str:
    """Recorded against achieved, for people."""
    lines = []
    if makespan.recorded_s is not None and makespan.scaled_s is not None:
        lines.append(
            f"recorded makespan  {_seconds(makespan.recorded_s)} x {makespan.time_scale:g} = "
            f"{_seconds(makespan.scaled_s)}"
        )
    if makespan.achieved_s is not None:
        against = ""
        if makespan.scaled_s:
            against = f"  ({makespan.achieved_s / makespan.scaled_s:.2f} x the recorded one)"
        lines.append(f"achieved makespan  {_seconds(makespan.achieved_s)}{against}")
    lines.append(
        f"sum of work        {_seconds(makespan.work_s)} x {makespan.time_scale:g} = "
        f"{_seconds(makespan.scaled_work_s)}"
    )
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    return span(seconds * 1_000_000)


def _next(row: RunRow, shown: RunShown) -> str:
    match shown:
        case RunStatus.SUCCEEDED:
            return ""
        case RunStatus.FAILED:
            return f"dwf show {row.run_id}, then dwf retry {row.run_id}"
        case RunStatus.CANCELLED:
            return f"dwf show {row.run_id}"
        case x if x is WAITING:
            return f"dwf resume {row.run_id}   (to go on when it has been answered)"
        case _:
            return f"dwf resume {row.run_id}"
