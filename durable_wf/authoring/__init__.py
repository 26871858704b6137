"""Authoring: how people write workflows.

Owns: the builder, the `task` decorator, the rules that bind results to parameters, fingerprints of
code, loading of workflows from files and modules, import of WfFormat.
Must never: run a task, or touch a store.
Read next: `builder.py`, then `data_flow.py` (the data-flow rules) and `loading.py`.
"""
