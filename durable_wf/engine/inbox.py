"""The inbox: commands of other processes, looked at now and then.

Owns: when the store is asked for them: at most every `POLL_S`, and only if another process has
committed something since; and what those are told that came too late, since whoever would have
obeyed them has ended the run: who ends it, or finds that it has ended, tells them.
Must never: obey a command; `desk.py` does.
Read next: `desk.py`, `commands.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_wf.core.status import RUN_FINAL, RunStatus
from durable_wf.engine.commands import too_late
from durable_wf.store.port import Answer, Command, Log

POLL_S = 0.1
"""How often the inbox is looked at, in seconds."""


class Inbox:
    """The commands of one store that nobody has answered. `look_at` is when it is time to look
    again (monotonic seconds).
    """

    def __init__(self, store: Log) -> None:
        self._log = store
        self.look_at = 0.0
        self._version = -1

    def news(self, now: float) -> Sequence[Command]:
        """All open commands, if something has changed. To be asked from `look_at` on."""
        self.look_at = now + POLL_S
        version = self._log.version()
        if version == self._version:
            return ()
        self._version = version
        return self._log.inbox()

    def look_again(self) -> None:
        """Look at the next time even if nothing has changed: commands that were passed over, since
        their run was not held, may now be meant for this engine.
        """
        self._version = -1

    def look_no_more(self) -> None:
        """Leave all further commands where they are."""
        self.look_at = float("inf")

    @property
    def has_looked(self) -> bool:
        """Whether it has been looked at since the last `look_again`."""
        return self._version != -1


def answer_if_ended(log: Log, command: Command) -> Answer | None:
    """What a command is told whose run has ended; None where it has not."""
    row = log.row(command.run_id)
    return None if row is None or row.ended_at is None else too_late(command, row.status)


def all_too_late(log: Log, run_id: str, status: RunStatus | None) -> list[Answer]:
    """What the open commands of a run are told that ends so, for the transaction that ends it."""
    if status not in RUN_FINAL:
        return []
    return [too_late(command, status) for command in log.inbox() if command.run_id == run_id]
