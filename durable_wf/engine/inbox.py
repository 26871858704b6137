"""The inbox: commands of other processes, looked at now and then.

Owns: when the store is asked for them: at most every `POLL_S`, and only if another process has
committed something since.
Must never: obey a command; the loop does, and answers it in the commit that carries it out.
Read next: `loop.py`, `commands.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from durable_wf.store.port import Command, Log

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
