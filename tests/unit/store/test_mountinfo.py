"""Which file systems are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from durable_wf.errors import UnsafeStore
from durable_wf.store.mountinfo import file_system_of, read_mountinfo, refuse_remote

MOUNTS = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:40 / /home rw - nfs4 server:/home rw
41 40 254:1 / /home/me/local rw - xfs /dev/vdb rw
42 22 0:42 / /mnt/with\040space rw - fuse.sshfs host: rw
43 22 0:43 / /mnt/ntfs rw - fuseblk /dev/sdc rw
44 22 0:44 / /twice rw - ext4 /dev/vdd rw
45 44 0:45 / /twice rw - cifs //host/share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x", "ext4"),
        ("/home/me", "nfs4"),
        ("/homestead", "ext4"),
        ("/home/me/local/store", "xfs"),
        ("/mnt/with space/x", "fuse.sshfs"),
        ("/twice/x", "cifs"),
    ],
)
def test_the_nearest_and_latest_mount_counts(path, kind):
    assert file_system_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("path", ["/home/me/.durable-wf", "/mnt/with space/s", "/twice/s"])
def test_network_and_unknown_fuse_file_systems_are_refused(path):
    with pytest.raises(UnsafeStore, match="file system"):
        refuse_remote(Path(path), lambda: MOUNTS)


@pytest.mark.parametrize("path", ["/srv/s", "/home/me/local/s", "/mnt/ntfs/s"])
def test_local_file_systems_are_taken(path):
    refuse_remote(Path(path), lambda: MOUNTS)
    assert file_system_of(Path(path), MOUNTS)


def test_where_there_is_no_mountinfo_nothing_is_refused():
    refuse_remote(Path("/home/me"), lambda: "")
    assert file_system_of(Path("/home/me"), "") == ""


def test_the_mounts_of_this_machine_can_be_read():
    mounts = read_mountinfo()
    assert not mounts or file_system_of(Path("/"), mounts)
