"""The functional core: words, tables and decisions.

Owns: definitions, events, states and the tables that make them legal; `evolve` and `decide`;
readiness, priorities and resource admission; the JSON form of all these.
Must never: read a clock, draw a random number, log, or touch a file, a process or a socket.
Time, ids and randomness arrive as arguments.
Read next: `status.py`, `events.py`, `tables.py`, then `state.py`, `evolve.py` and `decide.py`.
"""
