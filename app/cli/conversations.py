"""`novahouse conversations`: what visitors and we said, and answering those who asked for a person."""

from typing import Annotated
from uuid import UUID

import typer
from pydantic import TypeAdapter, ValidationError
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.desk import Desk, once
from app.cli.inputs import Json
from app.cli.output import facts, since, table
from app.conversations import desk as office
from app.conversations import handoff
from app.conversations.desk_schemas import (
    ConversationDetailOut,
    ConversationOut,
    ConversationsOut,
    ConversationState,
    PersonMessageOut,
    ReleasedOut,
    ReplyText,
)
from app.core import clock

app = typer.Typer()

_TEXT: TypeAdapter[str] = TypeAdapter(ReplyText)


def _parse_text(text: str) -> str:
    """A message as HTTP would take it."""
    try:
        return _TEXT.validate_python(text)
    except ValidationError as invalid:
        raise typer.BadParameter(str(invalid.errors(include_url=False, include_input=False)[0]["msg"])) from None


ConversationId = Annotated[UUID, typer.Argument(metavar="CONVERSATION", help="As `conversations list` shows it.")]


@app.command("list")
def list_conversations(
    state: Annotated[ConversationState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Conversations, newest first. `--state handoff`: those that wait for a person or have one."""
    rows = once(lambda session, _: office.page(session, state=state, before=None, limit=limit + 1))
    found = [ConversationOut.model_validate(row) for row in rows[:limit]]
    if json:
        typer.echo(ConversationsOut(items=found, next_cursor=None).model_dump_json(exclude={"next_cursor"}))
        return
    if not found:
        typer.echo("No conversations.")
        return
    now = clock.now()
    cells = [
        (item.id, since(item.last_message_at, now), item.state, item.language, item.visitor_messages) for item in found
    ]
    typer.echo(table(("ID", "LAST", "STATE", "LANG", "SAID"), cells))
    if len(rows) > limit:
        typer.echo(f"... and more: --limit {min(limit * 10, 1000)}")


@app.command()
def show(
    conversation_id: ConversationId,
    after: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Only messages with a higher number.")] = 0,
    json: Json = False,
) -> None:
    """One conversation and what was said in it, oldest first."""
    got = once(lambda session, _: office.get(session, conversation_id, after=after, limit=100))
    found = ConversationDetailOut.model_validate(got)
    if json:
        typer.echo(found.model_dump_json())
        return
    now = clock.now()
    pairs: list[tuple[str, object]] = [
        ("conversation", found.id),
        ("state", found.state),
        ("language", found.language),
        ("name", found.name),
        ("phone", found.phone),
        ("email", found.email),
        ("may contact", {True: "yes", False: "no", None: "not asked"}[found.rodo_consent]),
        ("began", f"{since(found.created_at, now)} ago"),
    ]
    typer.echo(facts(pairs))
    for message in found.messages:
        typer.echo(f"\n{message.seq}  {message.role}, {since(message.created_at, now)} ago\n{message.text}")
    if found.next_cursor is not None:
        typer.echo(f"\n... and more: --after {found.next_cursor}")


@app.command()
def reply(
    conversation_id: ConversationId,
    text: Annotated[str, typer.Argument(parser=_parse_text, metavar="TEXT", help="What to say.")],
    json: Json = False,
) -> None:
    """Say something to a visitor who asked for a person."""

    async def work(session: AsyncSession, desk: Desk) -> PersonMessageOut:
        said = await handoff.reply(session, conversation_id=conversation_id, text=text, actor=desk.actor)
        return PersonMessageOut.model_validate(said)

    said = once(work)
    typer.echo(said.model_dump_json() if json else f"Said, as message {said.seq}.")


@app.command()
def release(conversation_id: ConversationId, json: Json = False) -> None:
    """Let the bot answer again. The same again changes nothing."""

    async def work(session: AsyncSession, desk: Desk) -> ReleasedOut:
        state = await handoff.release(session, conversation_id=conversation_id, actor=desk.actor)
        return ReleasedOut.model_validate({"conversation_id": conversation_id, "state": state})

    released = once(work)
    typer.echo(released.model_dump_json() if json else f"The conversation is {released.state}.")
