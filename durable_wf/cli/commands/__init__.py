"""The commands, one module for each, loaded when they are called.

Owns: options, help texts, and the order of what is done.
Must never: import the engine, rich or anything heavy at the top of a module that only looks.
Read next: `list.py`, the simplest; `run.py`.
"""
