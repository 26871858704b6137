"""Scripts that pack their functions, and a process that never saw them and calls them."""

from __future__ import annotations

import json
import subprocess
import sys

CHILD = """
import json, sys
from durable_wf.core.values import decode, encode
from durable_wf.execute import bundle
functions = bundle.unpack(sys.stdin.buffer.read())
value, seen = None, []
for index, function in enumerate(functions):
    value = function() if value is None else function(value)
    text = encode(value, functions.classes(index))
    value = decode(text, functions.classes(index))
    seen.append(text)
print(json.dumps(seen))
"""

_SENDS = """
import subprocess, sys
from durable_wf.execute import bundle
from durable_wf.execute.port import RunCode
names = [str(n) for n in range(len(FUNCTIONS))]
data = bundle.pack(RunCode(1, "r", "w", "r", FUNCTIONS, names))
command = [sys.executable, "-c", {child!r}]
done = subprocess.run(command, input=data, capture_output=True, timeout=60)
sys.stdout.write("OUT" + done.stdout.decode() + done.stderr.decode())
"""

SENDS = _SENDS.format(child=CHILD)
"""The end of a script that has a list FUNCTIONS: what the other process says of them. Each is
called with what the one before it returned.
"""


def run(command, cwd, **options):
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=60, **options
    )
    out = done.stdout.partition("OUT")[2]
    assert out, done.stderr
    return json.loads(out.splitlines()[0]) if out.startswith("[") else out
