"""Pickled results: opt-in per task, signed, and read only where the value is used.

Owns: the bytes of `codec="pickle"`: a mark, a keyed digest, the pickle.
Must never: unpickle bytes whose signature is wrong, or anything only to show it.
Read next: `calls.py`.
"""

from __future__ import annotations

import hmac
import pickle
from hashlib import blake2b
from typing import Any

from durable_wf.errors import NotReadable, NotStorable

PICKLE = "pickle"
"""The codec's name."""

_MARK = b"dwf-pickle-1\n"
_DIGEST = 32


def pack(value: Any, key: bytes) -> bytes:
    """The signed pickle of `value`. Raises NotStorable."""
    try:
        data = raw(value)
    except Exception as error:
        raise NotStorable(
            f"result: it cannot be pickled: {type(error).__name__}: {error}",
            hint="return plain data, or write a file and return its path",
        ) from error
    return _MARK + _sign(data, key) + data


def raw(value: Any) -> bytes:
    """The pickle of `value`, unsigned: nothing of ours ever reads it. Raises what pickling raises.

    Classes that no module can give travel with it.
    """
    import cloudpickle  # heavy

    return cloudpickle.dumps(value)  # type: ignore[no-any-return]


def unpack(data: bytes, key: bytes) -> Any:
    """The value of a signed pickle. Raises NotReadable, before anything is run, when it is not."""
    signed, body = data[len(_MARK) :][:_DIGEST], data[len(_MARK) + _DIGEST :]
    if not data.startswith(_MARK):
        raise NotReadable("a payload is not a signed pickle")
    if not hmac.compare_digest(signed, _sign(body, key)):
        raise NotReadable(
            "a pickled value was not signed by this user; it was not read",
            hint="run the task again: `dwf audit verify` tells whether the log was changed",
        )
    try:
        return pickle.loads(body)  # noqa: S301 - signed by this user
    except Exception as error:
        raise NotReadable(f"a pickled value: {type(error).__name__}: {error}") from error


def _sign(data: bytes, key: bytes) -> bytes:
    # The digest first: it bounds the key to what HMAC's user-supplied length may be.
    return hmac.digest(blake2b(key).digest(), data, "sha256")
