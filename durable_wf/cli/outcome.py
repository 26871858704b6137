"""The end of a run, told: its state, figures, failures, and what to do next.

Owns: what `run`, `resume` and `recover` print when a run has ended or stopped, and the comparison
of a replayed recording with what was recorded.
Must never: wait or run anything.
Read next: `commands/run.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from durable_wf.cli.asked import asked_lines, awaited_document
from durable_wf.cli.context import Settings, note, say, typed
from durable_wf.cli.documents import Document, dumps, run_document
from durable_wf.cli.exits import Exit, code_of_run
from durable_wf.cli.onward import caution, in_doubt, next_step
from durable_wf.cli.render import row_counts_text, state_text
from durable_wf.cli.states import MARKS, RunShown, shown_run
from durable_wf.cli.stores import alive_in, open_for_reading
from durable_wf.cli.terminal import Look, one_line, shorten
from durable_wf.cli.times import span
from durable_wf.core.definition import Workflow
from durable_wf.core.status import RunStatus, TaskStatus
from durable_wf.core.summary import RunRow
from durable_wf.core.wording import count_of
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


def outcome_document(result: RunResult, row: RunRow, *, alive: bool) -> Document:
    """What `--json` prints about a run that was just driven, and stands like this now."""
    document = run_document(row, alive=alive)
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


def tell_outcomes(
    results: Sequence[RunResult], place: Path, look: Look, *, as_json: bool
) -> set[Exit]:
    """Print how runs have ended, or stand now that the engine has let go of them, as every other
    command shows them. `place` is their store. Returns the exit codes.
    """
    codes = set()
    for result, (row, alive) in zip(results, _now([r.row for r in results], place), strict=True):
        codes.add(_tell(result, row, look, alive=alive, as_json=as_json))
    return codes


def _now(rows: Sequence[RunRow], place: Path) -> list[tuple[RunRow, bool]]:
    """How these runs stand, and whether an engine runs them. Those that have ended stay as they
    are.
    """
    if all(row.ended_at is not None for row in rows):
        return [(row, False) for row in rows]
    store = open_for_reading(str(place))
    try:
        found = [row if row.ended_at else store.log.row(row.run_id) or row for row in rows]
        return [(row, alive_in(store, row)) for row in found]
    finally:
        store.close()


def _tell(result: RunResult, row: RunRow, look: Look, *, alive: bool, as_json: bool) -> Exit:
    shown = shown_run(row, alive=alive)
    # It has not ended, whatever it is that nobody runs it for now.
    code = code_of_run(shown) if row.ended_at is not None else Exit.WAITING
    if as_json:
        say(dumps(outcome_document(result, row, alive=alive)))
        return code
    for line in _lines(result, row, shown, look):
        say(line)
    now = time.time_ns() // 1000
    for line in asked_lines(result.run_id, result.waiting, look, now, Settings.named_store()):
        say(line)
    if makespan := makespan_of(result.workflow, row):
        note(makespan_text(makespan))
    over = shown in {RunStatus.FAILED, RunStatus.CANCELLED}
    if over and (text := caution(in_doubt(result.workflow.tasks, result.failures()))):
        note(text)
    if step := _next(result, row, shown, now, alive=alive):
        note(f"next: {step}")
    return code


def _lines(result: RunResult, row: RunRow, shown: RunShown, look: Look) -> list[str]:
    took = ""
    if row.started_at is not None and row.ended_at is not None:
        took = f" in {span(row.ended_at - row.started_at)}"
    state = look.paint(state_text(shown, look), MARKS[shown].colour, "bold")
    cause = f"  {one_line(row.cause)}" if row.cause and shown is not RunStatus.SUCCEEDED else ""
    lines = [
        f"{state}  {row.run_id}{cause}",
        f"  {count_of(row.total, 'task')}{took}: {row_counts_text(row.counts, look, alive=False)}",
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


def _next(result: RunResult, row: RunRow, shown: RunShown, now: int, *, alive: bool) -> str:
    step = next_step(row, shown, result.waiting, now, alive=alive)
    if shown in {RunStatus.FAILED, RunStatus.CANCELLED}:
        return f"{typed('show', row.run_id)}{', then ' * bool(step)}{step}"
    return step
