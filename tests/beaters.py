"""Task functions that send heartbeats, for the tests of executors and engines.

A module of its own, because workers import it by name.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

from durable_wf.execute.context import current


def beat(detail):
    """One heartbeat, and out."""
    current().heartbeat(detail)
    return "beaten"


def beat_many(times):
    me = current()
    for n in range(times):
        me.heartbeat(n)
    return me.last_heartbeat


def beat_and_fail(*details):
    for detail in details:
        current().heartbeat(detail)
    raise ValueError("after the heartbeat")


def fail():
    raise ValueError("without a heartbeat")


def beat_and_die(*details):
    for detail in details:
        current().heartbeat(detail)
    os.kill(os.getpid(), signal.SIGKILL)


def beat_until(path, detail):
    """Beat once, then wait for a file."""
    current().heartbeat(detail)
    while not os.path.exists(path):
        time.sleep(0.005)


def beat_for(seconds, pause=0.02):
    """Beat for as long, without a detail."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        current().heartbeat()
        time.sleep(pause)
    return "alive"


def beat_then(how, detail):
    """Beat once, then fall silent in some way."""
    current().heartbeat(detail)
    if how == "is stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    libc = ctypes.PyDLL(None)  # holds the interpreter while C runs
    libc.usleep.argtypes = [ctypes.c_uint]
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if how == "holds the interpreter":
            libc.usleep(900_000)
        else:
            time.sleep(60)


def silent(seconds):
    time.sleep(seconds)
    return "ended"


def last():
    """What the attempt before has said."""
    return current().last_heartbeat


def beat_nothing_and_fail():
    """Alive, but no further than the attempt before."""
    current().heartbeat()
    raise ValueError("no progress")


def beat_in_a_thread(seconds):
    """Another thread beats while this one is busy."""
    done = threading.Event()

    def beat():
        while not done.wait(0.02):
            current().heartbeat("from a thread")

    thread = threading.Thread(target=beat)
    thread.start()
    time.sleep(seconds)
    done.set()
    thread.join(10)
    return "worked"


def beat_in_a_child(seconds):
    """A forked process does the work, and beats."""
    pid = os.fork()
    if pid == 0:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            current().heartbeat("from a child")
            time.sleep(0.02)
        os._exit(0)
    os.waitpid(pid, 0)
    return "waited"


def beat_wrongly():
    """Details that cannot be; what was said of each."""
    said = []
    for detail in ("x" * 9000, object(), {"rows": [1, lambda: 0]}):
        try:
            current().heartbeat(detail)
        except Exception as error:
            said.append(f"{type(error).__name__}: {error}")
    return said


_left = []


def leave_a_beater():
    """Keep what belongs to this attempt for the next one to misuse."""
    _left.append(current())


def misuse():
    try:
        _left.pop().heartbeat("too late")
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing was said"
