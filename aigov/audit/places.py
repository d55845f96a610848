"""What kind of file system a log lies on: one in memory forgets it, one on the network keeps no promises."""

from __future__ import annotations

from pathlib import Path

VOLATILE = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})
REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "fuse.sshfs", "fuse.s3fs",
     "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "gpfs", "beegfs"}
)  # fmt: skip
MOUNTS = Path("/proc/self/mounts")


def unsafe(folder: Path) -> str:
    """Why a record should not lie there: `in memory (tmpfs)`, `on the network (nfs4)`; "" where nothing is wrong.

    A folder that is not there yet is judged by the one that it will be made in.
    """
    kind = file_system(folder)
    if kind in VOLATILE:
        return f"in memory ({kind})"
    return f"on the network ({kind})" if kind in REMOTE else ""


def file_system(folder: Path) -> str:
    """The kind of file system that `folder` is on, or will be; "" where the system does not say."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    here, best, kind = str(folder.resolve()), "", ""
    for mount in mounts:
        fields = mount.split(" ")
        point = fields[1].replace("\\040", " ") if len(fields) > 2 else ""
        inside = point and (here == point or here.startswith(point.rstrip("/") + "/"))
        if inside and len(point) >= len(best):
            best, kind = point, fields[2]
    return kind
