"""Commands: what a row of the inbox asks of the core.

Owns: the way from a verb to an input.
Must never: answer; the loop does, with the events that the command caused.
Read next: `loop.py`, `control.py`.
"""

from __future__ import annotations

from durable_wf.core import inputs as i
from durable_wf.store.port import Command, Verb


def command_input(command: Command) -> i.Command:
    """The input that a command of the inbox stands for."""
    match command.verb:
        case Verb.CANCEL:
            return i.Cancel(command.actor, command.reason)
        case Verb.PAUSE:
            return i.Pause(command.actor, command.reason)
        case Verb.RESUME:
            return i.Resume(command.actor)
