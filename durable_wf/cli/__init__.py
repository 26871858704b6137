"""The command line `dwf`: one way to look at a store and to speak to its engines.

Owns: commands, what they print, and their exit codes. Data goes to stdout, everything else to
stderr; `--json` prints documents whose fields do not change meaning between versions.
Must never: decide about a run or write to the log itself; it calls the engine, the inbox and the
store's own maintenance. Nothing heavy is imported before a command needs it.
Read next: `main.py` (the commands), `exits.py` (exit codes), `facts.py` (a run as it is shown).
"""
