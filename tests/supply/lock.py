"""What uv.lock pins, as uv tells it."""

import subprocess

from tests.processes import ROOT


def exported(form: str, *options: str) -> str:
    """The lock file without our own project and without what only developers need, in one of uv's export formats."""
    command = [str(ROOT / ".uv/bin/uv"), "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project"]
    done = subprocess.run(  # noqa: S603  uv with our arguments
        [*command, "--format", form, *options], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout
