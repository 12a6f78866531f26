"""`novahouse questions`: what visitors asked and the assistant could not answer."""

from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.desk import Desk, once
from app.cli.inputs import Json
from app.cli.output import facts, since, table
from app.conversations import questions
from app.conversations.questions import Answered, Decision, QuestionStatus
from app.conversations.questions_schemas import QuestionOut, QuestionsOut
from app.core import clock
from app.engine.engine import Engine
from app.engine.types import Locale

app = typer.Typer()

QuestionId = Annotated[UUID, typer.Argument(metavar="ID", help="As `questions list` shows it.")]


@app.command("list")
def list_questions(
    status: Annotated[QuestionStatus, typer.Option(help="Only these.")] = "open",
    language: Annotated[Locale | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Questions, newest first, without addresses, numbers and names."""
    rows = once(
        lambda session, _: questions.page(session, status=status, language=language, before=None, limit=limit + 1)
    )
    found = [QuestionOut.model_validate(row) for row in rows[:limit]]
    if json:
        typer.echo(QuestionsOut(items=found, next_cursor=None).model_dump_json(exclude={"next_cursor"}))
        return
    if not found:
        typer.echo("No questions.")
        return
    now = clock.now()
    cells = [(item.id, since(item.asked_at, now), item.language, item.words) for item in found]
    typer.echo(table(("ID", "AGE", "IN", "WORDS"), cells))
    if len(rows) > limit:
        typer.echo(f"... and more: --limit {min(limit * 10, 1000)}")


@app.command()
def dismiss(question_id: QuestionId, json: Json = False) -> None:
    """Close one that needs no answer."""
    _decide(question_id, "dismissed", json=json)


@app.command()
def answered(question_id: QuestionId, json: Json = False) -> None:
    """Close one that the knowledge answers now."""
    _decide(question_id, "answered", json=json)


@app.command()
def draft(question_id: QuestionId) -> None:
    """An entry for faq.yaml, to be named and answered by a person. Changes nothing."""
    found = QuestionOut.model_validate(once(lambda session, _: questions.get(session, question_id)))
    typer.echo(questions.draft(found.words, found.language))


@app.command()
def retry(
    yes: Annotated[bool, typer.Option("--yes", help="Mark them as answered; without it they are only shown.")] = False,
) -> None:
    """Ask today's knowledge every open question again, and show those that it answers."""

    async def work(session: AsyncSession, desk: Desk) -> tuple[list[Answered], int]:
        found = await questions.answered_now(session, Engine.load(desk.settings.knowledge_dir))
        closing = [item.id for item in found] if yes else []
        return found, await questions.close_answered(session, closing, actor=desk.actor)

    found, closed = once(work)
    if not found:
        typer.echo("No open question has an answer now.")
        return
    for item in found:
        typer.echo(facts([("question", item.id), ("words", item.words), ("answer", item.answer)]) + "\n")
    typer.echo(f"{closed} marked as answered." if yes else f"{len(found)} would be marked as answered: --yes does it.")


def _decide(question_id: UUID, decision: Decision, *, json: bool) -> None:
    row = once(lambda session, desk: questions.decide(session, question_id, decision, actor=desk.actor))
    found = QuestionOut.model_validate(row)
    if json:
        typer.echo(found.model_dump_json())
        return
    typer.echo(
        facts(
            [
                ("question", found.id),
                ("words", found.words),
                ("status", found.status),
                ("decided by", found.decided_by),
            ]
        )
    )
