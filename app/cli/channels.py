"""`novahouse channels`: Slack, monday.com and e-mail, what holds them back and what waits for them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import channel_service as service
from app.alerts import operator_service
from app.alerts.channel_schemas import ChannelOut, ChannelsOut, SentTestOut
from app.alerts.schemas import AlertDetailOut, ChannelName
from app.cli.desk import Desk, once, run
from app.cli.inputs import Json, parse_reason
from app.cli.output import age, since, table, until
from app.core import clock

app = typer.Typer()

WAIT_SECONDS = 30.0
POLL_SECONDS = 0.25
_UNDER_WAY = ("pending", "sending", "retrying")

Name = Annotated[ChannelName, typer.Argument(metavar="CHANNEL", help="slack, monday or email.")]


@app.command("list")
def list_channels(json: Json = False) -> None:
    """Every channel: its breaker, waits, pause and backlog."""
    found = once(lambda session, desk: service.overview(session, configured=desk.settings.configured_channels))
    listed = ChannelsOut.model_validate({"items": found})
    typer.echo(listed.model_dump_json() if json else channel_table(listed.items))


@app.command()
def pause(
    name: Name,
    reason: Annotated[
        str | None, typer.Option(parser=parse_reason, metavar="TEXT", help="Why. No personal data.")
    ] = None,
    json: Json = False,
) -> None:
    """Send nothing more on it until it is resumed; tests pass. Nothing is lost meanwhile."""
    _change(name, lambda session, desk: service.pause(session, name, actor=desk.actor, reason=reason), json=json)


@app.command()
def resume(name: Name, json: Json = False) -> None:
    """Send again, whoever paused it."""
    _change(name, lambda session, desk: service.resume(session, name, actor=desk.actor), json=json)


@app.command()
def reset(name: Name, json: Json = False) -> None:
    """Close its breaker, forget the remote's wish to wait, and try at once. A pause stays."""
    _change(name, lambda session, desk: service.reset(session, name, actor=desk.actor), json=json)


@app.command("test")
def send_test(
    name: Name,
    wait: Annotated[bool, typer.Option("--wait", help=f"Wait for the result, {WAIT_SECONDS:.0f} s at most.")] = False,
    json: Json = False,
) -> None:
    """Send a test message, paused or not. With --wait the exit code is 0 when it arrived."""

    async def work(desk: Desk) -> tuple[UUID, AlertDetailOut | None]:
        async with desk.database.transaction() as session:
            alert_id = await service.send_test(
                session, name, configured=desk.settings.configured_channels, actor=desk.actor
            )
        return alert_id, await _result(desk, alert_id) if wait else None

    alert_id, result = run(work)
    if result is None:
        sent = SentTestOut(alert_id=alert_id)
        typer.echo(sent.model_dump_json() if json else f"On its way as alert {alert_id}; --wait waits for it.")
        return
    typer.echo(result.model_dump_json() if json else _verdict(result))
    if result.state != "delivered":
        raise typer.Exit(1)


async def _result(desk: Desk, alert_id: UUID) -> AlertDetailOut:
    """What became of an alert by the time it was settled or the wait is over."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        async with desk.database.transaction() as session:
            found = await operator_service.alert(session, alert_id)
        if found["state"] not in _UNDER_WAY or time.monotonic() >= deadline:
            return AlertDetailOut.model_validate(found, from_attributes=True)
        await asyncio.sleep(POLL_SECONDS)


def _verdict(alert: AlertDetailOut) -> str:
    if alert.state == "delivered":
        took = f" after {alert.attempts_made[-1].duration_ms} ms" if alert.attempts_made else ""
        return f"Delivered{took}."
    if alert.state in _UNDER_WAY:
        return f"Not sent within {WAIT_SECONDS:.0f} s: see `novahouse channels list`, and whether a worker runs."
    return f"Not delivered: {alert.last_error or alert.last_outcome or alert.state}."


def _change(name: ChannelName, work: Callable[[AsyncSession, Desk], Awaitable[None]], *, json: bool) -> None:
    async def work_and_look(session: AsyncSession, desk: Desk) -> dict[str, Any]:
        await work(session, desk)
        return await service.one(session, name, configured=desk.settings.configured_channels)

    channel = ChannelOut.model_validate(once(work_and_look))
    typer.echo(channel.model_dump_json() if json else channel_table([channel]))


def channel_table(channels: Sequence[ChannelOut]) -> str:
    """Channels as a person reads them: the backlog in numbers, what holds it back in words."""
    return table(
        ("CHANNEL", "PENDING", "OLDEST", "SENDING", "RETRYING", "FAILED", "STATE"),
        [
            (
                channel.name,
                channel.backlog.pending,
                None if channel.oldest_pending_seconds is None else age(channel.oldest_pending_seconds),
                channel.backlog.sending,
                channel.backlog.retrying,
                channel.backlog.failed,
                _state(channel),
            )
            for channel in channels
        ],
    )


def _state(channel: ChannelOut) -> str:
    now = clock.now()
    said = [] if channel.configured else ["off here: no settings"]
    if channel.paused:
        why = f": {channel.paused_reason}" if channel.paused_reason else ""
        trial = f", tries {until(channel.trial_at, now)}" if channel.trial_at else ""
        said.append(f"paused {since(channel.paused_at, now)} ago by {channel.paused_by}{why}{trial}")
    if channel.breaker.state == "open":
        said.append(f"breaker open ({channel.breaker.reason}), tries {until(channel.breaker.retry_at, now)}")
    if channel.breaker.state == "half_open":
        said.append(f"breaker half open ({channel.breaker.reason})")
    if channel.blocked_until is not None:
        said.append(f"remote says wait ({channel.blocked_reason}), ends {until(channel.blocked_until, now)}")
    return "; ".join(said) or "ok"
