"""A run id makes starting idempotent: the second call answers with the recorded outcome."""

from pathlib import Path

import durable_wf as wf

marks = Path("marks.txt")
marks.write_text("")


def mark() -> str:
    with marks.open("a") as file:
        file.write("ran\n")
    return "marked"


def build(extra: str = "") -> wf.Workflow:
    builder = wf.WorkflowBuilder("once").add_task("mark", mark)
    if extra:
        builder.add_task(extra, mark)
    return builder.build()


engine = wf.WorkflowEngine()
print(engine.run(build(), run_id="daily-2026-11-23")["mark"])
print(engine.run(build(), run_id="daily-2026-11-23")["mark"])
print("times:", len(marks.read_text().split()))

try:
    engine.run(build("another"), run_id="daily-2026-11-23")
except wf.RunConflict:
    print("refused: the same id, another structure")

# -> marked
# -> marked
# -> times: 1
# -> refused: the same id, another structure
