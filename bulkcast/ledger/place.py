"""Where a ledger may lie: on a disk of this computer.

On a network drive two computers do not see each other's locks and shared memory, so WAL files are
damaged there without anybody's noticing (sqlite.org/wal.html, "Disadvantages", no. 2).
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bulkcast.errors import CannotStart

FILE_NAME: Final = "ledger.sqlite3"
_MOUNTS: Final = Path("/proc/self/mounts")
_NETWORK: Final = re.compile(
    r"(nfs|nfs4|cifs|smb3|smbfs|afs|ncpfs|ceph|lustre|gpfs|beegfs|davfs|ocfs2|gfs2"
    r"|fuse\.(sshfs|glusterfs|davfs2?|rclone|s3fs|cephfs|smbnetfs|curlftpfs))"
)
_REMOTE: Final = 4
"""What GetDriveTypeW calls a network drive."""


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from any other that may come to lie there; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def refuse_network_drive(home: Path, drive_of: Callable[[Path], str] | None = None) -> None:
    """Refuse a home on a network drive; `drive_of` tells what kind of one a folder lies on.

    Raises:
        CannotStart: it lies on one.

    """
    kind = (drive_of or network_drive)(home)
    if kind:
        raise CannotStart(
            "{home} lies on a network drive ({kind}), where the ledger could be damaged "
            "unnoticed; set BULKCAST_HOME to a folder on this computer",
            home=home,
            kind=kind,
        )


def network_drive(folder: Path) -> str:
    """What kind of network drive a folder lies on; empty where it is none or nobody can tell."""
    if sys.platform == "win32":
        return _windows_drive(folder.resolve().anchor)
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # macOS has no such file
        return ""
    return drive_among(mounts, folder.resolve())


def drive_among(mounts: str, folder: Path) -> str:
    r"""The same by the system's list of mounts.

    >>> drive_among("/dev/sda1 / ext4 rw 0 0\nnas:/data /data nfs4 rw 0 0\n", Path("/data/li"))
    'nfs4'
    """
    best = (-1, "")
    for line in mounts.splitlines():
        words = line.split(" ")
        if len(words) < 3:
            continue
        point = Path(re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), words[1]))
        if folder.is_relative_to(point) and len(point.parts) >= best[0]:
            best = (len(point.parts), words[2])
    return best[1] if _NETWORK.fullmatch(best[1]) else ""


if sys.platform == "win32":
    import ctypes

    def _windows_drive(root: str) -> str:
        share = root.startswith("\\\\")
        remote = share or ctypes.windll.kernel32.GetDriveTypeW(root) == _REMOTE
        return "a share" if remote else ""
