"""What an attempt may use, as far as the worker itself can see to it.

Owns: the environment by which libraries learn how many threads and which devices to use, and the
hard memory limit. Time and resident memory are watched from outside, by the engine.
Must never: leave a limit behind for the next attempt.
Read next: `worker.py`.
"""

from __future__ import annotations

import os
import resource

from durable_wf.execute.wire import Confinement

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
DEVICES = "CUDA_VISIBLE_DEVICES"


def prepare_environment() -> None:
    """One thread per library, as a task has one cpu unless it says otherwise.

    Libraries read this when they are first imported. A value that the user has set stays.
    """
    for name in THREADS:
        os.environ.setdefault(name, "1")


class Confined:
    """A context manager around one attempt that asked for something of its own."""

    def __init__(self, limits: Confinement) -> None:
        _, self._hard, cpu, gpus, _ = limits
        self._wanted: dict[str, str] = {}
        if cpu != 1.0:
            self._wanted = dict.fromkeys(THREADS, str(max(1, int(cpu))))
        if gpus:
            self._wanted[DEVICES] = ",".join(map(str, gpus))

    def __enter__(self) -> None:
        """Apply the limits."""
        self._before = {name: os.environ.get(name) for name in self._wanted}
        os.environ.update(self._wanted)
        if self._hard:
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            limit = self._hard if most == resource.RLIM_INFINITY else min(self._hard, most)
            resource.setrlimit(resource.RLIMIT_AS, (limit, most))

    def __exit__(self, *error: object) -> None:
        """Lift them."""
        if self._hard:
            _, most = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
