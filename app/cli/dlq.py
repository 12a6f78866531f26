"""`novahouse dlq`: dead letters, alerts that were not delivered at once."""

from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import operator_service as service
from app.alerts.schemas import (
    ChannelName,
    DeadLetterDetailOut,
    DeadLetterOut,
    DeadLettersOut,
    DeadLetterStatus,
    RetriedOut,
    RetryableStatus,
)
from app.cli.desk import Desk, once
from app.cli.inputs import Json, Since, parse_reason
from app.cli.output import facts, since, table, until
from app.core import clock

app = typer.Typer()

LetterId = Annotated[UUID, typer.Argument(metavar="ID", help="As `dlq list` shows it.")]


@app.command("list")
def list_letters(
    status: Annotated[DeadLetterStatus | None, typer.Option(help="Only these.")] = None,
    channel: Annotated[ChannelName | None, typer.Option(help="Only these.")] = None,
    newer: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Dead letters, newest first."""
    rows = once(lambda session, _: service.page(session, status=status, channel=channel, since=newer, limit=limit + 1))
    letters = [DeadLetterOut.model_validate(row) for row in rows[:limit]]
    if json:
        typer.echo(DeadLettersOut(items=letters, next_cursor=None).model_dump_json(exclude={"next_cursor"}))
        return
    if not letters:
        typer.echo("No dead letters.")
        return
    now = clock.now()
    typer.echo(
        table(
            ("ID", "AGE", "CHANNEL", "STATUS", "TRIES", "NEXT", "REASON"),
            [
                (
                    letter.id,
                    since(letter.created_at, now),
                    letter.channel,
                    letter.status,
                    letter.attempts,
                    until(letter.next_attempt_at, now),
                    letter.reason,
                )
                for letter in letters
            ],
        )
    )
    if len(rows) > limit:
        typer.echo(f"... and more: --limit {min(limit * 10, 1000)}")


@app.command()
def show(letter_id: LetterId, json: Json = False) -> None:
    """One dead letter: its attempts, and what operators did about it."""
    found = once(lambda session, _: service.detail(session, letter_id))
    letter = DeadLetterDetailOut.model_validate(found, from_attributes=True)
    if json:
        typer.echo(letter.model_dump_json())
        return
    now = clock.now()
    typer.echo(_summary(letter))
    typer.echo()
    typer.echo(
        table(
            ("TRY", "AGE", "TOOK", "OUTCOME", "STATUS", "ERROR"),
            [
                (
                    attempt.attempt,
                    since(attempt.started_at, now),
                    None if attempt.duration_ms is None else f"{attempt.duration_ms} ms",
                    attempt.outcome,
                    attempt.status,
                    attempt.error,
                )
                for attempt in letter.attempts_made
            ],
        )
    )
    if letter.actions:
        typer.echo()
        actions = [(since(item.at, now), item.actor, item.action, item.reason) for item in letter.actions]
        typer.echo(table(("AGE", "WHO", "DID", "WHY"), actions))


@app.command()
def retry(letter_id: LetterId, json: Json = False) -> None:
    """Give one a new round of attempts that begins now."""
    row = once(lambda session, desk: service.retry(session, letter_id, actor=desk.actor))
    _tell(DeadLetterOut.model_validate(row), json=json)


@app.command("retry-all")
def retry_all(
    channel: Annotated[ChannelName | None, typer.Option(help="Only these.")] = None,
    newer: Since = None,
    status: Annotated[RetryableStatus | None, typer.Option(help="Only these, instead of pending and failed.")] = None,
    json: Json = False,
) -> None:
    """Give many a new round of attempts, BULK_RETRY_PER_SECOND of them a second, the oldest first."""

    async def work(session: AsyncSession, desk: Desk) -> service.Retried:
        return await service.retry_many(
            session,
            channel=channel,
            since=newer,
            statuses=(status,) if status else ("pending", "failed"),
            per_second=desk.settings.bulk_retry_per_second,
            actor=desk.actor,
        )

    retried = once(work)
    if json:
        typer.echo(RetriedOut.model_validate(retried).model_dump_json())
    elif retried.retried:
        last = until(retried.last_attempt_at, clock.now())
        typer.echo(f"{retried.retried} on {', '.join(retried.channels)}: first now, last {last}.")
    else:
        typer.echo("Nothing to retry.")


@app.command()
def discard(
    letter_id: LetterId,
    reason: Annotated[str, typer.Option(parser=parse_reason, metavar="TEXT", help="Why. No personal data.")],
    json: Json = False,
) -> None:
    """Close one undelivered. A retry opens it again."""
    row = once(lambda session, desk: service.discard(session, letter_id, actor=desk.actor, reason=reason))
    _tell(DeadLetterOut.model_validate(row), json=json)


def _tell(letter: DeadLetterOut, *, json: bool) -> None:
    typer.echo(letter.model_dump_json() if json else _summary(letter))


def _summary(letter: DeadLetterOut) -> str:
    now = clock.now()
    return facts(
        [
            ("dead letter", letter.id),
            ("alert", f"{letter.alert_id} ({letter.event} for {letter.channel})"),
            ("about", letter.subject_id),
            ("status", letter.status + (" (people were told)" if letter.escalated else "")),
            ("reason", letter.reason),
            ("attempts", f"{letter.attempts}{', may have arrived' if letter.possible_repeat else ''}"),
            ("next", until(letter.next_attempt_at, now)),
            ("failed first", f"{since(letter.created_at, now)} ago"),
        ]
    )
