"""`python -m durable_wf`: the command line.

Owns: nothing; `cli/main.py` does.
Must never: hold code of its own, since workers start without it.
Read next: `cli/main.py`.
"""

from __future__ import annotations

from durable_wf.cli.main import main

if __name__ == "__main__":
    main()
