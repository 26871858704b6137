"""Bundles: the functions of a run as bytes, for processes that never saw the user's script.

Owns: `pack` and `unpack`. What an importable module gives travels by name; everything of
`__main__`, a notebook, a prompt or a function's inside travels by value, all in one dump, so that
tasks share their classes, helpers and globals in the worker as they do in the script.
Must never: let a task start whose code cannot travel; or unpack bytes from anyone but the engine
and, after their signature was checked, from the user's own store.
Read next: `sending.py` (how), `calls.py` (what is done with the functions).
"""

from __future__ import annotations

import json
import pickle
import sys

from durable_wf.core.values import Classes
from durable_wf.errors import NotSendable
from durable_wf.execute.calls import Functions
from durable_wf.execute.port import RunCode

_MARK = b"durable_wf bundle 1 "
_IF_MODULE = (
    "modules must be importable in worker processes: install them, "
    "or run from the folder that holds them"
)
_IF_VALUE = (
    "something that the functions use is made in the script and cannot be made again elsewhere: "
    'make it in a module that workers can import; executor_type="sequential" needs no sending'
)
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def pack(code: RunCode) -> bytes:
    """The functions of a run as bytes for `unpack`, with the classes their annotations name.

    Raises NotSendable, naming the task and the object that cannot travel.
    """
    from durable_wf.execute import sending  # imports cloudpickle, which is heavy

    data, by_value = sending.dump_code(code)
    header = json.dumps({"python": _PYTHON, "by_value": by_value}).encode()
    return _MARK + header + b"\n" + data


def unpack(data: bytes) -> Functions:
    """The functions of a bundle, in their order.

    Raises NotSendable when they were packed by value under another Python, or cannot be imported.
    """
    header, _, body = data.partition(b"\n")
    if not header.startswith(_MARK):
        raise NotSendable("these bytes are not a bundle of functions")
    facts = json.loads(header[len(_MARK) :])
    if facts["by_value"] and facts["python"] != _PYTHON:
        raise NotSendable(
            f"the run's functions were stored by value under Python {facts['python']}, and this "
            f"is Python {_PYTHON}: bytecode differs between them",
            hint=f"use Python {facts['python']}, or put the functions into an importable module",
        )
    try:
        entries = pickle.loads(body)  # noqa: S301 - packed by the engine, or signed by the user
    except Exception as error:
        raise NotSendable(
            f"the run's functions cannot be loaded here: {type(error).__name__}: {error}",
            hint=_IF_MODULE if isinstance(error, ImportError | AttributeError) else _IF_VALUE,
        ) from error
    functions = [function for function, _ in entries]
    known = [None if found is None else Classes(code, known=found) for code, found in entries]
    return Functions(functions, known)
