"""Which file system a folder lies on, and whether a store may lie there.

Owns: the reading of /proc/self/mountinfo and the list of what is refused.
Must never: refuse what it does not know, FUSE excepted: nobody can say what an unknown FUSE file
system does with locks and syncs.
Read next: `folder.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from durable_wf.errors import UnsafeStore

NETWORK = frozenset(
    """9p afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2
    orangefs pvfs2 smb3 smbfs vboxsf""".split()
)
"""File systems where locks and shared memory of several machines, or of any, do not hold."""

LOCAL_FUSE = frozenset({"fuseblk", "fuse.fuse-overlayfs"})
"""FUSE file systems that keep their data on a disk of this machine and honour locks and syncs."""


def read_mountinfo() -> str:
    """The kernel's list of mounts of this process; "" where there is none."""
    try:
        return Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return ""


def file_system_of(path: Path, mountinfo: str) -> str:
    """The type of the file system that `path` (absolute, resolved) lies on; "" if unknown."""
    best, found = -1, ""
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if not dash or len(fields) < 5:
            continue
        mount = Path(_unescaped(fields[4]))
        # Later mounts hide earlier ones at the same place.
        if len(mount.parts) >= best and path.is_relative_to(mount):
            best, found = len(mount.parts), right.split(" ")[0]
    return found


def refuse_remote(path: Path, read: Callable[[], str] = read_mountinfo) -> None:
    """Raises UnsafeStore if a store must not lie at `path`."""
    kind = file_system_of(path, read())
    if kind in NETWORK:
        what = f"a network file system ({kind})"
    elif kind.startswith("fuse") and kind not in LOCAL_FUSE:
        what = f"a FUSE file system of unknown kind ({kind})"
    else:
        return
    raise UnsafeStore(
        f"{path} lies on {what}, where file locks and syncs cannot be relied on",
        hint="keep the store on a local disk: DURABLE_WF_STORE=/local/path",
    )


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
