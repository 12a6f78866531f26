"""`make image-check IMAGE=name`: the files of an image, searched for what a service has no use for.

Exit code 1 with a line for each: a secret, a compiler, an installer, our tests, a program that runs as its owner.
"""

import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from typing import Final

FORBIDDEN: Final = {
    "a secret": r"(^|/)(\.env(\..+)?|\.netrc|\.pypirc|\.git-credentials|id_(rsa|dsa|ecdsa|ed25519)|.+\.(key|p12|pfx))$",
    "a private key or certificate": r"(?<!/certifi/cacert)(?<!/ca-certificates)\.pem$",
    "a repository": r"(^|/)\.(git|hg|svn)/",
    "a compiler": r"(^|/)(s?bin)/([a-z0-9_]+-linux-gnu-)?(gcc|g\+\+|cc|c\+\+|cpp|clang|tcc|ld|as|rustc|go)(-[0-9.]+)?$",
    "a build tool": r"(^|/)bin/(make|cmake|ninja|git)$",
    "an installer": r"(^|/)(bin/(pip[0-9.]*|uvx?|easy_install)$|site-packages/(pip|ensurepip|setuptools)/)",
    "a cache": r"(^|/)(\.cache|root/\.npm)/.",
    "our tests or tools": r"(^|/)(tests/(conftest|processes)\.py|bench/|app/devstack/|\.ci/)",
}
_BASE: Final = re.compile(r"^(etc/ssl/|usr/share/ca-certificates/|usr/lib/ssl/)")
"""The certificates of public authorities, which the base image brings."""


def problems(files: Iterable[str]) -> list[str]:
    """A line for each of these paths, which have no leading slash, that should not be in an image."""
    return [
        f"{kind}: /{path}"
        for path in files
        for kind, pattern in FORBIDDEN.items()
        if re.search(pattern, path) and not _BASE.match(path)
    ]


def main(image: str) -> int:
    """Check an image that podman or docker has; gives the exit code."""
    engine = shutil.which("podman") or shutil.which("docker")
    if engine is None:
        sys.stderr.write("image-check: neither podman nor docker is on PATH\n")
        return 2
    created = subprocess.run([engine, "create", image], capture_output=True, text=True, check=False)  # noqa: S603
    if created.returncode != 0:
        sys.stderr.write(f"image-check: {created.stderr.strip()}\n")
        return 2
    container = created.stdout.strip()
    try:
        with (
            subprocess.Popen([engine, "export", container], stdout=subprocess.PIPE) as export,  # noqa: S603
            tarfile.open(fileobj=export.stdout, mode="r|") as archive,
        ):
            members = [(member.name.removeprefix("./"), member.mode if member.isfile() else 0) for member in archive]
    finally:
        subprocess.run([engine, "rm", container], capture_output=True, check=False)  # noqa: S603
    return report(members)


def report(members: Sequence[tuple[str, int]]) -> int:
    """Print what is wrong with these files, each with its mode, 0 for what is no file; gives the exit code."""
    found = problems(name for name, _ in members)
    found += [f"runs as its owner: /{name}" for name, mode in members if mode and mode & 0o6000]
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.stdout.write(f"image-check: {len(members)} files, {len(found)} that should not be there\n")
    return 1 if found or not members else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
