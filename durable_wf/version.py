"""The version, for those who must not import the package root.

Owns: VERSION, which pyproject.toml reads.
Must never: import anything.
Read next: nothing.
"""

VERSION = "0.1.0"
