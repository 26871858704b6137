"""Drawings of a workflow: Mermaid, DOT, SVG and characters.

Owns: what is drawn (`picture.py`), where it stands (`layout.py`), and one writer for each format.
All are pure functions from a definition and the states of its tasks to text.
Must never: read a store, or put a name into the text unescaped.
Read next: `picture.py`, `layout.py`, then `ascii.py`.
"""
