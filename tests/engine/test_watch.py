"""Knowledge exchanged while the process runs."""

import os
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
import structlog
from typer.testing import CliRunner

from app.cli.commands import app as command_line
from app.engine.engine import Engine
from app.engine.knowledge_files import DEFAULT_DIRECTORY
from app.engine.watch import watching
from tests.engine.talking import TUESDAY, Visitor, said
from tests.evaluation.rules import plain
from tests.processes import eventually

EVERY = 0.02


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the knowledge that changes."""
    return Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "knowledge"))


@pytest.fixture
async def watched(folder: Path) -> AsyncIterator[Engine]:
    """An engine that follows the folder."""
    engine = Engine.load(folder)
    async with watching(engine, folder, every_seconds=EVERY):
        yield engine


def rewrite(path: Path, old: str, new: str) -> None:
    """Change a file at once, with a time of its own: two writes within a clock tick are two."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    beside = path.with_suffix(".new")
    beside.write_text(text.replace(old, new), encoding="utf-8")
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(beside, ns=(later, later))
    beside.replace(path)


def price(engine: Engine) -> Decimal:
    quote = engine.quote(area_m2=Decimal(50), package="comfort", locale="pl", now=TUESDAY)
    return quote.total_pln


async def test_a_changed_file_is_answered_from_without_a_restart(folder: Path, watched: Engine) -> None:
    visitor = Visitor(engine=watched)
    assert "74950" in plain(said(visitor.say("50 m2 comfort")))
    rewrite(folder / "prices.yaml", "per_m2: 1499", "per_m2: 1600")

    async def changed() -> bool:
        return price(watched) == Decimal("80000.00")

    await eventually(changed)
    assert "96000" in plain(said(visitor.say("a przy 60?")))


async def test_a_bad_file_changes_nothing_and_is_said_with_its_line(folder: Path, watched: Engine) -> None:
    with structlog.testing.capture_logs() as logs:
        rewrite(folder / "prices.yaml", "per_m2: 1499", "per_m2: minus")

        async def refused() -> bool:
            return any("prices.yaml, line 19" in str(entry.get("reason")) for entry in logs)

        await eventually(refused)
        assert price(watched) == Decimal("74950.00")
        rewrite(folder / "prices.yaml", "per_m2: minus", "per_m2: 1500")

        async def mended() -> bool:
            return [entry["log_level"] for entry in logs] == ["error", "info"]

        await eventually(mended)
        assert price(watched) == Decimal("75000.00")


async def test_a_folder_that_vanishes_changes_nothing(folder: Path, watched: Engine) -> None:
    with structlog.testing.capture_logs() as logs:
        shutil.move(folder, folder.with_name("elsewhere"))

        async def refused() -> bool:
            return any(entry["log_level"] == "error" for entry in logs)

        await eventually(refused)
        assert price(watched) == Decimal("74950.00")


def test_the_command_checks_a_folder(folder: Path) -> None:
    run = CliRunner().invoke
    good = run(command_line, ["knowledge", "check", str(folder)])
    assert (good.exit_code, "5 packages" in good.output) == (0, True)
    rewrite(folder / "faq.yaml", "topic: floor", "topic: flor")
    bad = run(command_line, ["knowledge", "check", str(folder)])
    assert (bad.exit_code, "no such topic 'flor'" in bad.output) == (1, True)
