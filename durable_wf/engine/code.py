"""Code: where the functions of a run come from, and whether they are still the same.

Owns: finding a callable for each task (given, imported, loaded from the script, or unpacked from
what was stored with the run), and storing those that no file gives.
Must never: import anything on behalf of a store that this user does not trust, or unpack stored
code whose signature is not this user's.
Read next: `continuing.py`; `authoring/loading.py` for how scripts are loaded.
"""

from __future__ import annotations

import hmac
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs

from durable_wf.authoring import loading
from durable_wf.authoring.candidates import are_same, chosen
from durable_wf.authoring.targets import load as load_target
from durable_wf.authoring.targets import names_code
from durable_wf.core.definition import FunctionRef, Task, Workflow
from durable_wf.core.digests import inputs_digest, structure_digest
from durable_wf.core.events import RunCreated
from durable_wf.core.state import RunState
from durable_wf.core.values import TABLE_MAX
from durable_wf.engine import differences
from durable_wf.engine.companions import places, with_companions_of, with_imported
from durable_wf.engine.judging import rules_named
from durable_wf.engine.recall import Recall
from durable_wf.engine.session import Session
from durable_wf.errors import NotFound, NotSendable, NotTrusted
from durable_wf.execute import bundle
from durable_wf.execute.port import RunCode
from durable_wf.store import trust
from durable_wf.store.opening import Store
from durable_wf.store.payload_files import digest_of, write_file
from durable_wf.store.port import Log

log = logging.getLogger("durable_wf.engine")

Function = Callable[..., Any]

_SIGNATURE_BYTES = 32


def functions_given(workflow: Workflow) -> list[Function | None]:
    """One callable for each task, in order: those the workflow carries, else imported ones; None
    for a task that waits and calls nothing.

    Raises NotFound naming the first task whose code is nowhere.
    """
    given = workflow.functions
    known: dict[FunctionRef, Function] = {}
    found: list[Function | None] = []
    for task in workflow.tasks:
        if task.wait is not None:
            found.append(None)
            continue
        function = given.get(task.name) or known.get(task.function)
        if function is None:
            function = known[task.function] = _imported(task)
        found.append(function)
    return found


def _imported(task: Task) -> Function:
    ref = task.function
    if not ref.module:
        raise NotFound(
            f"the code of task {task.name!r} ({ref.qualname}) is not at hand",
            hint="build the workflow in the script that defines it, or use an importable module",
        )
    try:
        module = loading.imported(ref.module)
        function = _found_by_name(module, task) or _attribute(module, ref.qualname)
    except (Exception, SystemExit) as error:  # whatever a module does while it is imported
        raise NotFound(
            f"the code of task {task.name!r} cannot be imported: "
            f"{ref.module}:{ref.qualname} ({error})",
            hint="install the module, or run from the folder that holds it",
        ) from error
    return function


def _attribute(module: ModuleType, qualname: str) -> Function:
    target: Any = module
    for part in qualname.split("."):
        target = getattr(target, part)
    function: Function = target
    return function


def _found_by_name(module: ModuleType, task: Task) -> Function | None:
    """Lambdas and the like have no name to import; the module's own workflow has them by task.
    Raises NotFound where several workflows have such a task, and their code does not tell which of
    them is meant.
    """
    if "<" not in task.function.qualname:
        return None
    workflows = (workflow for _, workflow in loading.module_level(module))
    found = [workflow.functions[task.name] for workflow in workflows
             if task.name in workflow.functions]  # fmt: skip
    known = task.function.fingerprint
    same = [function for function in found if loading.reference(function).fingerprint == known]
    if not all(are_same(function, (same or found)[0]) for function in same or found):
        raise NotFound(f"several workflows of {module.__name__} have a task {task.name!r}")
    return (same or found)[0] if found else None


# --- code that no file gives ----------------------------------------------------------------------


def _is_homeless(ref: FunctionRef) -> bool:
    return not ref.module and not ref.file


