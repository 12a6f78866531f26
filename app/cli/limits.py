"""`novahouse limits`: how many requests each client may send and calls a model may cost, changed while it runs."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.channel_schemas import RateLimitOut
from app.cli.desk import Desk, once
from app.cli.inputs import Json
from app.cli.output import since, table
from app.core import clock
from app.operations import limits as service

app = typer.Typer()

_LISTED: TypeAdapter[list[RateLimitOut]] = TypeAdapter(list[RateLimitOut])

Policy = Annotated[str, typer.Argument(metavar="POLICY", help="chat, api-hour, api-minute, bulk or model.")]


@app.command()
def show(json: Json = False) -> None:
    """Every limit: what holds, who set it, and how many requests or calls it refused."""
    _tell(once(_overview), json=json)


@app.command("set")
def change(
    policy: Policy,
    value: Annotated[
        str, typer.Argument(metavar="LIMIT", help='Such as "10 per minute"; several: "1/second; 9/hour".')
    ],
    json: Json = False,
) -> None:
    """Have another limit hold; every API process knows it within seconds, and counting begins anew."""
    _change(
        lambda session, desk: service.change(
            session, policy, value, defaults=desk.settings.rate_limits, actor=desk.actor
        ),
        json=json,
    )


@app.command()
def reset(policy: Policy, json: Json = False) -> None:
    """Have the environment's limit hold again."""
    _change(
        lambda session, desk: service.reset(session, policy, defaults=desk.settings.rate_limits, actor=desk.actor),
        json=json,
    )


def limit_table(limits: Sequence[RateLimitOut]) -> str:
    """Limits as a person reads them."""
    now = clock.now()
    return table(
        ("LIMIT", "VALUE", "SET", "429S", "LAST"),
        [
            (
                limit.policy,
                limit.value,
                f"{since(limit.changed_at, now)} ago by {limit.changed_by}" if limit.changed_by else "by environment",
                limit.limited,
                since(limit.limited_at, now),
            )
            for limit in limits
        ],
    )


async def _overview(session: AsyncSession, desk: Desk) -> list[dict[str, Any]]:
    return await service.overview(session, defaults=desk.settings.rate_limits)


def _change(work: Callable[[AsyncSession, Desk], Awaitable[None]], *, json: bool) -> None:
    async def work_and_look(session: AsyncSession, desk: Desk) -> list[dict[str, Any]]:
        await work(session, desk)
        return await _overview(session, desk)

    _tell(once(work_and_look), json=json)


def _tell(found: list[dict[str, Any]], *, json: bool) -> None:
    limits = _LISTED.validate_python(found)
    typer.echo(_LISTED.dump_json(limits).decode() if json else limit_table(limits))
