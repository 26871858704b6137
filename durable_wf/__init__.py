"""durable_wf: durable workflows in one package, without a server.

Owns: the public names. Each is imported when it is first used, so that importing the package costs
next to nothing; `__init__.pyi` tells type checkers the same list.
Must never: be imported from inside the package; there, names come from where they are defined.
Read next: `core/__init__.py`.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"

_HOMES = {
    "durable_wf.authoring.breakers": ("breaker",),
    "durable_wf.authoring.builder": ("WorkflowBuilder",),
    "durable_wf.authoring.data_flow": ("Ref", "ref"),
    "durable_wf.authoring.factory": ("TaskFactory",),
    "durable_wf.authoring.loading": ("is_loading",),
    "durable_wf.authoring.options": ("TaskOptions",),
    "durable_wf.authoring.task": ("TaskFunction", "task"),
    "durable_wf.authoring.waits": ("approval", "sleep", "wait_for_signal"),
    "durable_wf.core.awaited": ("Awaited",),
    "durable_wf.core.breaker": ("Breaker",),
    "durable_wf.core.definition": ("Task", "Workflow"),
    "durable_wf.core.events": ("Recorded",),
    "durable_wf.core.fault": ("Fault",),
    "durable_wf.core.plan": ("ExecutionPlan",),
    "durable_wf.core.resolver": ("DependencyResolver", "Unknown"),
    "durable_wf.core.resources": ("Capacity", "Resources"),
    "durable_wf.core.scheduler": ("Pick", "Question", "Seat", "TaskScheduler"),
    "durable_wf.core.status": ("FaultKind", "RunStatus", "TaskStatus"),
    "durable_wf.core.summary": ("Counts", "RunRow"),
    "durable_wf.core.task": ("WaitFor",),
    "durable_wf.core.values": ("Missing", "NotDone"),
    "durable_wf.engine.facade": ("WorkflowEngine",),
    "durable_wf.engine.progress": ("Progress",),
    "durable_wf.engine.result": ("RunHandle", "RunResult"),
    "durable_wf.errors": (
        "CallerError", "Cancelled", "CodeChanged", "CycleError", "DefinitionError", "DiskFull",
        "DurableWorkflowError", "HistoryError", "Interrupted", "LostTail", "NewerSchema",
        "NotFound", "NotReadable", "NotSendable", "NotStorable", "NotTrusted", "OwnedElsewhere",
        "PayloadMissing", "RunConflict", "RunFailed", "StoreBusy", "StoreError", "StoreFailed",
        "TaskError", "UnsafeStore", "VerificationFailed", "WrongState",
    ),
    "durable_wf.execute.context": ("Current", "Deadline", "current"),
    "durable_wf.recovery.combine": ("first_of", "limit", "when"),
    "durable_wf.recovery.ready": (
        "compensate", "escalate", "fail_fast", "fallback", "fallback_to", "keep_going", "retry",
        "skip",
    ),
    "durable_wf.recovery.rule": ("rule",),
    "durable_wf.recovery.waits": ("exponential", "fibonacci", "fixed", "jittered", "linear"),
    "durable_wf.store.port": ("Answer",),
}  # fmt: skip
_MODULES = {"events": "durable_wf.core.events", "recovery": "durable_wf.recovery"}
"""Public names that stand for a module: all kinds of events, all about recovery."""

_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 - these are strings
    *sorted([*_HOME_OF, *_MODULES, "__version__"]),
]


def __getattr__(name: str) -> object:
    """Import a public name from where it is defined, once."""
    if name in _MODULES:
        return importlib.import_module(_MODULES[name])
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'durable_wf' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
