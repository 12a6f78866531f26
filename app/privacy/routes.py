"""HTTP of privacy: a visitor's own conversation, requests by address, and operators' view of those."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Request, Response

from app.conversations import service as chat
from app.core.errors import UnauthenticatedError
from app.operations.access import needs
from app.privacy import examples, export, service
from app.privacy.listing import listed
from app.privacy.office import Office
from app.privacy.schemas import PrivacyRequestIn, PrivacyRequestOut, ProofIn, ProofOut, RequestsOut, RequestState
from app.web.deps import SessionDep, SessionTokenDep, session_token
from app.web.download import download
from app.web.headers import carrying
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import limiter
from app.web.routing import Router

router = Router(prefix="/v1/privacy/requests", tags=["privacy"])
chat_router = Router(prefix="/v1/chat", tags=["chat"])


async def privacy_office(request: Request) -> Office:
    """What this process needs for privacy, made at start."""
    office: Office = request.app.state.privacy
    return office


OfficeDep = Annotated[Office, Depends(privacy_office)]


def _json_file(example: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    shown = {"abridged": {"summary": "Abridged: an export has every table and every column.", "value": example}}
    return {
        200: {
            "content": {"application/json": {"schema": {"type": "object"}, "examples": shown}},
            "headers": carrying("Content-Disposition"),
        }
    }


async def export_file(pieces: export.Pieces) -> Response:
    """An export as a file."""
    return await download(pieces, media_type="application/json", filename="novahouse-export.json")


@chat_router.get("/export", responses=_json_file(examples.EXPORT))
@limiter.limit(chat_limit)
async def export_chat(request: Request, office: OfficeDep, token: SessionTokenDep) -> Response:
    """Everything we hold about this conversation, as a JSON file (GDPR art. 15 and 20)."""
    return await export_file(export.of_conversation(office.database, chat.hash_token(token)))


@chat_router.delete("", status_code=204)
@limiter.limit(chat_limit)
async def delete_chat(request: Request, office: OfficeDep, token: SessionTokenDep) -> None:
    """Erase this conversation and everything about it, here and at the recipients. The token is worth nothing then."""
    await service.erase_chat(office, chat.hash_token(token))


@router.post("", status_code=202)
async def ask(session: SessionDep, office: OfficeDep, body: PrivacyRequestIn) -> PrivacyRequestOut:
    """Ask for access, erasure or withdrawal by address. Acted on after the proof that is mailed there."""
    request_id = await service.ask(office, session, kind=body.type, address=body.email, locale=body.locale)
    return PrivacyRequestOut(id=request_id)


@router.get("", response_model=RequestsOut, dependencies=[needs("privacy:read")])
async def list_requests(
    session: SessionDep, state: RequestState | None = None, cursor: Cursor = None, limit: Limit = 50
) -> object:
    """Requests and their clocks, newest first. For operators."""
    rows = await service.page(session, state=state, before=decode_cursor(cursor), limit=limit + 1)
    return {
        "items": [listed(row) for row in rows[:limit]],
        "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None,
    }


@router.post("/{request_id}/verify", responses=documented(404))
async def verify_request(office: OfficeDep, request_id: UUID, body: ProofIn) -> ProofOut:
    """Prove the address with the code from the mail; what was asked for is done at once.

    404 for a code that is wrong, used or too old, after five tries, and for no such request: all the same.
    """
    proved = await service.verify(office, request_id, token=body.token)
    return ProofOut(type=proved.type, result=proved.result, access_token=proved.access_token)


@router.get("/{request_id}/export", responses={**_json_file(examples.EXPORT_OF_ADDRESS), **documented(401, 410)})
async def export_request(
    office: OfficeDep, request_id: UUID, token: Annotated[str, Depends(session_token)]
) -> Response:
    """Everything held about a proved address, as a JSON file; for 24 hours, with the bearer that the proof gave."""
    if not token:
        raise UnauthenticatedError
    return await export_file(await service.exported(office, request_id, access_token=token))
