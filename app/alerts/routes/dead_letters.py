"""HTTP of dead letters, for operators."""

from uuid import UUID

from fastapi import Request

from app.alerts import operator_service as service
from app.alerts.schemas import (
    ChannelName,
    DeadLetterDetailOut,
    DeadLetterOut,
    DeadLettersOut,
    DeadLetterStatus,
    DiscardIn,
    Instant,
    RetriedOut,
    RetryManyIn,
)
from app.core.settings import Settings
from app.operations.access import OperatorDep, needs
from app.operations.idempotent import IdempotencyDep
from app.web.deps import SessionDep
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/dead-letters", tags=["dead_letters"])


@router.get("", response_model=DeadLettersOut, dependencies=[needs("alerts:read")])
async def list_dead_letters(
    session: SessionDep,
    status: DeadLetterStatus | None = None,
    channel: ChannelName | None = None,
    since: Instant | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> object:
    """Alerts whose first delivery failed, newest first."""
    rows = await service.page(
        session, status=status, channel=channel, since=since, before=decode_cursor(cursor), limit=limit + 1
    )
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.post("/retry", status_code=202, response_model=RetriedOut, dependencies=[needs("delivery:operate")])
async def retry_dead_letters(
    request: Request,
    session: SessionDep,
    operator: OperatorDep,
    once: IdempotencyDep,
    body: RetryManyIn | None = None,
) -> object:
    """Give many dead letters a new round of attempts, a few each second. Safe to repeat: none gets two."""
    settings: Settings = request.app.state.settings
    wanted = body or RetryManyIn()
    return await once.run(
        session,
        lambda: service.retry_many(
            session,
            channel=wanted.channel,
            since=wanted.since,
            statuses=wanted.statuses,
            per_second=settings.bulk_retry_per_second,
            actor=operator,
        ),
    )


@router.get(
    "/{dead_letter_id}",
    response_model=DeadLetterDetailOut,
    responses=documented(404),
    dependencies=[needs("alerts:read")],
)
async def get_dead_letter(session: SessionDep, dead_letter_id: UUID) -> object:
    """One dead letter, its attempts, and what operators did about it."""
    return await service.detail(session, dead_letter_id)


@router.post(
    "/{dead_letter_id}/retry",
    status_code=202,
    response_model=DeadLetterOut,
    responses=documented(404, 409),
    dependencies=[needs("delivery:operate")],
)
async def retry_dead_letter(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, dead_letter_id: UUID
) -> object:
    """Give it a new round of attempts that begins now. Safe to repeat: it gets one."""
    return await once.run(session, lambda: service.retry(session, dead_letter_id, actor=operator))


@router.post(
    "/{dead_letter_id}/discard",
    response_model=DeadLetterOut,
    responses=documented(404, 409),
    dependencies=[needs("delivery:operate")],
)
async def discard_dead_letter(
    session: SessionDep, operator: OperatorDep, once: IdempotencyDep, dead_letter_id: UUID, body: DiscardIn
) -> object:
    """Close it undelivered. A retry opens it again."""
    return await once.run(session, lambda: service.discard(session, dead_letter_id, actor=operator, reason=body.reason))