def with_stored_code(
    workflow: Workflow, functions: Sequence[Function | None], session: Session
) -> Workflow:
    """The workflow with functions of a notebook or prompt stored by value, in one signed bundle.

    Their refs then say `digest:number`. Raises NotSendable.
    """
    homeless = {
        task.name: function
        for task, function in zip(workflow.tasks, functions, strict=True)
        if function is not None and _is_homeless(task.function)
    }
    refs = (task.function for task in workflow.tasks if task.name in homeless)
    if all(ref.by_value for ref in refs):  # none, or a run is made from one that has stored them
        return workflow
    numbers: dict[int, int] = {}
    distinct: list[Function] = []
    names: list[str] = []
    for name, function in homeless.items():
        if id(function) not in numbers:
            numbers[id(function)] = len(distinct)
            distinct.append(function)
            names.append(name)
    for place in places(workflow):  # after the tasks' own, in their order, known or not
        distinct.append(workflow.companions.get(place, _unknown))
        names.append(place[0])
    code = RunCode(0, "", workflow.name, "", distinct, names)
    packed = bundle.pack(code)
    data = _signature(packed) + packed
    digest = digest_of(data)
    if len(data) > TABLE_MAX:
        write_file(session.store.folder.payloads, data, "code")
    else:
        session.loop.keep_payload(digest, data)
    tasks = tuple(
        attrs.evolve(
            task,
            function=attrs.evolve(
                task.function,
                by_value=f"{digest}:{numbers[id(homeless[task.name])]}",
                python=_python(),
            ),
        )
        if task.name in homeless
        else task
        for task in workflow.tasks
    )
    return attrs.evolve(workflow, tasks=tasks)


def _unknown() -> None:
    """Stands for a companion that is not at hand when code is stored."""


def _signature(packed: bytes) -> bytes:
    return hmac.digest(trust.signing_key(), b"code" + packed, "sha256")


def _python() -> str:
    return ".".join(platform.python_version_tuple()[:2])


@attrs.frozen
class _Stored:
    """What was stored by value: functions by task name, and companions by place and label."""

    functions: dict[str, Function]
    companions: dict[tuple[str, str], Function]


def _stored(recorded: Workflow, log: Log) -> _Stored:
    unpacked: dict[str, list[Function]] = {}
    own: dict[str, int] = {}
    found: dict[str, Function] = {}
    for task in recorded.tasks:
        ref = task.function
        if not ref.by_value:
            continue
        if ref.python != _python():
            raise NotSendable(
                f"task {task.name!r} was stored by value under Python {ref.python}; "
                f"this is {_python()}",
                hint=f"resume with Python {ref.python}, or put the function into a module",
            )
        digest, _, number = ref.by_value.partition(":")
        if digest not in unpacked:
            data = log.payload(digest)
            signature, packed = data[:_SIGNATURE_BYTES], data[_SIGNATURE_BYTES:]
            if not hmac.compare_digest(signature, _signature(packed)):
                raise NotTrusted(
                    f"the stored code of task {task.name!r} was not signed by this user",
                    hint="run the script that defines it with the same run_id instead",
                )
            unpacked[digest] = bundle.unpack(packed)
        found[task.name] = unpacked[digest][int(number)]
        own[digest] = max(own.get(digest, 0), int(number) + 1)
    companions = {
        place: function
        for digest, functions in unpacked.items()
        for place, function in zip(places(recorded), functions[own[digest] :], strict=False)
        if function is not _unknown
    }
    return _Stored(found, companions)


# --- code of a run that exists ------------------------------------------------------------------


def load(recorded: Workflow, state: RunState, store: Store) -> Workflow:
    """The recorded workflow with its functions, loaded as its snapshot names them.

    Modules are imported; a script is executed as it was started, up to the call that made the run.
    Raises NotFound, WrongState, NotTrusted, NotSendable, or what loading raises.
    """
    refuse_foreign(store, trusted=store.writable)
    return load_trusted(recorded, state, store)


def refuse_foreign(store: Store, *, trusted: bool) -> None:
    """Raise NotTrusted unless code that this store names may be executed."""
    if not trusted:
        raise NotTrusted(
            f"store {store.folder.path} was not made by this user: its code is not imported",
            hint="repeat with --trust if you know where it comes from",
        )


def load_trusted(recorded: Workflow, state: RunState, store: Store) -> Workflow:
    """The same, of a store whose code may be executed. Writes nothing to it."""
    workflow, today = load_anew(recorded, state, store)
    if today is not None and not _is_alike(recorded, today):
        told = differences.between(recorded, today)
        more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
        log.warning(
            "run %s goes on as it was recorded, though its definition differs today: %s%s",
            state.run_id, told[0], more,
        )  # fmt: skip
    return workflow


def _is_alike(one: Workflow, other: Workflow) -> bool:
    digests = structure_digest, inputs_digest
    return all(digest(one) == digest(other) for digest in digests)


