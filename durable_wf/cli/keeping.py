"""Results that could not be stored: where they are kept, and how a person reads one.

Owns: the lines that `dwf show --task` tells of such a file.
Must never: open it; or print a line that unpickles what somebody else has written.
Read next: `commands/show.py`.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from durable_wf.cli.facts import Kept
from durable_wf.cli.terminal import one_line

_READS = "import pickle, sys; value = pickle.load(open(sys.argv[1], 'rb'))"


def kept_lines(kept: Kept, output: Path, *, trusted: bool) -> list[str]:
    """What there is to say about it; `output` is the folder of the store, `trusted` whether what
    lies there was written by this user.
    """
    path = output / kept.file
    if not path.resolve().is_relative_to(output.resolve()):
        return [f"in {one_line(kept.file)!r}, as the log says, which is outside the store"]
    what = f"what attempt {kept.attempt} returned, pickled"
    lines = [one_line(str(path))]
    if not os.path.lexists(path):
        return [*lines, f"{what}; it is not there any more"]
    if not trusted:
        return [*lines, f"{what}; it comes from elsewhere: to unpickle it would run code of others"]
    return [
        *lines,
        f"{what}; unpickling runs the code that stands in it, so read only what is your own:",
        f'python -i -c "{_READS}" {shlex.quote(str(path))}',
    ]
