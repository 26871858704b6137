"""Starting a worker process, without the parent's `__main__`.

Owns: a fork server of our own (the one that `multiprocess` shares with user code stays as it is)
and the start of a process in it. The script or notebook of the user is not imported again in a
worker, so no `if __name__ == "__main__"` is asked of it.
What children of a worker inherit is said here, too.
Must never: fork the engine's process; that would carry its locks and descriptors along.
Read next: `nursery.py` (what the fork server has loaded), `supervisor.py`.
"""

from __future__ import annotations

import io
import os
import subprocess
from functools import wraps
from typing import Any

from multiprocess import context, forkserver, popen_forkserver, process, spawn, util

_server = forkserver.ForkServer()
_PRELOADED = ["durable_wf.execute.nursery"]
_server.set_forkserver_preload(_PRELOADED)

_OF_MAIN = ("init_main_from_name", "init_main_from_path")


class _Popen(popen_forkserver.Popen):  # type: ignore[misc]
    """As the base class, with our fork server and without `__main__`."""

    def _launch(self, process_obj: Any) -> None:
        told = spawn.get_preparation_data(process_obj._name)
        for name in _OF_MAIN:
            told.pop(name, None)
        told["dir"] = "/"  # the worker enters the engine's folder itself, if it still exists
        buffer = io.BytesIO()
        context.set_spawning_popen(self)
        try:
            context.reduction.dump(told, buffer)
            context.reduction.dump(process_obj, buffer)
        finally:
            context.set_spawning_popen(None)
        self.sentinel, sending = _server.connect_to_new_process(self._fds)
        lifeline = os.dup(sending)
        self.finalizer = util.Finalize(self, util.close_fds, (lifeline, self.sentinel))
        with open(sending, "wb", closefd=True) as file:
            file.write(buffer.getbuffer())
        self.pid = forkserver.read_signed(self.sentinel)


class WorkerProcess(context.ForkServerProcess):  # type: ignore[misc]
    """A process of our fork server. Daemonic to the engine: it is never joined at exit."""

    def start(self) -> None:
        """Start it, unknown to `multiprocess`, which at the exit of this process, or of any fork of
        it, would terminate it.
        """
        super().start()
        process._children.discard(self)

    @staticmethod
    def _Popen(process_obj: Any) -> _Popen:  # noqa: N802 - the name that multiprocess calls
        return _Popen(process_obj)


def warm_up() -> None:
    """Have the fork server started, without waiting for it."""
    _server.ensure_running()


def _forget_in_child() -> None:
    """The fork server is the parent's; a forked child that runs an engine starts one of its own."""
    if _server._forkserver_alive_fd is not None:
        os.close(_server._forkserver_alive_fd)
        _server.__init__()
        _server.set_forkserver_preload(_PRELOADED)


os.register_at_fork(after_in_child=_forget_in_child)


def leave_fork_server() -> None:
    """Called in a new worker: what its tasks start with `multiprocess` shall be their own children.

    Without this they would be made by the fork server, outside of the worker's process group.
    """
    shared = forkserver._forkserver
    if shared._forkserver_alive_fd is not None:
        os.close(shared._forkserver_alive_fd)
    shared.__init__()
    process.current_process()._config["daemon"] = False  # a daemon may not have children


_POSITIONS = 7
"""Arguments of `Popen` before `close_fds`; whoever gives more by position speaks for himself."""


def hand_down(lock: int) -> None:
    """Called in a new worker: let programs that its tasks start inherit its lock, as forks do.

    `subprocess` closes what it is not told of. A program without the worker's environment, group
    and session would then not be known as the worker's; by the lock it is.
    """
    known = os.fstat(lock)
    start = subprocess.Popen.__init__

    def is_there() -> bool:
        try:
            return os.path.samestat(os.fstat(lock), known)  # a task may have closed it
        except OSError:
            return False

    @wraps(start)
    def inheriting(self: Any, *args: Any, **more: Any) -> None:
        if len(args) <= _POSITIONS and more.get("close_fds", True) and is_there():
            more["pass_fds"] = (*more.get("pass_fds", ()), lock)
        start(self, *args, **more)

    subprocess.Popen.__init__ = inheriting  # type: ignore[method-assign]
