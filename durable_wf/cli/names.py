"""Names that differ only in their numbering, so that many tasks can be told as one group.

Owns: what counts as numbering.
Must never: know what is grouped.
Read next: `render.py`, `drawing/picture.py`.
"""

from __future__ import annotations

import re

_NUMBERING = re.compile(r"[_\-.\[ #]*(?:ID|id)?\d+\]?$")


def stem(name: str) -> str:
    """A name without its numbering: `resize_007` and `resize[7]` are both `resize`."""
    return _NUMBERING.sub("", name) or name
