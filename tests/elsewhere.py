"""A process that has loaded nothing yet reads a stored value, as a resumed run's does."""

from __future__ import annotations

import subprocess
import sys

_READS = """
import sys
from durable_wf.core.values import decode_payload
found = decode_payload(sys.argv[1], sys.stdin.buffer.read())
print(eval(sys.argv[2]))
"""


def read_elsewhere(codec: str, data: bytes, shown: str) -> str:
    """What the expression `shown` says about `found`, the value, in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _READS, codec, shown], input=data, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()
