"""`novahouse privacy`: requests and their clocks, erasure by hand, replay after a restored backup, the purge."""

from typing import Annotated
from uuid import UUID

import orjson
import typer

from app.cli.desk import Desk, fail, once, run
from app.cli.inputs import Json
from app.cli.output import age, facts, since, table
from app.core import clock
from app.core.addresses import normalise_email
from app.operations import service as journal
from app.privacy import erasure, purge, replay, service
from app.privacy.erasure import Erased, Subject
from app.privacy.ledger import LedgerBrokenError
from app.privacy.listing import listed
from app.privacy.office import Office
from app.privacy.purge import Retention
from app.privacy.schemas import RequestOut, RequestsOut, RequestState

app = typer.Typer()


def _parse_email(text: str) -> str:
    try:
        return normalise_email(text)
    except ValueError:
        raise typer.BadParameter("not an e-mail address") from None


def _office(desk: Desk) -> Office:
    return Office.of(desk.settings, database=desk.database, doorbell=desk.doorbell)


@app.command("list")
def list_requests(
    state: Annotated[RequestState | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    json: Json = False,
) -> None:
    """Requests for access, erasure and withdrawal, newest first, with the days that are left to answer."""
    rows = once(lambda session, _: service.page(session, state=state, before=None, limit=limit))
    requests = [RequestOut.model_validate(listed(row)) for row in rows]
    if json:
        typer.echo(RequestsOut(items=requests, next_cursor=None).model_dump_json(exclude={"next_cursor"}))
        return
    if not requests:
        typer.echo("No requests.")
        return
    now = clock.now()
    typer.echo(
        table(
            ("ID", "AGE", "TYPE", "STATE", "MAILED", "DAYS LEFT"),
            [
                (
                    request.id,
                    since(request.created_at, now),
                    request.type,
                    request.state,
                    "no" if request.mailed_at is None else "yes",
                    request.days_left,
                )
                for request in requests
            ],
        )
    )


@app.command()
def erase(
    email: Annotated[
        str | None, typer.Option(parser=_parse_email, metavar="ADDRESS", help="Everything of whoever proved it.")
    ] = None,
    conversation: Annotated[UUID | None, typer.Option(metavar="ID", help="One conversation.")] = None,
    json: Json = False,
) -> None:
    """Erase a person here, and ask recipients to delete. Cannot be undone. Be sure that it is the person who asks."""
    if (email is None) == (conversation is None):
        fail("give either --email or --conversation", command="novahouse privacy erase")
    subject = Subject(conversation_ids=(conversation,) if conversation else (), address=email)

    async def work(desk: Desk) -> Erased:
        erased = await erasure.erase(_office(desk), subject, surface="cli")
        async with desk.database.transaction() as session:
            count = len(erased.conversation_ids)
            await journal.note(session, actor=desk.actor, action="privacy.erase", target=str(erased.id), count=count)
        return erased

    counts = run(work).counts
    typer.echo(orjson.dumps(counts).decode() if json else facts(sorted(counts.items())))


@app.command("replay-erasures")
def replay_erasures() -> None:
    """Carry out the erasures that a restored backup has forgotten. Exit code 0: the database knows all of them."""

    async def work(desk: Desk) -> int:
        if desk.settings.erasure_ledger is None:
            fail("ERASURE_LEDGER is not set: nothing is known of erasures outside the database")
        return await replay.replay(_office(desk))

    try:
        count = run(work)
    except LedgerBrokenError as broken:
        fail(str(broken), command="novahouse privacy replay-erasures")
    typer.echo(f"{count} carried out again." if count else "Nothing to replay.")


@app.command("purge")
def purge_now(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Delete what was kept for long enough, now and to the end. The worker does it by itself at intervals."""

    async def work(desk: Desk) -> tuple[dict[str, int], Retention]:
        kept = Retention.of(desk.settings)
        if dry_run:
            return await purge.preview(desk.database, kept), kept
        return await purge.purge(desk.database, kept, budget_seconds=float("inf")), kept

    counts, kept = run(work)
    if json:
        typer.echo(orjson.dumps(counts).decode())
        return
    typer.echo(facts(list(counts.items())))
    if dry_run:
        periods = {"chats": kept.chat, "leads": kept.lead, "evidence": kept.evidence, "alerts": kept.alert}
        said = ", ".join(f"{name} {age(period.total_seconds())}" for name, period in periods.items())
        typer.echo(f"Nothing was changed. Each goes with what belongs to it. Kept: {said}.")
