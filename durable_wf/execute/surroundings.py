"""Surroundings: the folder, environment, import path and umask in which a run's attempts work.

Owns: both ends. The engine reads its own when a run begins (`Told.here`), since a notebook changes
them between two runs; a worker enters them, and puts back what an attempt has changed.
Must never: cost an attempt that changes nothing more than a look at a flag.
Read next: `worker.py`, which asks after each attempt.

The functions of `os` that change them are wrapped in a worker so that they set the flag. What goes
around them (C code that calls chdir) is found by `look`, which asks the kernel.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import attrs

from durable_wf.execute import processes

_CHANGING = ("chdir", "fchdir", "umask", "putenv", "unsetenv")
"""`os.environ` goes through the last two."""


@attrs.frozen
class Told:
    """What a worker is told of its engine's surroundings, all of it absolute.

    `changed` and `gone` are the difference to the environment in which the worker was born.
    """

    cwd: str
    path: tuple[str, ...]
    changed: Mapping[str, str]
    gone: tuple[str, ...] = ()

    @classmethod
    def here(cls, cwd: str = "") -> Told:
        """Those of this process, with its whole environment; `cwd` instead of its folder."""
        here = current_folder()
        path = tuple(os.path.join(here, entry) for entry in sys.path)
        return cls(cwd or here, path, dict(os.environ))

    def since(self, birth: Mapping[str, str]) -> Told:
        """The same for a worker that was born with the environment `birth`."""
        now = self.changed
        changed = {name: value for name, value in now.items() if birth.get(name) != value}
        changed.pop(processes.MARKER, None)  # a worker has its own
        gone = birth.keys() - now.keys() - {processes.MARKER}
        return attrs.evolve(self, changed=changed, gone=tuple(gone))

    def plain(self) -> tuple[Any, ...]:
        """As it travels."""
        return self.cwd, self.path, self.changed, self.gone


def current_folder() -> str:
    """The folder of this process, or "/" when that was deleted."""
    try:
        return os.getcwd()
    except OSError:
        return "/"


class Surroundings:
    """Those of this worker process. Made once: it wraps functions of `os`."""

    def __init__(self) -> None:
        self._base = dict(os.environ)
        """the environment of runs that were told nothing else"""
        self._environment = self._base
        self.told: Told | None = None
        """where this process is; None: it must enter anew"""
        self._path: tuple[str, ...] = ()
        self._folder = current_folder()
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self.changed = False
        """whether an attempt may have changed something"""
        for name in _CHANGING:
            setattr(os, name, self._watched(getattr(os, name)))

    def _watched(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            self.changed = True
            return function(*args, **kwargs)

        return watched

    def enter(self, told: Told) -> None:
        """Go where a run belongs. Raises OSError when its folder cannot be entered."""
        self.told = None
        try:
            os.chdir(told.cwd)
        except OSError as error:
            text = f"the folder of this run cannot be entered: {error.strerror}"
            raise OSError(error.errno, text, told.cwd) from None
        self._folder = os.getcwd()
        if list(told.path) != sys.path:
            # What imports have added here stays: modules that are loaded do not add it again.
            added = [e for e in sys.path if e not in self._path and e not in told.path]
            sys.path[:] = [*told.path, *(added if self._path else ())]
        self._path = told.path
        self._environment = {**self._base, **told.changed}
        for name in told.gone:
            self._environment.pop(name, None)
        self.told = told
        self.restore()

    def keep(self) -> None:
        """What the import of a run's code has done to the environment is there to stay: a module
        that is loaded does not do it again.
        """
        if self.changed:
            now = dict(os.environ)
            made = {k: v for k, v in now.items() if self._environment.get(k) != v}
            self._base.update(made)
            self._environment.update(made)
            self.restore()

    def look(self) -> None:
        """Restore what was changed, also the folder that was changed behind our back."""
        try:
            elsewhere = os.getcwd() != self._folder
        except OSError:
            elsewhere = True
        if elsewhere or self.changed:
            self.restore()

    def restore(self) -> None:
        """Undo what an attempt has done."""
        now, wanted = os.environ, self._environment
        if now != wanted:
            for name in [name for name in now if name not in wanted]:
                del now[name]
            for name, value in wanted.items():
                if now.get(name) != value:
                    now[name] = value
        os.umask(self._umask)
        self._go_back()
        self.changed = False

    def _go_back(self) -> None:
        with contextlib.suppress(OSError):
            if os.getcwd() == self._folder:
                return
        try:
            os.chdir(self._folder)
        except OSError:
            # The folder is gone: the next attempt finds out, and says so, when it enters.
            self.told = None
