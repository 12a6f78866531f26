"""Makes .venv match the lock file, fetching uv if there is none. Standard library only; `make` runs it by its path.

`python -I bootstrap.py [--dev]`, in the project's folder. Two at once are safe. Nothing to do: no network, no uv.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
from pathlib import Path

UV_VERSION = "0.13.9"
OLDEST_UV = (0, 9)
VENV = Path(".venv")
OWN_UV = Path(".uv")
STAMP = VENV / ".novahouse-synced"
SOURCES = (Path("uv.lock"), Path("pyproject.toml"))
LEFT_OUT = {"VIRTUAL_ENV", "PYTHONHOME", "PYTHONPYCACHEPREFIX"}  # uv refuses a .venv that begins with a cache


class BootstrapError(Exception):
    """The environment cannot be made. The message says what to install or look at."""


def say(line: str) -> None:
    """Write to stderr at once: stdout belongs to the command that follows."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def wanted() -> str:
    """What .venv must have been made from."""
    digest = hashlib.sha256()
    for source in SOURCES:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def in_place(*, dev: bool) -> bool:
    """Whether .venv is whole, current, and has the development tools if they are asked for."""
    try:
        digest, _, groups = STAMP.read_text(encoding="ascii").strip().partition(" ")
    except OSError:
        return False
    return digest == wanted() and (not dev or groups == "dev") and (VENV / "bin" / "python").exists()


def run(*command: str | Path, quiet: bool = False) -> bool:
    """Run a command without a shell. False if it fails; quiet hides what it says."""
    environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    environment |= {
        "PIP_USER": "0",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_PROJECT_ENVIRONMENT": str(VENV),
        "UV_NO_PROGRESS": "1",
    }
    if ssl.get_default_verify_paths().cafile:
        environment.setdefault("UV_SYSTEM_CERTS", "1")  # a company's own authority is known to the system only
    output = subprocess.DEVNULL if quiet else sys.stderr
    try:
        done = subprocess.run(  # noqa: S603  fixed commands
            [str(part) for part in command], env=environment, stdout=output, stderr=output, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def usable_uv(program: str | Path) -> bool:
    """Whether this uv runs and understands the lock file."""
    try:
        answer = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)  # noqa: S603
    except OSError:
        return False
    version = re.search(r"(\d+)\.(\d+)", answer.stdout)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_UV


def find_uv() -> str:
    """The uv on PATH if it is new enough, else our own in .uv, fetched first if need be."""
    on_path = shutil.which("uv")
    if on_path and usable_uv(on_path):
        return on_path
    own = OWN_UV / "bin" / "uv"
    if not usable_uv(own):
        fetch_uv()
    return str(own)


def fetch_uv() -> None:
    """Install uv into .uv with pip, or with the pip of a new virtual environment where Python came without one."""
    say(f"Fetching uv {UV_VERSION} ...")
    python = os.path.realpath(sys.executable)
    growing = OWN_UV.with_name(".uv.new")
    shutil.rmtree(growing, ignore_errors=True)
    install = ("-m", "pip", "install", "--quiet", f"uv=={UV_VERSION}")
    if sys.prefix == sys.base_prefix and importlib.util.find_spec("pip"):
        fetched = run(python, *install, "--target", growing)
    elif run(python, "-m", "venv", growing, quiet=True):
        fetched = run(growing / "bin" / "python", *install)
    else:
        shutil.rmtree(growing, ignore_errors=True)
        raise BootstrapError(
            "This Python has neither pip nor venv. Install one of them (Debian, Ubuntu: apt-get install python3-venv), "
            "or uv itself: https://docs.astral.sh/uv/"
        )
    if not fetched:
        shutil.rmtree(growing, ignore_errors=True)
        raise BootstrapError("uv could not be fetched from the package index; pip's message is above.")
    shutil.rmtree(OWN_UV, ignore_errors=True)
    growing.rename(OWN_UV)


def sync(*, dev: bool) -> None:
    """Install exactly what the lock file says, leaving development tools that are there alone."""
    uv = find_uv()
    began = time.monotonic()
    say("Installing packages from uv.lock ...")
    STAMP.unlink(missing_ok=True)
    python = () if (VENV / "bin" / "python").exists() else ("--python", os.path.realpath(sys.executable))
    groups = () if dev else ("--no-dev", "--inexact")
    if not run(uv, "sync", "--frozen", "--quiet", "--extra", "embedded", *groups, *python):
        raise BootstrapError("The packages could not be installed; uv's message is above.")
    STAMP.write_text(f"{wanted()} {'dev' if dev else 'run'}\n", encoding="ascii")
    say(f"Installed in {time.monotonic() - began:.1f} s.")


def main() -> int:
    """Do what is missing, one `make` at a time. Returns the exit code."""
    dev = "--dev" in sys.argv[1:]
    if in_place(dev=dev):
        return 0
    lock = os.open(SOURCES[0], os.O_RDONLY)  # a file that is always there, so that the lock leaves none behind
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not in_place(dev=dev):
            sync(dev=dev)
    except BootstrapError as error:
        say(f"make: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
