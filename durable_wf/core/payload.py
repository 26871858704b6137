"""Stored values: as text, or as a reference to a payload.

Owns: PayloadRef and Value, apart from the tasks so that a worker loads no more than it needs.
Must never: read or write what a reference stands for.
Read next: `values.py`, for the text; `store/payload_files.py`.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class PayloadRef:
    """A stored value that is too large to stand inside an event.

    `digest` is the hex blake2b of its bytes, `size` their number, `codec` how to read them
    (`json`, `npy`, `arrow`, `pickle`). `file` tells a file under `payloads/` from a table row.
    """

    digest: str
    size: int
    codec: str = "json"
    file: bool = False


Value = str | PayloadRef
"""A stored value: exact JSON text (see `values.py`), or a reference to a payload."""
