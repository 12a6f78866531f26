"""`make audit`: known vulnerabilities in what the lock file pins, asked of PyPI's advisory database.

Exit code 1 when there is one. A machine that cannot reach the database audits nothing and says so: that is no reason
to stop a build, and no reason to believe it clean.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.processes import ROOT
from tests.supply.lock import exported


def main() -> int:
    """Audit; gives the exit code."""
    requirements = exported("requirements.txt", "--all-extras")
    done = subprocess.run(  # noqa: S603  pip-audit with our arguments
        [
            str(Path(sys.executable).with_name("pip-audit")),
            *("--requirement", "/dev/stdin", "--no-deps", "--disable-pip", "--format", "json"),
            *("--progress-spinner", "off"),
        ],
        cwd=ROOT,
        input=requirements,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(f"audit: nothing was audited: {done.stderr.strip().splitlines()[-1:]}\n")
        return 0
    return report(dependencies)


def report(dependencies: list[dict[str, Any]]) -> int:
    """Print what was found; gives the exit code."""
    found, audited = verdict(dependencies)
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.stdout.write(f"audit: {audited} of {len(dependencies)} packages audited, {len(found)} vulnerabilities\n")
    return 1 if found else 0


def verdict(dependencies: list[dict[str, Any]]) -> tuple[list[str], int]:
    """A line for each known vulnerability, and how many packages the database knew."""
    known = [dependency for dependency in dependencies if "vulns" in dependency]
    found = [
        f"{dependency['name']} {dependency['version']}: {vulnerability['id']}, "
        f"mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'}"
        for dependency in known
        for vulnerability in dependency["vulns"]
    ]
    return found, len(known)


if __name__ == "__main__":
    sys.exit(main())
