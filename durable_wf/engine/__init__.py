"""The engine: one loop that reads inputs, decides, commits and starts; and the faces on it.

Owns: `loop.py` (the only caller of `Log.append` for runs), how runs are created, claimed, resumed
and released, and what users hold: WorkflowEngine, RunHandle, RunResult.
Must never: decide legality or consequences (that is `core.decide`), or act before a commit.
Read next: `loop.py`, then `claiming.py` and `facade.py`.
"""
