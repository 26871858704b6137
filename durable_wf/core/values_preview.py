"""Previews: stored values as people see them, in lists, logs and pages.

Owns: a short line of text for any stored value, made from its JSON alone.
Must never: need a class, a library or a payload's bytes; let a control character through, which
could take over a terminal; or fail, whatever the text is.
Read next: `values_forms.py` for the forms it shortens.
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

from durable_wf.core.payload import PayloadRef, Value

_TAG = "$"
_READ_MAX = 20_000
"""Characters of text above which a value is cut without being parsed."""

_BRACKETS = {
    "tuple": "()", "set": "{}", "frozenset": "{}", "range": "()", "complex": "()", "Fraction": "()",
}  # fmt: skip
_DATA = frozenset({"bytes", "bytearray", "npy", "npy0", "str"})


def preview(value: Value, limit: int = 200) -> str:
    """One line of at most `limit` characters that shows what a stored value is.

    Tagged forms appear as Python would write them; payloads by codec and size.
    """
    if isinstance(value, PayloadRef):
        return clean(f"<{value.codec}, {value.size:,} bytes>", limit)
    text = value
    if _TAG in value and len(value) <= _READ_MAX:
        try:
            text = _show(json.loads(value))
        except Exception:  # noqa: BLE001 - whatever it is, people are shown its text
            text = value
    return clean(text, limit)


def clean(text: str, limit: int = 200) -> str:
    """`text` without control and invisible format characters, cut to `limit`, on one line."""
    cut = text[: limit + 1]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(
            " " if char.isspace() else char
            for char in cut
            if char.isspace() or unicodedata.category(char)[0] != "C"
        )
    return cut if len(cut) <= limit and len(text) <= limit else cut[: limit - 3] + "..."


def _show(found: Any) -> str:
    if isinstance(found, list):
        return f"[{_join(found)}]"
    if not isinstance(found, dict):
        return json.dumps(found, ensure_ascii=False)
    if _TAG not in found:
        return "{" + ", ".join(f"{_show(key)}: {_show(v)}" for key, v in found.items()) + "}"
    tag, held = str(found[_TAG]), found.get("v")
    if "c" in found:
        return _show_instance(tag, str(found["c"]).rpartition(".")[2], held)
    if tag in _DATA or tag.startswith("arrow"):
        return f"<{tag}, {len(str(held)) * 3 // 4:,} bytes>"
    if tag == "dict":
        return "{" + ", ".join(f"{_show(k)}: {_show(v)}" for k, v in held or ()) + "}"
    if tag == "tuple" and isinstance(held, list) and len(held) == 1:
        return f"({_show(held[0])},)"
    if tag in _BRACKETS and isinstance(held, list):
        left, right = tuple(_BRACKETS[tag])
        name = "" if tag in {"tuple", "set"} else tag
        return f"{name}{left}{_join(held)}{right}" if held or tag == "tuple" else f"{tag}()"
    if tag in {"int", "float"}:
        return str(held)
    return f"{tag}({_join(held) if isinstance(held, list) else _show(held)})"


def _show_instance(tag: str, name: str, held: Any) -> str:
    if tag == "enum":
        return f"{name}.{held}" if isinstance(held, str) else f"{name}({held})"
    if tag == "object":
        return f"{name}({', '.join(f'{key}={_show(v)}' for key, v in held)})"
    return f"{name}({_join(held)})"


def _join(items: list[Any]) -> str:
    return ", ".join(map(_show, items))
