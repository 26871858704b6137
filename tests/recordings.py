"""WfFormat documents: made for tests by `generate(tasks, seed, shape)`, and real ones."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest


def generate(tasks: int = 50, seed: int = 0, shape: str = "levels") -> dict[str, Any]:
    """A document as WfCommons writes them. Shapes: chain, fork (one, all others, one), levels."""
    rng = Random(seed)
    ids = [f"step_ID{i:07}" for i in range(1, tasks + 1)]
    parents: dict[str, list[str]] = {key: [] for key in ids}
    if shape == "chain":
        parents.update((key, [before]) for before, key in pairwise(ids))
    elif shape == "fork" and tasks > 1:
        parents.update((key, [ids[0]]) for key in ids[1:-1])
        parents[ids[-1]] = ids[1:-1] or ids[:1]
    elif shape == "levels":
        width = max(2, int(tasks**0.5))
        for i, key in enumerate(ids[width:], width):
            level = ids[(i // width - 1) * width : i // width * width]
            parents[key] = sorted(rng.sample(level, min(len(level), rng.randint(1, 3))))
    children: dict[str, list[str]] = {key: [] for key in ids}
    for key, ups in parents.items():
        for up in ups:
            children[up].append(key)
    return {
        "name": f"generated-{shape}-{tasks}",
        "description": "made for tests",
        "createdAt": "2026-01-01T00:00:00Z",
        "schemaVersion": "1.5",
        "workflow": {
            "specification": {
                "tasks": [
                    {"name": key, "id": key, "parents": parents[key], "children": children[key],
                     "inputFiles": [], "outputFiles": []}
                    for key in ids
                ],
                "files": [],
            },
            "execution": {
                "makespanInSeconds": float(tasks),
                "executedAt": "2026-01-01T00:00:00Z",
                "tasks": [
                    {"id": key, "runtimeInSeconds": round(rng.uniform(0.5, 5.0), 3),
                     "coreCount": rng.choice([1, 1, 2]),
                     "memoryInBytes": rng.randrange(10**6, 10**9)}
                    for key in ids
                ],
                "machines": [{"nodeName": "node", "cpu": {"coreCount": 48}}],
            },
        },
        "runtimeSystem": {"name": "Generator", "version": "1", "url": "https://example.org"},
    }  # fmt: skip


def text(tasks: int = 50, seed: int = 0, shape: str = "levels") -> str:
    """The same as JSON text."""
    return json.dumps(generate(tasks, seed, shape))


def samples() -> list[Path]:
    """Recorded workflows of the WfCommons project. Skips the test where they are not at hand."""
    folder = os.environ.get("DURABLE_WF_SAMPLES", "")
    if not folder:
        pytest.skip("sample workflows are not here: set DURABLE_WF_SAMPLES to their folder")
    found = sorted(Path(folder).rglob("*.json"))
    assert found, f"DURABLE_WF_SAMPLES={folder} holds no .json files"
    return found
