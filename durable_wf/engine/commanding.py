"""Commanding: how a command that a program gives finds its run.

Owns: the choice between a run of this engine, wherever its loop turns, and one of others.
Must never: decide; `control.py` does, or the engine that holds the run.
Read next: `control.py`, `people.py`.
"""

from __future__ import annotations

from pathlib import Path

from durable_wf.authoring import loading
from durable_wf.engine import control, origin
from durable_wf.engine.commands import Body
from durable_wf.engine.session import Session
from durable_wf.store.opening import open_store
from durable_wf.store.port import Answer, Verb


def command(
    path: Path, session: Session | None, run_id: str, verb: Verb, reason: str, more: Body
) -> Answer:
    """Give a command in this user's name, in the store at `path`, for which this engine has a
    `session` or none. What `control.send` raises.

    A script that is only loaded commands nobody. Who is in a turn of the loop itself cannot wait.
    """
    if loading.is_loading():
        return Answer(0, run_id, False, f"not done while a script is loaded: {verb.value}")
    person = origin.person()
    if session is not None and session.loop.holds(run_id):
        loop = session.loop
        if session.driver.is_driving():
            loop.request(lambda: control.command_if_live(loop, run_id, verb, person, reason, more))
            return Answer(0, run_id, True, f"{verb.value} follows")
        live, answer = session.driver.call(
            lambda: control.command_live(loop, run_id, verb, person, reason, more, session.store)
        )
        if not live.lost:
            return answer
    store = open_store(path)
    try:
        return control.send(store, run_id, verb, person, reason, more=more)
    finally:
        store.close()
