"""What the fork server loads before it makes workers.

Owns: two effects of being imported there. The fork server leaves the terminal's session, so that
Ctrl-C, a hang-up or a signal to the engine's group does not take all workers away; and the worker's
code is loaded once, so that a worker starts in milliseconds.
Must never: be imported anywhere else.
Read next: `launch.py`, which names it; `worker.py`.
"""

from __future__ import annotations

import contextlib
import os

from durable_wf.execute import worker

with contextlib.suppress(OSError):
    os.setsid()
with contextlib.suppress(ImportError):
    # What by-value functions are read with; too heavy to be imported in each worker anew.
    import cloudpickle  # noqa: F401

    from durable_wf.execute import rebuilding  # noqa: F401

main = worker.main
