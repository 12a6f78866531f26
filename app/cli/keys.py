"""`novahouse keys`: API keys for programs."""

import re
from datetime import timedelta
from typing import Annotated

import typer

from app.cli.desk import once
from app.cli.inputs import Json
from app.cli.output import facts, since, table, until
from app.core import clock
from app.operations import api_keys
from app.operations.api_keys import SCOPES
from app.operations.schemas import ApiKeyCreatedOut, ApiKeyOut, ApiKeysOut

_SCOPE_HELP = "\n\n".join(f"{scope}: {what}" for scope, what in SCOPES.items())
app = typer.Typer()

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")


def parse_name(text: str) -> str:
    """A key's name as the journal repeats it."""
    if not _NAME.fullmatch(text):
        raise typer.BadParameter("1 to 40 of a-z, 0-9, dot, hyphen and underscore, such as crm-sync")
    return text


def parse_scope(text: str) -> str:
    """A scope that there is."""
    if text not in SCOPES:
        raise typer.BadParameter(f"one of {', '.join(SCOPES)}")
    return text


@app.command(help=f"Make a key and show it, this once.\n\nScopes:\n\n{_SCOPE_HELP}")
def create(
    name: Annotated[str, typer.Option(parser=parse_name, metavar="NAME", help="Which program it is for.")],
    scope: Annotated[
        list[str], typer.Option(parser=parse_scope, metavar="SCOPE", help="What it may do; repeat it for more.")
    ],
    expires_days: Annotated[
        int | None, typer.Option(min=1, max=3650, help="Days until it ends; without it, it ends when revoked.")
    ] = None,
    json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    created = once(
        lambda session, desk: api_keys.create(
            session,
            name=name,
            scopes=[known for known in SCOPES if known in scope],
            expires_in=timedelta(days=expires_days) if expires_days else None,
            actor=desk.actor,
        )
    )
    shown = ApiKeyCreatedOut.model_validate(created)
    if json:
        typer.echo(shown.model_dump_json())
        return
    now = clock.now()
    typer.echo(
        facts(
            [
                ("name", shown.name),
                ("prefix", shown.prefix),
                ("scopes", ", ".join(shown.scopes)),
                ("ends", until(shown.expires_at, now) if shown.expires_at else "when it is revoked"),
                ("key", shown.key),
            ]
        )
    )
    typer.echo("\nKeep the key now: it is stored hashed and cannot be shown again.")


@app.command("list")
def list_keys(json: Json = False) -> None:
    """Every key, its scopes and its last use; never the keys themselves."""
    keys = [ApiKeyOut.model_validate(row) for row in once(lambda session, _: api_keys.every(session))]
    if json:
        typer.echo(ApiKeysOut(items=keys).model_dump_json())
    elif keys:
        typer.echo(_table(keys))
    else:
        typer.echo("No API keys.")


@app.command()
def revoke(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As `keys list` shows it.")], json: Json = False
) -> None:
    """End a key at once: the next request with it is refused."""
    key = ApiKeyOut.model_validate(
        once(lambda session, desk: api_keys.revoke(session, prefix, actor=desk.actor)), from_attributes=True
    )
    typer.echo(key.model_dump_json() if json else _table([key]))


def _table(keys: list[ApiKeyOut]) -> str:
    now = clock.now()
    return table(
        ("PREFIX", "NAME", "AGE", "USED", "STATE", "SCOPES"),
        [
            (
                key.prefix,
                key.name,
                since(key.created_at, now),
                f"{since(key.last_used_at, now)} ago" if key.last_used_at else "never",
                _state(key),
                " ".join(key.scopes),
            )
            for key in keys
        ],
    )


def _state(key: ApiKeyOut) -> str:
    now = clock.now()
    if key.revoked_at:
        return f"revoked {since(key.revoked_at, now)} ago"
    if key.expires_at and key.expires_at <= now:
        return f"expired {since(key.expires_at, now)} ago"
    return f"ends {until(key.expires_at, now)}" if key.expires_at else "ok"
