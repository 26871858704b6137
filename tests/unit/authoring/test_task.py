"""The `task` decorator leaves the function what it is."""

from __future__ import annotations

import copy
import inspect
import pickle
import sys
import types

import cloudpickle
import pytest

from durable_wf.authoring.options import NAMES, TaskOptions
from durable_wf.authoring.task import TaskFunction, task
from durable_wf.errors import DefinitionError


@task
def double(n: int) -> int:
    """Twice as much."""
    return 2 * n


@task(timeout="10m", name="third")
def triple(n: int, *, plus: int = 0) -> int:
    return 3 * n + plus


def test_it_is_called_documented_and_inspected_like_the_function():
    assert double(4) == 8
    assert triple(4, plus=1) == 13
    assert (double.__name__, double.__doc__) == ("double", "Twice as much.")
    assert list(inspect.signature(triple).parameters) == ["n", "plus"]
    assert double.__module__ == __name__


def test_options_give_a_copy():
    faster = triple.options(timeout=5, cpu=2)
    assert (faster.name, dict(faster.settings)) == ("third", {"timeout": 5, "cpu": 2})
    assert dict(triple.settings) == {"timeout": "10m"}
    assert faster.options(name="other").name == "other"
    assert faster(2) == 6


def test_it_makes_methods_as_functions_do():
    class Tool:
        factor = 5

        @task
        def times(self, n):
            return self.factor * n

    assert Tool().times(2) == 10
    assert isinstance(Tool.times, TaskFunction)


def test_copies_are_the_same_task():
    assert copy.copy(double) is double
    assert copy.deepcopy({"f": double})["f"] is double


def test_only_callables_can_be_decorated():
    with pytest.raises(DefinitionError):
        task(5)


@pytest.fixture
def module():
    """An importable module with decorated functions, this one again under a name of its own."""
    made = types.ModuleType("module_with_tasks")
    source = inspect.getsource(sys.modules[__name__]).split("def test_it_is_called")[0]
    sys.modules[made.__name__] = made
    exec(source, vars(made))
    yield made
    del sys.modules[made.__name__]


@pytest.mark.parametrize("tool", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_what_a_module_gives_travels_by_reference(module, tool):
    assert pickle.loads(tool.dumps(module.triple)) is module.triple
    assert pickle.loads(tool.dumps(module.triple.options(cpu=2))) is module.triple


def test_what_runs_as_main_travels_by_value(module):
    module.triple.__module__ = module.triple.function.__module__ = "__main__"
    there = pickle.loads(cloudpickle.dumps(module.triple))
    assert there is not module.triple
    assert there(2, plus=1) == 7


def test_closures_travel_by_value():
    def outer(k):
        @task
        def inner(n):
            return n + k

        return inner

    assert pickle.loads(cloudpickle.dumps(outer(3)))(4) == 7


def test_every_option_that_is_typed_is_read():
    assert set(TaskOptions.__annotations__) == NAMES
