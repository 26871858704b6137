"""`dwf audit`: proof that the log was not changed.

Owns: telling the verdict.
Must never: repair, or need a store that can be opened: damage is what it is for.
Read next: `../../store/verify.py`.
"""

from __future__ import annotations

import attrs
import click

from durable_wf.cli.context import Settings, examples, json_option, pass_settings, say
from durable_wf.cli.documents import Document, dumps
from durable_wf.cli.exits import Exit
from durable_wf.cli.picking import pick
from durable_wf.cli.stores import open_for_reading, place_of
from durable_wf.core.wording import count_of
from durable_wf.errors import StoreError
from durable_wf.store.folder import check_folder
from durable_wf.store.verify import Hash, Verdict, head_hash, verify_folder
from durable_wf.store.verify import verify as verify_store


@click.group("audit")
def audit() -> None:
    """Prove that the log was not changed.

    Every event carries a hash over itself and all before it in its run, and the store keeps one
    over everything. This shows damage and careless edits; keep `dwf audit head` elsewhere to show
    deliberate ones.
    """


@audit.command(
    "verify",
    short_help="Compute all hashes again and name the first bad event.",
    epilog=examples(
        ("dwf audit verify", "the whole log"),
        ("dwf audit verify @last", "one run"),
        ("dwf audit verify --kept 1042:9f3c...", "and that it still holds what was kept"),
    ),
)
@click.argument("run", metavar="[RUN]", required=False)
@click.option("--kept", metavar="SEQ:HASH", help="A line that dwf audit head printed earlier.")
@json_option()
@pass_settings
def verify(settings: Settings, *, run: str | None, kept: str | None, as_json: bool) -> int:
    """Compute all hashes again and name the first event that is not as it was written.

    Finds changed, missing and added events, a deleted -wal file and a cut end. Exit code 6 when
    something was found.
    """
    try:
        known = None if kept is None else Hash.parse(kept)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--kept") from None
    verdict = _verdict(settings, run, known)
    if as_json:
        say(dumps(_document(verdict)))
        return Exit.OK if verdict.sound else Exit.VERIFICATION
    verdict.raise_if_bad()
    runs, events = count_of(verdict.runs, "run"), count_of(verdict.events, "event")
    head = f"; head {verdict.head}" if verdict.head else ""
    say(f"ok: {runs}, {events}, as they were written{head}")
    return Exit.OK


@audit.command(
    "head",
    short_help="Print the hash of the whole log.",
    epilog=examples(("dwf audit head >> kept-elsewhere.txt", "")),
)
@json_option()
@pass_settings
def head(settings: Settings, *, as_json: bool) -> None:
    """Print the hash over all that the log holds now, to keep elsewhere.

    dwf audit verify --kept proves later that nothing before it was changed, whoever may write here.
    """
    with settings.reading() as store:
        found = head_hash(store)
    say(dumps({"seq": found.seq, "hash": found.digest}) if as_json else str(found))


def _verdict(settings: Settings, run: str | None, kept: Hash | None) -> Verdict:
    try:
        store = open_for_reading(settings.store)
    except StoreError:
        if run is not None:
            raise
        return verify_folder(check_folder(place_of(settings.store)), kept=kept)
    try:
        run_id = None if run is None else pick(store.log, run).run_id
        return verify_store(store, run_id, kept=kept)
    finally:
        store.close()


def _document(verdict: Verdict) -> Document:
    return {
        "sound": verdict.sound,
        "runs": verdict.runs,
        "events": verdict.events,
        "bad": [attrs.asdict(event) for event in verdict.bad],
        "problems": list(verdict.problems),
        "head": str(verdict.head) if verdict.head else None,
    }
