"""Executors: where attempts run.

Owns: worker processes, what travels to them and back, their death and their clean-up.
Must never: append to the log, or decide what a failure means; executors only report.
Read next: `port.py` (the contract), `sequential.py` (the simplest), `pool.py` (processes).
"""
