"""The store: the event log, payloads, inbox, leases and locks, in one folder.

Owns: everything on disk. Every append to the log goes through `Log.append`, nothing else writes.
Must never: decide anything about a run, import user code, or unpickle.
Read next: `port.py` (the contract), `memory.py` (its readable twin), `sqlite.py` (the real one).
"""
