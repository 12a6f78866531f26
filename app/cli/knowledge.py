"""`novahouse knowledge`: what the assistant knows, checked before it goes live."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.desk import fail
from app.core.settings import SettingsError, read_settings
from app.engine import knowledge_files
from app.engine.engine import Engine
from app.engine.knowledge import KnowledgeError

app = typer.Typer()


@app.command()
def check(
    directory: Annotated[
        Path | None,
        typer.Argument(
            help="The folder; by default that of KNOWLEDGE_DIR, else the project's own.", show_default=False
        ),
    ] = None,
) -> None:
    """Read the files as the service would; what it would refuse is said with file and line, and the exit code is 1."""
    try:
        folder = directory or read_settings().knowledge_dir
        knowledge = knowledge_files.load(folder)
        Engine(knowledge)
    except (KnowledgeError, SettingsError) as error:
        fail(str(error), command="novahouse knowledge check")
    typer.echo(
        f"{knowledge.firm.facts['firm']}: {len(knowledge.packages.packages)} packages, {len(knowledge.prices.rows)} "
        f"price rows, {len(knowledge.faq.entries)} entries, {len(knowledge.cities.cities)} towns. All is well."
    )
