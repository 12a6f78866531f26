"""Which user a server runs as. Only root has to choose: PostgreSQL refuses root, and others may not reach its files."""

import os
import pwd
import stat
import sys
from pathlib import Path

from app.devstack.process import DevstackError, Identity

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
UNPRIVILEGED_USER = "nobody"


def _others_may(path: Path, bit: int) -> bool:
    return bool(path.stat().st_mode & bit)


def _reachable_by_others(path: Path) -> bool:
    """Whether any user may search every folder above path, by mode bits alone."""
    return all(_others_may(parent, stat.S_IXOTH) for parent in path.resolve().parents)


def _bounding_set() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    return 0


def _reach_capability() -> int:
    """The weakest capability at hand that passes closed folders. Containers often keep only the stronger one."""
    if sys.platform == "linux":
        bounding = _bounding_set()
        for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
            if bounding >> capability & 1:
                return capability
    raise DevstackError(
        "PostgreSQL does not run as root, and no other user can reach this folder. "
        "Run as an ordinary user, or move the project out of the closed folder."
    )


def server_identity(data_dir: Path, programs: Path) -> Identity | None:
    """Who runs PostgreSQL's programs: None (the caller) unless the caller is root.

    Root hands over to the owner of an existing data directory, else to `nobody`. A closed folder on the way to the
    programs or the data (/root, a private home) costs one capability; no mode of any folder is changed.
    """
    if os.geteuid() != 0:
        return None
    owner = data_dir.stat().st_uid if data_dir.exists() else 0
    try:
        user = pwd.getpwuid(owner) if owner else pwd.getpwnam(UNPRIVILEGED_USER)
    except KeyError:
        wanted = f"user id {owner}" if owner else f'user "{UNPRIVILEGED_USER}"'
        raise DevstackError(f"PostgreSQL does not run as root, and there is no {wanted} to run it") from None
    open_to_all = _reachable_by_others(data_dir) and _reachable_by_others(programs / "postgres")
    return Identity(user.pw_uid, user.pw_gid, None if open_to_all else _reach_capability())