def load_anew(
    recorded: Workflow, state: RunState, store: Store
) -> tuple[Workflow, Workflow | None]:
    """The same; and the workflow of this name as its script or target makes it today, None where
    the functions came from elsewhere.
    """
    stored = _stored(recorded, store.log)
    functions = stored.functions
    created = state.created
    assert created is not None
    _make_importable(created)
    fresh: dict[str, FunctionRef] = {}
    recovery: dict[str, tuple[Any, ...]] = {}
    sources = []
    today = None
    for loaded in _loaded(recorded, functions, state, store):
        today = loaded if loaded.name == recorded.name else today
        functions = {**loaded.functions, **functions}
        recovery |= loaded.recovery
        fresh.update((task.name, task.function) for task in loaded.tasks)
        sources.append(loaded)
    for task in recorded.tasks:
        if task.function.module and task.name not in functions:
            functions[task.name] = _imported(task)
            fresh[task.name] = loading.reference(functions[task.name])
    tasks = tuple(
        attrs.evolve(task, function=fresh.get(task.name, task.function)) for task in recorded.tasks
    )
    if not sources and (rules_named(recorded) or any(places(recorded))):
        sources += _in_modules(recorded)
        recovery |= sources[0].recovery if sources else {}
    whole = attrs.evolve(
        recorded, tasks=tasks, functions=functions, recovery=recovery,
        companions=stored.companions,
    )  # fmt: skip
    return with_imported(with_companions_of(whole, sources)), today


def _in_modules(recorded: Workflow) -> list[Workflow]:
    """The workflow of this name that a module of its tasks has, if one has its rules and
    companions.
    """
    for name in dict.fromkeys(task.function.module for task in recorded.tasks):
        module = sys.modules.get(name)
        if not name or module is None:
            continue
        for _, workflow in loading.module_level(module):
            if workflow.name == recorded.name and (workflow.recovery or workflow.companions):
                return [workflow]
    return []


def _make_importable(created: RunCreated) -> None:
    """Let modules be found as when the run was created: beside its script, in its folder."""
    beside = str(Path(created.script).parent) if created.script else ""
    for folder in (beside, created.cwd):
        if folder and folder not in sys.path:
            sys.path.append(folder)


def _loaded(
    recorded: Workflow, stored: Mapping[str, Function], state: RunState, store: Store
) -> Iterator[Workflow]:
    """The run's workflow from each place that has to be loaded for it."""
    created = state.created
    assert created is not None
    if names_code(created.target):
        yield _of_target(recorded, state.run_id, created)
        return
    numbered = created.call > 0  # then what no name gives is had from the call that made the run
    scripts = dict.fromkeys(
        created.script if task.function.module else task.function.file
        for task in recorded.tasks
        if task.name not in stored
        and task.wait is None
        and (not task.function.module or (numbered and "<" in task.function.qualname))
    )
    labels = [label for _, label in places(recorded)] if created.script else []
    if any(label.startswith(_OF_SCRIPT) or (numbered and "<" in label) for label in labels):
        scripts[created.script] = None
    if numbered and rules_named(recorded) and Path(created.script).is_file():
        scripts[created.script] = None  # a name gives functions, and no rules
    for script in scripts:
        if not Path(script).is_file():
            raise _gone(state.run_id, created, script)
        recall = Recall(store, recorded, state) if script == created.script else None
        main, capture = loading.execute(
            Path(script),
            created.argv if recall else (),
            Path(created.cwd),
            guarded=True,
            module=created.module if recall else "",
            answer=recall,
        )
        ran = capture.workflows
        if recall and recall.reached and ran:
            yield ran[0]
            continue
        beside = [workflow for _, workflow in loading.module_level(main, skip=ran)]
        unreached = recall is not None and recall.known and not recall.reached
        try:
            yield chosen(recorded, beside, script, ran=ran, exact=unreached)
        except NotFound as error:
            if unreached:
                raise _not_reached(state.run_id, created) from error
            raise


def _of_target(recorded: Workflow, run_id: str, created: RunCreated) -> Workflow:
    try:
        with loading.circumstances([created.target], Path(created.cwd)):
            found = load_target(created.target)
    except NotFound as error:
        hint = f"{error.hint}; or, " if error.hint else ""
        raise NotFound(
            f"run {run_id}: {error.message}",
            hint=f"{hint}if it was moved: dwf run WHERE:IT_IS --id {run_id}",
        ) from error
    return chosen(recorded, [found], created.target)


def _gone(run_id: str, created: RunCreated, script: str) -> NotFound:
    if script == created.script and created.call <= 1:
        or_else = (
            "go on from where it is now, if this is the first run that it makes: "
            f"dwf run NEW/PLACE.py --id {run_id}"
        )
    else:
        or_else = f"bring the code along: engine.resume({run_id!r}, workflow=workflow)"
    return NotFound(
        f"run {run_id}: its script {script} is not there any more",
        hint=f"move it back, or {or_else}",
    )


def _not_reached(run_id: str, created: RunCreated) -> NotFound:
    return NotFound(
        f"{created.script} ended before it came to the call that made run {run_id} "
        f"(number {created.call} of those that it made)",
        hint="restore the script as it was when it made the run, or bring the code along: "
        f"engine.resume({run_id!r}, workflow=workflow)",
    )


_OF_SCRIPT = "__main__:"
"""How the labels of companions begin that only the script itself gives."""
