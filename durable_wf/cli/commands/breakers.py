"""`dwf breakers`: the circuit breakers of a store, and how the last attempts behind them ended.

Owns: the table and the documents of breakers, and the question before one is reset.
Must never: change a circuit itself; `engine/resetting.py` does.
Read next: `../breaking.py`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby

import attrs
import click

from durable_wf.cli.breaking import breaker_of, prober
from durable_wf.cli.bulk import confirmed
from durable_wf.cli.context import (
    Settings,
    examples,
    json_option,
    note,
    out,
    pass_settings,
    say,
    trust_option,
)
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.tables import Cell, Column, table
from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import ago, iso, local, span
from durable_wf.core.breaker import Breaker
from durable_wf.core.circuit import (
    TURNS,
    Circuit,
    CircuitState,
    Outcome,
    What,
    endings,
    fold,
    parts_of,
    sentence,
)
from durable_wf.core.wording import count_of
from durable_wf.engine import resetting
from durable_wf.engine.origin import person
from durable_wf.engine.resetting import known_key
from durable_wf.store.opening import Store, open_store

_SHOWN = 20
"""Outcomes told of each."""

_COLUMNS = (
    Column("BREAKER", flexible=True, least=12),
    Column("STATE"),
    Column("SINCE", right=True),
    Column("UNTIL"),
    Column(f"LAST {_SHOWN}", flexible=True, least=16),
    Column("LAST FAILURE", flexible=True, least=16),
)
_COLOURS = {
    CircuitState.CLOSED: "green", CircuitState.OPEN: "red", CircuitState.HALF_OPEN: "yellow",
}  # fmt: skip


@attrs.frozen
class _Shown:
    """One breaker. `prober` is the living engine that lets its probe through, or ""."""

    breaker: Breaker
    known: bool
    circuit: Circuit
    rows: tuple[Outcome, ...]
    changed_at: int | None
    prober: str


@click.group(
    "breakers",
    invoke_without_command=True,
    epilog=examples(
        ("dwf breakers", "what is open now"),
        ("dwf breakers --json", "with the last outcomes of each, for a program"),
        ("dwf breakers reset payments", "close it by hand, when the service is back"),
        ("dwf show @last", "which tasks of a run wait for one"),
    ),
)
@json_option("Print JSON Lines, one breaker a line.")
@pass_settings
@click.pass_context
def breakers(ctx: click.Context, settings: Settings, *, as_json: bool) -> None:
    """List circuit breakers: closed, open until when, or half-open, and the last outcomes.

    A breaker is listed once an attempt behind it has ended. Its settings are those of the newest
    run that used it. With --json: key, state, opened_at, until, failures, settings {failures,
    within_s, cooldown_s}, probe {run_id, task, attempt, engine}, why, outcomes [{at, what, run_id,
    task, attempt}]; times are ISO-8601 in UTC.
    """
    if ctx.invoked_subcommand is None:
        _list(settings, as_json=as_json)


@breakers.command(
    "reset",
    short_help="Close one by hand.",
    epilog=examples(
        ("dwf breakers reset payments", "after a question"),
        ("dwf breakers reset payments --yes -m 'new password'", "with a reason that is kept"),
    ),
)
@click.argument("key", metavar="KEY")
@click.option("-m", "--reason", default="", metavar="TEXT", help="Why; the log keeps it.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@trust_option
@json_option()
@pass_settings
def reset(
    settings: Settings, *, key: str, reason: str, yes: bool, trust: bool, as_json: bool
) -> None:
    """Close a circuit breaker by hand, and begin its count of failures anew.

    Tasks that wait for it start, at once where an engine runs them, and without a probe. How
    attempts end that had begun before says nothing about it any more. Who did it, when and why is
    recorded (dwf events @store).

    Exit code: 0 it is closed now, or you have said no; 3 no attempt behind it has ended here.
    """
    store = open_store(settings.store, trust=trust)
    try:
        before = _look_at(store, known_key(store.log, key), time.time_ns() // 1000).circuit
        if not confirmed(f"reset {_stands(before)}", yes=yes):
            return
        resetting.reset(store, key, person(), reason)
    finally:
        store.close()
    if as_json:
        closed = CircuitState.CLOSED.value
        say(dumps({"key": key, "before": before.state.value, "state": closed}))
    else:
        note(f"breaker {key!r} is closed; it was {_word(before.state)}")


def _list(settings: Settings, *, as_json: bool) -> None:
    now = time.time_ns() // 1000
    with settings.reading() as store:
        shown = [_look_at(store, key, now) for key in store.log.breakers()]
    if as_json:
        for one in shown:
            say(dumps(_document(one)))
        return
    if not shown:
        note("no attempt behind a circuit breaker has ended here yet")
        return
    for line in table(_COLUMNS, (_row(one, now, out()) for one in shown), out()):
        say(line)


def _look_at(store: Store, key: str, now: int) -> _Shown:
    rows = store.log.outcomes(key)
    breaker = breaker_of(store, key, rows)
    known = breaker is not None
    breaker = breaker or Breaker(key)
    turned = [row.at for row in rows if row.what in TURNS]
    circuit = fold(breaker, rows, now)
    return _Shown(
        breaker, known, circuit, endings(rows), turned[-1] if turned else None, prober(store, key)
    )


def _row(shown: _Shown, now: int, look: Look) -> tuple[str | Cell, ...]:
    circuit = shown.circuit
    failed = [row for row in shown.rows if row.what is What.FAILED]
    since = "" if shown.changed_at is None else _when(shown.changed_at, now, look)
    until = ""
    if circuit.state is CircuitState.OPEN:
        until = f"{local(circuit.until)} (in {span(circuit.until - now)})"
    elif circuit.state is CircuitState.HALF_OPEN:
        until = "its probe ends" if shown.prober else "a task probes"
    return (
        shown.breaker.key,
        Cell(_word(circuit.state), _COLOURS[circuit.state]),
        since,
        until,
        ", ".join(_runs(shown.rows[-_SHOWN:])),
        f"{failed[-1].place}, {_when(failed[-1].at, now, look)}" if failed else "",
    )


def _stands(circuit: Circuit) -> str:
    """`breaker 'pay', which is open until ...`."""
    name = f"breaker {circuit.key!r}"
    counted = f" ({count_of(circuit.failures, 'failure')})" * bool(circuit.failures)
    words = sentence(circuit).removeprefix(f"{name} is ") or f"closed{counted}"
    return one_line(f"{name}, which is {words}")


def _word(state: CircuitState) -> str:
    return state.value.replace("_", "-")


def _when(at: int, now: int, look: Look) -> str:
    return ago(at, now) if look.terminal else (iso(at) or "")


def _runs(rows: Sequence[Outcome]) -> Iterator[str]:
    """`3 ok`, `5 failed`: neighbours that ended alike, the newest last."""
    for what, group in groupby(rows, key=lambda row: row.what):
        yield f"{sum(1 for _ in group)} {what.value}"


def _document(shown: _Shown) -> Document:
    circuit, breaker = shown.circuit, shown.breaker
    is_open = circuit.state is not CircuitState.CLOSED
    run_id, task, attempt = parts_of(circuit.probe)
    probe = {"run_id": run_id, "task": task, "attempt": attempt, "engine": shown.prober}
    return {
        "key": breaker.key,
        "state": circuit.state.value,
        "opened_at": iso(circuit.opened_at) if is_open else None,
        "until": iso(circuit.until) if is_open else None,
        "failures": circuit.failures,
        "settings": {
            "failures": breaker.failures,
            "within_s": breaker.within_s,
            "cooldown_s": breaker.cooldown_s,
        }
        if shown.known
        else None,
        "probe": probe if shown.prober and circuit.probe else None,
        "why": sentence(circuit) or None,
        "outcomes": [_outcome_document(row) for row in shown.rows],
    }


def _outcome_document(row: Outcome) -> Document:
    run_id, task, attempt = parts_of(row.place)
    return {
        "at": iso(row.at), "what": row.what.value, "run_id": run_id, "task": task,
        "attempt": attempt,
    }  # fmt: skip
