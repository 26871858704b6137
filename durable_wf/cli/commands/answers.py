"""`dwf approve`, `reject`, `resolve` and `signal`: what people say to tasks that wait.

Owns: these verbs, and reading JSON that a person has typed.
Must never: decide; the run's engine does, or the same code without one.
Read next: `inbox.py`, `../../engine/commands.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import click

from durable_wf.cli.context import (
    Number,
    Settings,
    examples,
    json_option,
    note,
    pass_settings,
    run_argument,
    say,
    trust_option,
)
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.picking import pick
from durable_wf.core.status import Verdict
from durable_wf.engine.commands import Body, answer_body, check_comment, signal_body
from durable_wf.engine.control import send
from durable_wf.engine.origin import person
from durable_wf.store.opening import open_store
from durable_wf.store.port import Verb

F = TypeVar("F", bound=Callable[..., Any])


def _options(command: F) -> F:
    """What all answers to a task take."""
    options = (
        run_argument,
        click.argument("task", metavar="TASK"),
        click.option(
            "-m", "--comment", default="", metavar="TEXT", help="Why; it is kept with the run."
        ),
        click.option(
            "--attempt",
            type=Number(0),
            metavar="N",
            help="Answer only if the task has come to this attempt.",
        ),
        trust_option,
        json_option(),
        pass_settings,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(
    "approve",
    epilog=examples(
        ("dwf inbox", "what waits for whom"),
        ("dwf approve etl-2026 review", ""),
        ("dwf approve etl-2026 review -m 'looks good'", "the comment goes to the next task too"),
    ),
)
@_options
def approve(
    settings: Settings,
    *,
    run: str,
    task: str,
    comment: str,
    attempt: int | None,
    trust: bool,
    as_json: bool,
) -> int:
    """Say yes to a task that waits for an approval. Who, when and why are recorded.

    The first answer counts; who comes later is told of it. The engine that runs the run goes on at
    once; with none alive the answer is kept, and dwf resume goes on with it.

    Exit code: 0 accepted, 3 no such run or task, 4 it does not wait for that, 7 not answered yet.
    """
    body = answer_body(task, Verdict.APPROVE, attempt=attempt)
    return _tell(settings, run, Verb.ANSWER, comment, body, trust=trust, as_json=as_json)


@click.command(
    "reject",
    epilog=examples(
        ("dwf reject etl-2026 review -m 'wrong month'", "the run fails, or as the task says"),
    ),
)
@_options
def reject(
    settings: Settings,
    *,
    run: str,
    task: str,
    comment: str,
    attempt: int | None,
    trust: bool,
    as_json: bool,
) -> int:
    """Say no to a task that waits for an approval. Who, when and why are recorded.

    What becomes of the task then is its own on_reject: it fails unless that says otherwise.

    Exit code: 0 accepted, 3 no such run or task, 4 it does not wait for that, 7 not answered yet.
    """
    body = answer_body(task, Verdict.REJECT, attempt=attempt)
    return _tell(settings, run, Verb.ANSWER, comment, body, trust=trust, as_json=as_json)


@click.command(
    "resolve",
    epilog=examples(
        ("dwf resolve etl-2026 load --retry", "try it again, at once"),
        ("dwf resolve etl-2026 load --value '{\"rows\": 3}'", "take this for its result"),
        ("dwf resolve etl-2026 load --skip -m 'not needed'", "go on without it"),
        ("dwf resolve etl-2026 load --fail", "give it up"),
    ),
)
@click.option("--retry", is_flag=True, help="Run the task again, at once.")
@click.option("--skip", is_flag=True, help="Go on without the task.")
@click.option("--fail", is_flag=True, help="Give the task up.")
@click.option("--value", metavar="JSON", help="Take this for the task's result.")
@_options
def resolve(
    settings: Settings,
    *,
    run: str,
    task: str,
    retry: bool,
    skip: bool,
    fail: bool,
    value: str | None,
    comment: str,
    attempt: int | None,
    trust: bool,
    as_json: bool,
) -> int:
    """Decide about a task that waits, whatever it waits for.

    It may have failed and ask what now, or wait for a retry, a signal, time or an approval. Give
    one of --retry, --skip, --value and --fail. Who decided, when and why is recorded.

    Exit code: 0 accepted, 3 no such run or task, 4 it does not wait, 7 not answered yet.
    """
    ways = {
        Verdict.RETRY: retry, Verdict.SKIP: skip, Verdict.FAIL: fail,
        Verdict.VALUE: value is not None,
    }  # fmt: skip
    said = [verdict for verdict, is_said in ways.items() if is_said]
    if len(said) != 1:
        raise click.UsageError("give one of --retry, --skip, --value JSON and --fail")
    given = None if value is None else read_json(value, "--value")
    body = answer_body(task, said[0], given, attempt)
    return _tell(settings, run, Verb.ANSWER, comment, body, trust=trust, as_json=as_json)


@click.command(
    "signal",
    epilog=examples(
        ("dwf signal etl-2026 payment '{\"amount\": 5}'", "its value goes to the task"),
        ("dwf signal etl-2026 go", "with the value null"),
    ),
)
@run_argument
@click.argument("name", metavar="NAME")
@click.argument("value", metavar="[JSON]", default="null")
@trust_option
@json_option()
@pass_settings
def signal(
    settings: Settings, *, run: str, name: str, value: str, trust: bool, as_json: bool
) -> int:
    """Send a run a signal.

    The first task that waits for it takes it; one that comes early is kept for the next that does.

    Exit code: 0 accepted, 3 no such run, or none of its tasks ever waits for this signal, 4 the run
    has ended, 7 not answered yet.
    """
    body = signal_body(name, read_json(value, "JSON"))
    return _tell(settings, run, Verb.SIGNAL, "", body, trust=trust, as_json=as_json)


def _tell(
    settings: Settings,
    run: str,
    verb: Verb,
    comment: str,
    body: Body,
    *,
    trust: bool,
    as_json: bool,
) -> int:
    check_comment(comment)
    store = open_store(settings.store, trust=trust)
    try:
        run_id = pick(store.log, run).run_id
        answer = send(store, run_id, verb, person(), comment, more=body)
    finally:
        store.close()
    if as_json:
        document: Document = {
            "run_id": run_id,
            "command": str(body.get("verdict", verb.value)),
            "task" if verb is Verb.ANSWER else "signal": body.get("task", body.get("name")),
            "accepted": answer.accepted,
            "text": answer.text,
        }
        say(dumps(document))
    else:
        note(f"{run_id}: {answer.text}")
    return Exit.OK if answer.accepted else Exit.WAITING


def read_json(text: str, where: str) -> Any:
    """A value that a person has typed. Raises click.BadParameter for what JSON does not have."""
    try:
        return json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        hint = "" if text[:1] in '{["' else "; a text needs quotes of its own: '\"text\"'"
        raise click.BadParameter(
            f"{text!r:.60} is not JSON: {error}{hint}", param_hint=where
        ) from None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number
