"""Pickled results: opt-in per task, signed, and read only where the value is used.

Owns: the bytes of `codec="pickle"`: a mark, a keyed digest, the pickle.
Must never: unpickle bytes whose signature is wrong, or anything only to show it.
Read next: `calls.py`.
"""

from __future__ import annotations

import hmac
import io
import pickle
import sys
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from durable_wf.errors import NotReadable, NotStorable

PICKLE = "pickle"
"""The codec's name."""

_MAKERS = "cloudpickle.cloudpickle"
"""The module by whose functions a pickle makes classes."""

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
    from durable_wf.execute import reducing  # imports cloudpickle, which is heavy

    file = io.BytesIO()
    reducing.Pickler(file).dump(value)
    return file.getvalue()


def unpack(data: bytes, key: bytes, space: Mapping[str, object] | None = None) -> Any:
    """The value of a signed pickle. Raises NotReadable, before anything is run, when it is not.

    Of a class that travelled with its instances, the one of the same name in `space` (the globals
    of who receives the value), or in its own module where that is loaded, is taken: `isinstance`
    holds, in a later process too.
    """
    signed, body = data[len(_MARK) :][:_DIGEST], data[len(_MARK) + _DIGEST :]
    if not data.startswith(_MARK):
        raise NotReadable("a payload is not a signed pickle")
    if not hmac.compare_digest(signed, _sign(body, key)):
        raise NotReadable(
            "a pickled value was not signed by this user; it was not read",
            hint="run the task again: `dwf audit verify` tells whether the log was changed",
        )
    try:
        return _Unpickler(io.BytesIO(body), space or {}).load()  # signed by this user
    except Exception as error:
        raise NotReadable(f"a pickled value: {type(error).__name__}: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Puts known classes in the place of those that the pickle would make anew."""

    def __init__(self, file: io.BytesIO, space: Mapping[str, object]) -> None:
        super().__init__(file)
        self._space = space
        self._taken: set[type] = set()

    def find_class(self, module: str, name: str, /) -> Any:
        """What a pickle names; the makers of classes are asked through us."""
        found = super().find_class(module, name)
        if module != _MAKERS:
            return found
        match name:
            case "_make_skeleton_class":
                return lambda meta, name, bases, more, *rest: (
                    self._known(more.get("__module__"), name)
                    or found(meta, name, bases, more, *rest)
                )
            case "_make_skeleton_enum":
                return lambda bases, name, qualname, members, module, *rest: (
                    self._known(module, name)
                    or found(bases, name, qualname, members, module, *rest)
                )
            case "_class_setstate":
                return lambda made, state: made if made in self._taken else found(made, state)
        return found

    def _known(self, module: object, name: str) -> type | None:
        home = vars(sys.modules.get(str(module), object))
        for kind in (self._space.get(name), home.get(name)):
            if isinstance(kind, type) and (kind.__module__, kind.__qualname__) == (module, name):
                self._taken.add(kind)
                return kind
        return None


def _sign(data: bytes, key: bytes) -> bytes:
    # The digest first: it bounds the key to what HMAC's user-supplied length may be.
    return hmac.digest(blake2b(key).digest(), data, "sha256")
