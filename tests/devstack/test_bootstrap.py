"""The bootstrap that `make` runs: what it asks of uv, and when. uv is a stand-in that notes how it was called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BOOTSTRAP = Path(__file__).parents[2] / "app" / "devstack" / "bootstrap.py"
UV = """#!/bin/sh
if [ "$1" = --version ]; then echo "uv {version}"; exit; fi
echo "$@" >> calls
if [ -e overlap ]; then echo overlapped >> calls; fi
touch overlap; sleep 0.2; rm overlap
mkdir -p .venv/bin; touch .venv/bin/python
exit {code}
"""


class Clone:
    """A project folder and a PATH whose uv is the stand-in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "a clone"
        self.tools = folder / "tools"
        self.folder.mkdir()
        self.tools.mkdir()
        for name in ("uv.lock", "pyproject.toml"):
            (self.folder / name).write_text("1")
        self.uv()

    def uv(self, version: str = "0.13.9", code: int = 0) -> None:
        """Have this uv on PATH."""
        program = self.tools / "uv"
        program.write_text(UV.format(version=version, code=code))
        program.chmod(0o755)

    def launch(self, *arguments: str) -> "subprocess.Popen[str]":
        """Run the bootstrap as make does."""
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", str(BOOTSTRAP), *arguments],
            cwd=self.folder,
            env={"PATH": f"{self.tools}:{os.defpath}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and all output."""
        process = self.launch(*arguments)
        said, _ = process.communicate(timeout=30)
        return process.returncode, said

    @property
    def calls(self) -> list[str]:
        """How uv has been called, but for questions about its version."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def test_it_installs_once_and_again_when_the_lock_changes(clone: Clone) -> None:
    assert clone.run()[0] == 0
    assert clone.run() == (0, "")
    assert len(clone.calls) == 1
    (clone.folder / "uv.lock").write_text("2")
    assert clone.run()[0] == 0
    assert len(clone.calls) == 2


def test_development_tools_are_added_for_tests_and_left_alone_by_up(clone: Clone) -> None:
    clone.run()
    clone.run("--dev")
    assert clone.run() == (0, "")
    up, test = clone.calls
    assert {"--no-dev", "--inexact", "--frozen"} <= set(up.split())
    assert "--no-dev" not in test.split()


def test_two_at_once_install_once(clone: Clone) -> None:
    both = [clone.launch(), clone.launch()]
    for process in both:
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert len(clone.calls) == 1


def test_a_missing_environment_is_made_again(clone: Clone) -> None:
    clone.run()
    (clone.folder / ".venv/bin/python").unlink()
    clone.run()
    assert len(clone.calls) == 2


def test_a_failed_installation_is_an_error_and_tried_again_next_time(clone: Clone) -> None:
    clone.uv(code=2)
    code, said = clone.run()
    assert code == 1
    assert said.splitlines()[-1] == "make: The packages could not be installed; uv's message is above."
    clone.uv()
    assert clone.run()[0] == 0
    assert len(clone.calls) == 2


def test_a_uv_too_old_for_the_lock_is_not_used(clone: Clone) -> None:
    clone.uv(version="0.4.30")
    own = clone.folder / ".uv/bin/uv"
    own.parent.mkdir(parents=True)
    own.write_text(UV.format(version="0.13.9", code=0).replace('echo "$@"', "echo own"))
    own.chmod(0o755)
    assert clone.run()[0] == 0
    assert clone.calls == ["own"]
