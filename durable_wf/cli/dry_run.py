"""`--dry-run`: what continuing a run would do, told.

Owns: the screen and the document of a rehearsal, and how the store is opened for one.
Must never: open a store for writing.
Read next: `../engine/rehearsal.py`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from durable_wf.cli.context import out, say
from durable_wf.cli.decisions import decision_words
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.stores import is_known
from durable_wf.cli.terminal import Look, one_line
from durable_wf.cli.times import iso, local, span
from durable_wf.core import inputs as i
from durable_wf.core.status import WaitKind
from durable_wf.core.summary import RunRow
from durable_wf.engine.rehearsal import Judged, Rehearsal, Said, Waits, rehearse
from durable_wf.engine.settings import Settings
from durable_wf.errors import DurableWorkflowError
from durable_wf.store.opening import Store

_SHOWN = 5
_WAITED_FOR: Mapping[WaitKind | None, str] = {
    WaitKind.SLEEP: "time to pass",
    WaitKind.SIGNAL: "a signal",
    WaitKind.APPROVAL: "an approval",
    WaitKind.OPERATOR: "a decision",
    None: "its retry",
}


def dry_run(
    store: Store,
    rows: Sequence[RunRow],
    why: str,
    engine: Settings,
    *,
    accept_changes: bool,
    as_json: bool,
) -> Exit:
    """Tell of each run what continuing it with such an engine would do; 4 where one would be
    refused.
    """
    sys.dont_write_bytecode = True  # what the code imports stays as it is on the disk, too
    trusted = engine.trust or is_known(store)
    codes = {Exit.OK}
    for row in rows:
        now = time.time_ns() // 1000
        try:
            found = rehearse(
                store, row, why, now,
                trusted=trusted, accept_changes=accept_changes, settings=engine,
            )  # fmt: skip
        except DurableWorkflowError as error:
            if len(rows) == 1:
                raise
            codes.add(Exit.WRONG_STATE)
            say(_error(row, error, as_json=as_json))
            continue
        if found.refused:
            codes.add(Exit.WRONG_STATE)
        if as_json:
            say(dumps(document(found, why)))
            continue
        for line in screen(found, why, now, out()):
            say(line)
    return max(codes)


def _error(row: RunRow, error: DurableWorkflowError, *, as_json: bool) -> str:
    if as_json:
        return dumps({"run_id": row.run_id, "refused": [error.message]})
    return f"run {row.run_id} would not be continued: {one_line(error.message)}"


# --- for people -----------------------------------------------------------------------------------


def screen(found: Rehearsal, why: str, now: int, look: Look) -> Iterator[str]:
    """The lines that tell a rehearsal."""
    done = "resumed" if why == "resume" else "recovered"
    would = "would not be" if found.refused else "would be"
    yield look.paint(f"run {found.run_id} {would} {done}; nothing was written", "bold")
    yield from (_row("refused", one_line(text), look) for text in found.refused)
    if tasks := found.changed.tasks:
        yield _row("changed", f"the code of {_few(tasks)} (--accept-changes)", look)
    if beside := found.changed.beside:
        yield _row("changed", f"{_few(beside)} (--accept-changes)", look)
    if found.no_code:
        yield _row("rules", "not at hand, so the default is asked", look)
    elif found.lost_rules or found.new_rules:
        gone = [f"gone: {_few(found.lost_rules)}"] * bool(found.lost_rules)
        new = [f"new: {_few(found.new_rules)}"] * bool(found.new_rules)
        yield _row("rules", "; ".join(gone + new), look)
    if found.engine:
        yield _row("engine", f"{found.engine}, which is alive, goes on with it", look)
    if found.workers:
        yield _row("old workers", f"{_few(found.workers)}, ended first", look)
    yield _row("reused", _counted(found.reused), look)
    if found.ended:
        yield _row("ended", _counted(found.ended), look)
    if found.returned:
        yield _row("never began", _counted(found.returned), look)
    yield _row("in doubt", _counted([one.task for one in found.judged if one.in_doubt]), look)
    for judged in found.judged:
        yield from _decided(judged, look)
    if found.paused:
        yield _row("pauses", one_line(found.paused), look)
    if found.ends is not None:
        yield _row("ends", f"at once: {found.ends.value}", look)
        return
    yield _row("starts", _counted(found.starts), look)
    for one in found.waits[:_SHOWN]:
        yield _row("waits", one_line(_waits(one, now)), look)
    if len(found.waits) > _SHOWN:
        yield _row("waits", f"and {len(found.waits) - _SHOWN} more", look)
    yield _row("later", _counted(found.later), look)


def _waits(one: Waits, now: int) -> str:
    """What a task would wait for, and until when."""
    what = _WAITED_FOR[one.what]
    asked = f" of {one.whom}" * bool(one.whom) + f": {one.question}" * bool(one.question)
    words = f"{one.task} for {what}{asked}"
    if one.until is None:
        return words
    left = f", for {span(one.until - now)} more" if one.until > now else ""
    return f"{words}, until {local(one.until)}{left}"


def _decided(judged: Judged, look: Look) -> Iterator[str]:
    """A fault, what each rule says about it, and what is decided."""
    fault = one_line(judged.fault.message or judged.fault.kind.value)
    policy = f" (in_doubt={judged.policy.value})" if judged.in_doubt else ""
    yield _row("", f"{one_line(judged.task)}, attempt {judged.attempt}: {fault}{policy}", look)
    decided = judged.decision
    answers = (said for said in judged.said if said.answer is not None)
    deciding = next((said for said in answers if said.rule == decided.rule), None)
    for said in judged.said:
        mark = "->" if said is deciding else "  "
        yield _row("", f"{mark} {_said(said)}", look)
    if deciding is None:
        words = f"{decision_words(decided)}: {decided.reason}"
        yield _row("", f"-> {one_line(f'{decided.rule}: {words}')}", look)


def _said(said: Said) -> str:
    name = f"{said.rule} (version {said.version})"
    if said.answer is None:
        return one_line(f"{name}: no answer")
    return one_line(f"{name}: {decision_words(said.answer)}: {said.answer.reason}")


def _row(name: str, text: str, look: Look) -> str:
    return f"  {look.paint(f'{name:11}', 'dim')}  {text}"


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)}: {_few(names)}" if names else "0"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return one_line(", ".join(names[:_SHOWN])) + more


# --- for programs ---------------------------------------------------------------------------------


def document(found: Rehearsal, why: str) -> Document:
    """A rehearsal as JSON."""
    return {
        "run_id": found.run_id,
        "action": why,
        "recorded_status": found.before.value,
        "refused": list(found.refused),
        "no_code": found.no_code,
        "changed": list(found.changed.tasks),
        "changed_beside": list(found.changed.beside),
        "lost_rules": list(found.lost_rules),
        "new_rules": list(found.new_rules),
        "engine": found.engine,
        "old_workers": list(found.workers),
        "reused": list(found.reused),
        "ended": list(found.ended),
        "never_began": list(found.returned),
        "decisions": list(map(_judged_document, found.judged)),
        "starts": list(found.starts),
        "waits": list(map(_waits_document, found.waits)),
        "later": list(found.later),
        "paused": found.paused,
        "ends": found.ends.value if found.ends else None,
    }


def _waits_document(one: Waits) -> Document:
    return {
        "task": one.task,
        "for": one.what.value if one.what is not None else "retry",
        "until": iso(one.until),
        "question": one.question,
        "whom": one.whom,
    }


def _judged_document(judged: Judged) -> Document:
    return {
        "task": judged.task,
        "attempt": judged.attempt,
        "in_doubt": judged.in_doubt,
        "policy": judged.policy.value,
        "kind": judged.fault.kind.value,
        "message": judged.fault.message,
        "rules": list(_said_documents(judged.said)),
        "decision": _decision_document(judged.decision),
    }


def _said_documents(said: Iterable[Said]) -> Iterator[Document]:
    for one in said:
        answer = None if one.answer is None else _decision_document(one.answer)
        yield {"rule": one.rule, "version": one.version, "answer": answer}


def _decision_document(decision: i.Decision) -> Document:
    return {
        "does": decision_words(decision),
        "rule": decision.rule,
        "version": decision.version,
        "reason": decision.reason,
        "facts": dict(decision.facts),
    }
