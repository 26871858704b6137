"""Literals: which global names of a file are assigned a value that stands there as written.

Owns: reading a source file for `NAME = 60 * 60` and the like. A name that is computed when the
program starts (`PID = os.getpid()`, `OUT = sys.argv[1]`) is not one of these: it differs each time
without anybody having changed the code.
Must never: run or import the file.
Read next: `fingerprint.py`.
"""

from __future__ import annotations

import ast
import linecache
from functools import lru_cache

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@lru_cache(maxsize=256)
def literal_names(file: str) -> frozenset[str]:
    """Names that the file's own level assigns literals only; none where there is no source."""
    try:
        tree = ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return frozenset()
    literal: set[str] = set()
    computed: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, _SCOPES):
            continue
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {t.id for t in targets if isinstance(t, ast.Name)}
            (literal if _is_literal(node.value) else computed).update(names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            computed.add(node.id)  # a loop, a with, an augmented or unpacking assignment
            continue
        pending.extend(
            child
            for child in ast.iter_child_nodes(node)
            if not (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(child, ast.Name))
        )
    return frozenset(literal - computed)


def _is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Tuple(elts=items):
            return all(_is_literal(item) for item in items)
        case ast.UnaryOp(operand=operand):
            return _is_literal(operand)
        case ast.BinOp(left=left, right=right):
            return _is_literal(left) and _is_literal(right)
        case ast.Call(func=ast.Name(id="frozenset"), args=[ast.Set(elts=items)], keywords=[]):
            return all(_is_literal(item) for item in items)
        case ast.Attribute(value=ast.Name()):
            return True  # a member of an enum; anything else is no simple constant at run time
        case _:
            return False
