"""`novahouse followups`: the messages that a quiet conversation gets, each number once."""

from typing import Annotated
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.desk import Desk, once
from app.cli.inputs import Json, parse_reason
from app.cli.output import facts, since, table
from app.core import clock
from app.engine.engine import Engine
from app.followups import desk as office
from app.followups import service
from app.followups.schemas import (
    DueOut,
    DuesOut,
    FollowupClosedOut,
    FollowupOut,
    FollowupsOut,
    FollowupState,
    FollowupText,
    FollowupWrittenOut,
    PreviewOut,
)
from app.followups.service import Followups, Written

app = typer.Typer()

_TEXT: TypeAdapter[str] = TypeAdapter(FollowupText)


def _parse_text(text: str) -> str:
    """A message as HTTP would take it."""
    try:
        return _TEXT.validate_python(text)
    except ValidationError as invalid:
        raise typer.BadParameter(str(invalid.errors(include_url=False, include_input=False)[0]["msg"])) from None


ConversationId = Annotated[UUID, typer.Argument(metavar="CONVERSATION", help="Its id.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=100, help="Which of its follow-ups.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many at most.")]


@app.command("list")
def list_followups(
    state: Annotated[FollowupState | None, typer.Option(help="Only these.")] = None,
    limit: Most = 50,
    json: Json = False,
) -> None:
    """Follow-ups and what became of them, newest first."""
    rows = once(lambda session, _: service.page(session, state=state, before=None, limit=limit + 1))
    found = [FollowupOut.model_validate(row) for row in rows[:limit]]
    if json:
        typer.echo(FollowupsOut(items=found, next_cursor=None).model_dump_json(exclude={"next_cursor"}))
        return
    if not found:
        typer.echo("No follow-ups.")
        return
    now = clock.now()
    cells = [(item.id, since(item.created_at, now), item.followup_number, item.state, item.reason) for item in found]
    typer.echo(table(("ID", "AGE", "NO", "STATE", "REASON"), cells))
    if len(rows) > limit:
        typer.echo(f"... and more: --limit {min(limit * 10, 1000)}")


@app.command()
def due(limit: Most = 50, json: Json = False) -> None:
    """What the schedule would write now. Writes nothing."""

    async def work(session: AsyncSession, desk: Desk) -> list[DueOut]:
        found = await service.due(session, _followups(desk), now=clock.now(), limit=limit)
        return [
            DueOut(conversation_id=conversation_id, followup_number=number, due_at=due_at)
            for conversation_id, number, due_at in found
        ]

    items = once(work)
    if json:
        typer.echo(DuesOut(items=items).model_dump_json())
    elif items:
        now = clock.now()
        cells = [(item.conversation_id, item.followup_number, since(item.due_at, now)) for item in items]
        typer.echo(table(("CONVERSATION", "NO", "DUE FOR"), cells))
    else:
        typer.echo("Nothing is due.")


@app.command()
def preview(conversation_id: ConversationId, number: Number, json: Json = False) -> None:
    """What a follow-up would say now. Writes nothing."""

    async def work(session: AsyncSession, desk: Desk) -> str:
        return await service.preview(session, _followups(desk), conversation_id=conversation_id, number=number)

    text = once(work)
    typer.echo(PreviewOut(text=text).model_dump_json() if json else text)


@app.command()
def send(
    conversation_id: ConversationId,
    number: Number,
    message: Annotated[
        str | None, typer.Option(parser=_parse_text, metavar="TEXT", help="Instead of the composed text.")
    ] = None,
    json: Json = False,
) -> None:
    """Write one now, whatever the schedule says, if the visitor agreed. The same again changes nothing."""

    async def work(session: AsyncSession, desk: Desk) -> Written:
        return await office.write(
            session,
            _followups(desk),
            conversation_id=conversation_id,
            number=number,
            message=message,
            actor=desk.actor,
        )

    written = once(work)
    if json:
        typer.echo(FollowupWrittenOut.model_validate(written.row).model_dump_json())
        return
    typer.echo(_summary(FollowupClosedOut.model_validate(written.row)))
    if written.replayed:
        typer.echo("It was there already: nothing was changed.")


@app.command()
def cancel(
    followup_id: Annotated[UUID, typer.Argument(metavar="ID", help="As `followups list` shows it.")],
    reason: Annotated[str, typer.Option(parser=parse_reason, metavar="TEXT", help="Why. No personal data.")],
    json: Json = False,
) -> None:
    """Take back one whose mail has not left; its words stay in the chat."""
    row = once(lambda session, desk: office.cancel(session, followup_id, reason=reason, actor=desk.actor))
    found = FollowupClosedOut.model_validate(row)
    typer.echo(found.model_dump_json() if json else _summary(found))


def _followups(desk: Desk) -> Followups:
    return Followups.of(desk.settings, Engine.load(desk.settings.knowledge_dir))


def _summary(found: FollowupClosedOut) -> str:
    return facts(
        [
            ("follow-up", found.id),
            ("conversation", found.conversation_id),
            ("number", found.followup_number),
            ("state", found.state),
            ("reason", found.reason),
            ("author", found.author),
            ("written", f"{since(found.created_at, clock.now())} ago"),
        ]
    )
