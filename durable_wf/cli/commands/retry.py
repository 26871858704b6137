"""`dwf retry` and `dwf fork`: new runs made from old ones.

Owns: their options, for one run or many.
Must never: decide what is taken over; `core/descent.py` does.
Read next: `../descent.py`, `../bulk.py`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import attrs
import click

from durable_wf.authoring.targets import lasting
from durable_wf.cli.bulk import (
    Applies,
    Asked,
    Told,
    Wanted,
    chosen_runs,
    report,
    wanted_of,
    wanted_options,
)
from durable_wf.cli.commands.run import engine_options, load_target
from durable_wf.cli.context import (
    Number,
    RunName,
    Settings,
    examples,
    note,
    out,
    pass_settings,
    say,
)
from durable_wf.cli.descent import document, remarks, screen, sentence
from durable_wf.cli.documents import dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.kin import newest_of
from durable_wf.cli.limits import Capacity, Limits, capacity, recorded_limits
from durable_wf.cli.outcome import tell_outcomes
from durable_wf.cli.picking import pick
from durable_wf.cli.progress import teller
from durable_wf.cli.states import RunShown
from durable_wf.cli.stores import alive_in, is_known
from durable_wf.core.definition import Workflow
from durable_wf.core.status import RunStatus
from durable_wf.core.summary import RunRow
from durable_wf.engine import chains
from durable_wf.engine.descending import Kind, Plan, Wish, rehearse
from durable_wf.engine.facade import WorkflowEngine
from durable_wf.engine.given import AsJson
from durable_wf.engine.origin import started_by
from durable_wf.engine.progress import OnProgress
from durable_wf.engine.retrying import OnPlan
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.opening import Store

F = TypeVar("F", bound=Callable[..., Any])

_RETRIED: frozenset[RunShown] = frozenset({RunStatus.FAILED, RunStatus.CANCELLED})
_WORST_FIRST = (Exit.WRONG_STATE, Exit.RUN_FAILED, Exit.CANCELLED, Exit.WAITING)


class Engine(Limits):
    """The options of an engine."""

    executor: str
    workers: int | None
    accept_changes: bool
    wait: float | None
    trust: bool
    as_json: bool
    quiet: bool


class Made(TypedDict):
    """What is said about the new run."""

    given: dict[str, object]
    new_id: str | None
    code: str | None
    rehearse: bool


class Retry(Engine, Made, Asked):
    """All options of `dwf retry`."""

    asked: tuple[str, ...]


class Fork(Engine, Made):
    """All options of `dwf fork`."""

    run: str
    at: int | None


def _values(
    _ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]
) -> dict[str, object]:
    given: dict[str, object] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not (equals and name):
            raise click.BadParameter(f"{text!r}: give PARAMETER=JSON, for instance load.limit=5")
        given[name] = AsJson(value)
    return given


def made_options(command: F) -> F:
    """What retries and forks share beside the options of an engine."""
    options = (
        click.option(
            "--set",
            "given",
            multiple=True,
            metavar="PARAM=JSON",
            callback=_values,
            help="Give a parameter another value: task.parameter=JSON, or parameter=JSON where one "
            "task alone has it. The task runs again, and what comes after it.",
        ),
        click.option("--id", "new_id", metavar="ID", help="What to call the new run."),
        click.option(
            "--code",
            metavar="TARGET",
            help="Take the code from here, not from where the old run had it.",
        ),
        click.option(
            "--dry-run",
            "rehearse",
            is_flag=True,
            help="Say what would be taken over and what would run again. Nothing is run and "
            "nothing is written; the code is loaded.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "retry",
    epilog=examples(
        ("dwf retry @last", "what failed, and what comes after it"),
        ("dwf retry nightly --from load", "this task, too, and what comes after it"),
        ("dwf retry nightly --set extract.limit=10", "with another value"),
        ("dwf retry nightly --dry-run", "what it would do; nothing is written"),
        ("dwf retry --status failed --since 1d", "all of them, after a question"),
    ),
)
@wanted_options("retry")
@click.option(
    "--from",
    "asked",
    multiple=True,
    metavar="TASK",
    help="Run this task again though it has succeeded, and all that comes after it; repeatable.",
)
@made_options
@engine_options
@pass_settings
def retry(settings: Settings, **options: Unpack[Retry]) -> int:
    """Make new runs of runs that have ended, and run them here to their end.

    What has succeeded is taken over; what has failed, been skipped or cancelled runs again. The
    retry of nightly is called nightly.2, the next one nightly.3; from then on the id nightly stands
    for the newest wherever something is to be done. Idempotency keys stay the same. The code is
    loaded as the old run names it; where that of tasks that run again has changed, this says so and
    asks for --accept-changes. More than one run, or a filter, is asked about first; those that
    cannot be retried are left out, and counted.

    Exit code: that of the new run: 0 succeeded, 1 failed, 7 waiting, 8 cancelled, 130 interrupted;
    4 cannot be retried. Of many runs: 4 if one cannot be, else that of the worst outcome; 0 if no
    run is like that.
    """
    wanted = wanted_of(options)
    if not wanted.is_one and (options["new_id"] or options["code"]):
        raise click.UsageError("--id and --code are for one run.")
    workflow = _code(options["code"])
    with settings.reading(before_writing=True) as store:
        rows, refused = _chosen(store, wanted, options)
        wishes = [
            Wish(
                Kind.RETRY, row.run_id, None, options["asked"], options["given"], workflow,
                options["new_id"],
            )
            for row in rows
        ]  # fmt: skip
        if options["rehearse"]:
            code = report("retry", refused, as_json=options["as_json"])
            return max(code, _rehearse(store, wishes, options))
        path = store.folder.place
        use = capacity(options, [recorded_limits(store.log, row) for row in rows])
    if not wishes:
        return report("retry", refused, as_json=options["as_json"])

    def on_refused(run_id: str, error: DurableWorkflowError) -> None:
        if wanted.is_one:
            raise error
        refused.append(Told(run_id, accepted=False, text=error.message))

    with _engine(path, options, use) as (engine, common):
        if wanted.is_one:
            results = [
                engine.retry(
                    rows[0].run_id, from_=options["asked"], set=options["given"], check=False,
                    workflow=workflow, new_id=options["new_id"], **common,
                )
            ]  # fmt: skip
        else:
            results = engine.retry_all(
                [row.run_id for row in rows], from_=options["asked"], set=options["given"],
                on_refused=on_refused, **common,
            )  # fmt: skip
    codes = tell_outcomes(results, path, out(), as_json=options["as_json"])
    codes.add(report("retry", refused, as_json=options["as_json"]))
    return next((code for code in _WORST_FIRST if code in codes), Exit.OK)


@click.command(
    "fork",
    epilog=examples(
        ("dwf events nightly", "the numbers of its events"),
        ("dwf fork nightly --at 12", "a new run, as it stood after event 12"),
        ("dwf fork nightly --set extract.limit=10", "the same with another value"),
    ),
)
@click.argument("run", metavar="RUN", type=RunName())
@click.option(
    "--at",
    type=Number(1),
    metavar="N",
    help="The last event of the old run that counts. Default: the last one there is.",
)
@made_options
@engine_options
@pass_settings
def fork(settings: Settings, **options: Unpack[Fork]) -> int:
    """Make a new run of any other, as that stood after one of its events, and run it to the end.

    What had succeeded by then is taken over; the rest runs, under idempotency keys of its own. The
    old run is not touched, and need not have ended. The first fork of nightly is called nightly.f1.

    Exit code: that of the new run, as of dwf run; 4 cannot be forked.
    """
    workflow = _code(options["code"])
    with settings.reading(before_writing=True) as store:
        row = pick(store.log, options["run"])
        wish = Wish(
            Kind.FORK, row.run_id, options["at"], (), options["given"], workflow, options["new_id"]
        )
        if options["rehearse"]:
            return _rehearse(store, [wish], options)
        path = store.folder.place
        use = capacity(options, [recorded_limits(store.log, row)])
    with _engine(path, options, use) as (engine, common):
        result = engine.fork(
            row.run_id, at=options["at"], set=options["given"], check=False, workflow=workflow,
            new_id=options["new_id"], **common,
        )  # fmt: skip
    return max(tell_outcomes([result], path, out(), as_json=options["as_json"]))


# --- both -----------------------------------------------------------------------------------------


def _code(target: str | None) -> Workflow | None:
    return None if target is None else load_target(target)


def _chosen(store: Store, wanted: Wanted, options: Retry) -> tuple[list[RunRow], list[Told]]:
    """The runs that are meant, and those of the named ones that cannot be retried. Where filters
    choose, only the newest of each chain.
    """
    if wanted.is_one:
        return [newest_of(store.log, pick(store.log, wanted.names[0]))], []

    def objection(row: RunRow, _alive: bool) -> str:
        is_newest = bool(wanted.names) or chains.newest(store.log, row).run_id == row.run_id
        return "" if is_newest else "retried already"

    asked = attrs.evolve(wanted, yes=wanted.yes or options["rehearse"])
    can = _RETRIED | ({RunStatus.SUCCEEDED} if options["asked"] or options["given"] else set())
    if wanted.names:
        names = (newest_of(store.log, pick(store.log, name)).run_id for name in wanted.names)
        asked = attrs.evolve(asked, names=tuple(names))
    chosen = chosen_runs(store, asked, "retry", Applies(_RETRIED, can, objection))
    return [row for row, _ in chosen.rows], [*chosen.refused]


class Common(TypedDict):
    """What all methods of the engine are told."""

    accept_changes: bool
    wait: float | None
    on_progress: OnProgress
    on_plan: OnPlan


@contextlib.contextmanager
def _engine(
    path: Path, options: Retry | Fork, use: Capacity
) -> Iterator[tuple[WorkflowEngine, Common]]:
    """The engine that runs it. What is planned is said before any progress is shown."""
    quiet = options["as_json"] or options["quiet"]
    with contextlib.ExitStack() as stack:
        tell = teller(quiet=quiet)
        begun = False

        def on_plan(plan: Plan) -> None:
            nonlocal begun
            if not options["as_json"]:
                note(f"{plan.new_id}: {sentence(plan)}")
                for remark in remarks(plan):
                    note(f"  {remark}")
            if not begun:
                begun = True
                stack.enter_context(tell)

        engine = stack.enter_context(
            WorkflowEngine(
                path, executor_type=options["executor"], workers=options["workers"],
                trust=options["trust"], **use,
            )
        )  # fmt: skip
        if options["code"]:
            stack.enter_context(started_by(lasting(options["code"])))
        common = Common(
            accept_changes=options["accept_changes"], wait=options["wait"], on_progress=tell,
            on_plan=on_plan,
        )  # fmt: skip
        yield engine, common


def _rehearse(store: Store, wishes: Sequence[Wish], options: Retry | Fork) -> Exit:
    """Tell what each would do; 4 where one would be refused."""
    sys.dont_write_bytecode = True  # what the code imports stays as it is on the disk, too
    trusted = options["trust"] or is_known(store)
    codes = {Exit.OK}
    for wish in wishes:
        try:
            plan, refused = rehearse(
                store, wish, lambda row: alive_in(store, row), trusted=trusted,
                accept_changes=options["accept_changes"],
            )  # fmt: skip
        except DurableWorkflowError as error:
            if len(wishes) == 1:
                raise
            codes.add(report("retry", [Told(wish.run_id, accepted=False, text=error.message)],
                             as_json=options["as_json"]))  # fmt: skip
            continue
        if refused:
            codes.add(Exit.WRONG_STATE)
        if options["as_json"]:
            say(dumps(document(plan, refused)))
        else:
            for line in screen(plan, refused, out()):
                say(line)
    return max(codes)
