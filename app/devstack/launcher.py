"""What runs between fork and exec of a child: become the right user, die with the parent, exec. Standard library only.

Run as a script (`python -I -S launcher.py <spec> <program> <argument>...`), never imported. The spec is JSON: `parent`
(pid that must still be alive), `death_signal`, and for a root caller `uid`, `gid` and `capability` (number or null).
"""

import ctypes
import json
import os
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilityWord(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _must(libc: ctypes.CDLL, result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def _become(libc: ctypes.CDLL, uid: int, gid: int, capability: int | None) -> None:
    """Leave root for uid and gid, keeping exactly one capability across the exec, or none."""
    if capability is not None:
        # Keeps capabilities over setuid, and lets access(2), which initdb asks, count them.
        _must(libc, libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0), "prctl(PR_SET_SECUREBITS)")
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is None:
        return
    words = (_CapabilityWord * 2)()
    mask = 1 << (capability % 32)
    word = words[capability // 32]
    word.effective = word.permitted = word.inheritable = mask
    header = _CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)
    _must(libc, libc.capset(ctypes.byref(header), words), "capset")
    _must(libc, libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0), "prctl(PR_CAP_AMBIENT_RAISE)")


def main() -> None:
    """Apply the spec and become the program. A parent that is already gone ends it here."""
    spec = json.loads(sys.argv[1])
    program = sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    if spec.get("uid") is not None:
        _become(libc, spec["uid"], spec["gid"], spec["capability"])
    if sys.platform == "linux":
        _must(libc, libc.prctl(PR_SET_PDEATHSIG, spec["death_signal"], 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != spec["parent"]:
        sys.exit("the parent is gone")
    os.execv(program[0], program)  # noqa: S606  the argument list comes from the parent, no shell is involved


if __name__ == "__main__":
    main()
