"""The desk: where commands of other processes are obeyed, or answered why not.

Owns: what becomes of a row of the inbox: a command to a run of this engine is decided, and answered
in the commit that carries it out; one whose run has ended is told that it came too late; one to a
run that somebody else may take stays where it is.
Must never: commit, or look more often than `inbox.py` says.
Read next: `commands.py`, for what a row means; `loop.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from durable_wf.core import inputs as i
from durable_wf.core.events import Recorded
from durable_wf.core.steps import Decided
from durable_wf.engine.commands import accepted, command_input
from durable_wf.engine.drafting import Draft
from durable_wf.engine.inbox import Inbox, answer_if_ended
from durable_wf.engine.live import LiveRun
from durable_wf.errors import CallerError
from durable_wf.store.port import Answer, Command, Log


class Host(Protocol):
    """The loop, as far as commands need it."""

    def run(self, run_id: str) -> LiveRun | None:
        """The live run of that id, if it is held."""

    def give(self, live: LiveRun, given: i.Input, at: int = 0) -> Decided:
        """Decide an input of a run."""

    def change(self, live: LiveRun) -> None:
        """Look at a run after the next commit, though nothing of it may be in that."""


class Desk:
    """The desk of one engine."""

    def __init__(self, host: Host, store: Log, draft: Draft, inbox: Inbox) -> None:
        self._host = host
        self._log = store
        self._draft = draft
        self._inbox = inbox

    def look(self, now: float) -> None:
        """Take what is new. To be done when it is time to look at the inbox."""
        for command in self._inbox.news(now):
            live = self._host.run(command.run_id)
            if live is not None:
                self._obey(live, command)
            else:
                self._answer_if_late(command)

    def close(self) -> None:
        """Obey nothing more, but tell those that came too late."""
        for command in self._log.inbox():
            self._answer_if_late(command)

    def _obey(self, live: LiveRun, command: Command) -> None:
        try:
            decided = self._host.give(live, command_input(command))
        except CallerError as error:
            self._answer(live, command, error.message)
        else:
            self._answer(live, command, decided.refused, decided.events)

    def _answer(
        self, live: LiveRun, command: Command, refused: str, events: Sequence[Recorded] = ()
    ) -> None:
        text = refused or accepted(command, live.state, events)
        self._draft.answer(Answer(command.id, live.run_id, not refused, text))
        self._host.change(live)

    def _answer_if_late(self, command: Command) -> None:
        answer = answer_if_ended(self._log, command)
        if answer is not None:
            self._draft.answer(answer)
