"""Measures every budget of speed and memory in one run, and says which of them hold.

Owns: the budgets, the repetition (five interleaved rounds, medians, spread) and the table.
Must never: measure on tmpfs, where a sync costs nothing.
Read next: `bench_samples.py`, which takes the samples.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import attrs

HERE = Path(__file__).resolve().parent
Figures = dict[str, float]
Samples = dict[str, list[Figures]]
LIMIT_S = 900


@attrs.frozen
class Budget:
    """A row of the table: a figure of each round of `sample`, and what it must be.

    `figure` may be a ratio of two figures of one round. `at_least` and `at_most` are the bounds;
    `aim` is shown beside them. `also` names figures that are printed as the reference.
    """

    title: str
    sample: str
    figure: Callable[[Figures], float]
    at_least: float | None = None
    at_most: float | None = None
    aim: str = ""
    unit: str = ""
    also: tuple[str, ...] = ()
    limit: Callable[[Figures], float] | None = None

    def bound(self, rounds: list[Figures]) -> float:
        """The bound of this machine: fixed, or a multiple of a reference."""
        fixed = self.at_least if self.at_least is not None else self.at_most
        assert fixed is not None
        return max([fixed, *([median(map(self.limit, rounds))] if self.limit else [])])

    def holds(self, rounds: list[Figures]) -> bool:
        """Whether the median keeps the bound."""
        value = median(map(self.figure, rounds))
        bound = self.bound(rounds)
        return value >= bound if self.at_least is not None else value <= bound


def ratio(above: str, below: str) -> Callable[[Figures], float]:
    """The quotient of two figures of one round."""
    return lambda f: f[above] / f[below]


def of(name: str) -> Callable[[Figures], float]:
    """A figure as it is."""
    return lambda f: f[name]


def times(factor: float, name: str) -> Callable[[Figures], float]:
    """A multiple of a figure."""
    return lambda f: factor * f[name]


BUDGETS = (
    Budget("10,000 tasks, 2 workers, by bare pool", "fan_out",
           ratio("tasks_per_s", "pool_tasks_per_s"), at_least=2.0, aim="4", unit="x",
           also=("tasks_per_s", "pool_tasks_per_s")),
    Budget("100,000 tasks, by the rate at 10,000", "fan_out_large",
           ratio("tasks_per_s", "small_tasks_per_s"), at_least=0.8, unit="x",
           also=("tasks_per_s", "small_tasks_per_s")),
    Budget("chain of 1,000 steps, by bare commits", "chain",
           ratio("steps_per_s", "commits_per_s"), at_least=0.6, aim="0.9", unit="x",
           also=("steps_per_s", "commits_per_s")),
    Budget("500 runs of 5 steps, by bare commits", "runs",
           ratio("runs_per_s", "commits_per_s"), at_least=500 / 7000, unit="x",
           also=("runs_per_s", "one_by_one_per_s", "commits_per_s")),
    Budget("events appended by 100, by executemany", "append",
           ratio("events_per_s", "rows_per_s"), at_least=0.3, unit="x",
           also=("events_per_s", "rows_per_s")),
    Budget("bytes on disk for a plain success", "fan_out", of("bytes_per_task"), at_most=300,
           unit="B"),
    Budget("replay, events a second", "replay", of("events_per_s"), at_least=150_000, unit="/s",
           also=("n",)),
    Budget("100,000 events until ready", "replay", of("ready_s"), at_most=2.0, unit="s"),
    Budget("backtest over 10,000 recorded faults", "backtest", of("seconds"), at_most=5.0, unit="s",
           also=("cpu_s", "runs")),
    Budget("engine memory per task of 100,000", "fan_out_large", of("kib_per_task"), at_most=3.0,
           unit="KiB"),
    Budget("engine memory of a small run", "small_run", of("rss_mib"), at_most=60, unit="MiB"),
    Budget("idle, 10,000 paused runs, of a core", "idle", of("percent"), at_most=1.0, unit="%",
           also=("recover_s", "rss_mib")),
    Budget("idle, 10,000 waiting runs, of a core", "waiting", of("percent"), at_most=1.0, unit="%",
           also=("recover_s", "rss_mib")),
    Budget("until one of them is answered", "waiting", of("answer_s"), at_most=0.2, unit="s"),
    Budget("until one of them is woken by time", "waiting", of("late_s"), at_most=0.2, unit="s"),
    Budget("resume after kill -9 to first attempt", "resume", of("first_attempt_s"), at_most=0.5,
           unit="s", also=("done",)),
    Budget("finished tasks that ran again", "resume", of("ran_again"), at_most=0),
    Budget("import durable_wf", "imports", of("import_s"), at_most=0.1, unit="s",
           limit=times(5, "python_s"), also=("python_s", "import_engine_s")),
    Budget("dwf --help", "imports", of("help_s"), at_most=0.2, unit="s",
           limit=times(5, "python_s")),
    Budget("dwf list", "imports", of("list_s"), at_most=0.3, unit="s",
           limit=times(5, "python_s")),
    Budget("first run, sequential", "first_run", of("sequential_s"), at_most=0.35, unit="s",
           limit=times(5, "python_s")),
    Budget("first run, parallel", "first_run", of("parallel_s"), at_most=0.6, unit="s",
           limit=times(5, "forkserver_s"), also=("forkserver_s",)),
)  # fmt: skip


def take(name: str, base: Path) -> Figures:
    """One sample in a process of its own and a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=base))
    environment = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each start compiles what was edited
    environment["XDG_STATE_HOME"] = str(base / "state")
    try:
        done = subprocess.run(
            [sys.executable, str(HERE / "bench_samples.py"), name, str(folder)],
            capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment,
        )  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(names: list[str], rounds: int, base: Path) -> Samples:
    """All samples, interleaved, so that a slow minute hits each of them alike."""
    samples: Samples = {name: [] for name in names}
    for k in range(rounds):
        for name in names:
            start = time.monotonic()
            samples[name].append(take(name, base))
            took = time.monotonic() - start
            print(f"round {k + 1}/{rounds}  {name:14} {took:6.1f} s", file=sys.stderr, flush=True)
        if "fan_out_large" in names and "fan_out" in names:
            small = samples["fan_out"][-1]["tasks_per_s"]
            samples["fan_out_large"][-1]["small_tasks_per_s"] = small
    return samples


