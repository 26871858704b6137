"""Power cuts: record what a scenario does to the disk, then open what each cut could leave.

Owns: the recording through both shims, and the walk over it that builds images at every call and
hands them to a judge.
Must never: know what the scenario writes; the judge does.
Read next: `test_harness.py` (that it can tell good settings from bad), `test_power.py`.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from faults import vfs
from faults.calls import CHANGES, Call, Mark
from faults.disk import Disk, Image
from faults.os_calls import watching_os


class Found(Enum):
    """What a judge says of an image."""

    SOUND = "sound"
    LOST = "lost"
    """an acknowledged step is gone"""
    TORN = "torn"
    """half of a step is there, or more than was ever tried"""
    CORRUPT = "corrupt"
    """cannot be read, or fails its own checks"""


class Recorder:
    """Everything that happened to the files below `root`, and the scenario's own marks."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self.entries: list[Call | Mark] = []

    def hook(self, call: Call) -> int:
        if call.kind in CHANGES and call.path.startswith(self.root):
            self.entries.append(call)
        return 0

    def tried(self, step: int) -> None:
        self.entries.append(Mark("tried", step))

    def acked(self, step: int) -> None:
        self.entries.append(Mark("acked", step))


Scenario = Callable[[Path, Recorder], None]
Judge = Callable[[Path, int, int], Found]
"""(folder with the image, last acknowledged step or -1, last tried step) -> verdict."""


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for scenarios and images, in memory where there is such a place."""
    shm = "/dev/shm"
    place = shm if os.access(shm, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="faults-", dir=place) as folder:
        yield Path(folder)


def record(root: Path, scenario: Scenario) -> list[Call | Mark]:
    """Run the scenario in `root` (which it finds empty) and return what happened."""
    recorder = Recorder(root)
    with vfs.watching(recorder.hook), watching_os(root, recorder.hook):
        scenario(root, recorder)
    return recorder.entries


def replay(root: Path, entries: list[Call | Mark]) -> Disk:
    """The disk after the whole recording."""
    disk = Disk(root)
    for entry in entries:
        if isinstance(entry, Call):
            disk.see(entry)
    return disk


def cut_everywhere(
    root: Path,
    entries: list[Call | Mark],
    judge: Judge,
    *,
    seed: int = 0,
    random_images: int = 1,
    sample: float = 1.0,
    ignore: tuple[str, ...] = (),
) -> Counter[Found]:
    """Cut the power after every call; judge each different image once.

    `sample` is the share of images that are looked at. Files whose name begins with one of
    `ignore` are left out (locks: they mean nothing after a power cut).
    """
    rng = random.Random(seed)
    disk = Disk(root)
    acked, tried = -1, 0
    seen: set[int] = set()
    counts: Counter[Found] = Counter()
    crash = root.with_name(root.name + ".crash")
    for entry in entries:
        if isinstance(entry, Mark):
            acked, tried = (entry.step, tried) if entry.kind == "acked" else (acked, entry.step)
        else:
            disk.see(entry)
        for _, image in disk.images(rng, random_images):
            if rng.random() >= sample:
                continue
            kept = {
                name: data
                for name, data in image.items()
                if name.endswith("/") or not name.startswith(ignore)
            }
            key = hash((acked, tuple(sorted(kept.items()))))
            if key not in seen:
                seen.add(key)
                lay_out(crash, kept)
                counts[judge(crash, acked, tried)] += 1
    shutil.rmtree(crash, ignore_errors=True)
    return counts


def lay_out(folder: Path, image: Image) -> None:
    """Make `folder` hold exactly the image."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    for name in sorted(image):
        path = folder / name
        if name.endswith("/"):
            path.mkdir(mode=0o700)
            continue
        path.write_bytes(image[name])
        path.chmod(0o600)


def deaf_to_syncs(entries: list[Call | Mark], deaf: Callable[[Call], bool]) -> list[Call | Mark]:
    """The same recording on a disk that says yes to some syncs and does nothing."""
    return [
        entry
        for entry in entries
        if not (isinstance(entry, Call) and entry.kind in {"sync", "sync_folder"} and deaf(entry))
    ]