def number(value: float) -> str:
    """Three significant digits, and no exponents."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def row(budget: Budget, rounds: list[Figures]) -> list[str]:
    """One line of the table."""
    values = [budget.figure(f) for f in rounds]
    sign = ">=" if budget.at_least is not None else "<="
    also = ", ".join(f"{name} {number(median(f[name] for f in rounds))}" for name in budget.also)
    return [
        "ok" if budget.holds(rounds) else "NO",
        budget.title,
        f"{number(median(values))} {budget.unit}".strip(),
        f"{number(min(values))}..{number(max(values))}",
        f"{sign} {number(budget.bound(rounds))}" + (f" (aim {budget.aim})" if budget.aim else ""),
        also,
    ]


def print_table(rows: list[list[str]]) -> None:
    """Aligned columns."""
    rows = [["", "what", "median", "spread", "budget", "beside it"], *rows]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    for r in rows:
        cells = (cell.ljust(width) for cell, width in zip(r, widths, strict=True))
        print("  ".join(cells).rstrip())


def machine() -> dict[str, object]:
    """What the figures were taken on."""
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "machine": platform.platform(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
    }


def file_system(path: Path) -> str:
    """The type of the file system that holds `path`, where Linux tells."""
    best, kind = "", ""
    mounts = Path("/proc/self/mounts")
    for line in mounts.read_text().splitlines() if mounts.exists() else ():
        _, place, found, *_ = line.split()
        if str(path).startswith(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def main() -> int:
    """Measure, print, write; 1 when a budget does not hold."""
    parser = argparse.ArgumentParser(prog="tools/bench", description="Measure every budget.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", action="append", metavar="SAMPLE", help="may be repeated")
    parser.add_argument("--folder", type=Path, default=HERE.parent / "build", help="on a real disk")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all figures are written")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if file_system(given.folder.resolve()) in {"tmpfs", "ramfs"}:
        parser.error(f"{given.folder} is in memory, where a sync costs nothing: use --folder")
    wanted = given.only or sorted({b.sample for b in BUDGETS})
    names = [n for n in dict.fromkeys(b.sample for b in BUDGETS) if n in wanted]
    base = Path(tempfile.mkdtemp(prefix="bench-", dir=given.folder))
    compileall.compile_dir(HERE.parent / "durable_wf", quiet=1)  # as an installed package is
    try:
        samples = measure(names, given.rounds, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    shown = [b for b in BUDGETS if b.sample in samples]
    if "fan_out" not in samples:
        shown = [b for b in shown if "small_tasks_per_s" not in b.also]
    print_table([row(b, samples[b.sample]) for b in shown])
    target = given.json or given.folder / "bench.json"
    target.write_text(json.dumps({"machine": machine(), "samples": samples}, indent=1) + "\n")
    print(f"all figures: {target}", file=sys.stderr)
    return int(not all(b.holds(samples[b.sample]) for b in shown))


if __name__ == "__main__":
    sys.exit(main())
