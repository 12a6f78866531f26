"""HTTP of unsubscribing: the page behind a link, its one click (RFC 8058), and by address."""

from typing import Annotated

from fastapi import Header, Query, Request, Response

from app.consent.links import LinkUnknownError, read_token
from app.conversations import unsubscribe
from app.conversations.consent_schemas import LinkStatusOut, UnsubscribeIn, UnsubscribeOut
from app.conversations.routes import ChatDep, OriginDep
from app.conversations.unsubscribe import LinkStatus
from app.conversations.unsubscribe_page import CONTENT_SECURITY_POLICY, Locale, Scene, render
from app.web.deps import SessionDep
from app.web.problems import documented
from app.web.ratelimit import bulk, limiter
from app.web.routing import Router

router = Router(tags=["unsubscribe"])

_EITHER = {
    200: {"description": "A page, or JSON by `Accept`.", "content": {"text/html": {"schema": {"type": "string"}}}},
    **documented(404),
}
_HEADERS = {"X-Robots-Tag": "noindex, nofollow", "Vary": "Accept"}

AcceptDep = Annotated[str, Header(include_in_schema=False)]
LangDep = Annotated[Locale | None, Query(description="Language of the page; without it the conversation's.")]


@router.head("/u/{token}", include_in_schema=False)
@router.get("/u/{token}", response_model=LinkStatusOut, responses=_EITHER)
async def show_link(
    session: SessionDep, chat: ChatDep, token: str, accept: AcceptDep = "", lang: LangDep = None
) -> Response:
    """The page behind an unsubscribe link, with one button. Never writes, so that scanners may follow it."""
    page = "text/html" in accept or "application/json" not in accept
    try:
        link = read_token(chat.reach.keys, token)
    except LinkUnknownError:
        return _unknown(lang, page="text/html" in accept)
    status = await unsubscribe.status(session, link.conversation_id)
    refused = status.consents["marketing_email"] is False
    return _answer(status, "already" if refused else "ask", lang, page=page)


@router.post("/u/{token}", response_model=LinkStatusOut, responses=_EITHER)
@limiter.limit(bulk)
async def follow_link(
    request: Request,
    session: SessionDep,
    chat: ChatDep,
    origin: OriginDep,
    token: str,
    accept: AcceptDep = "",
    lang: LangDep = None,
) -> Response:
    """End all marketing by e-mail to whoever got this link. One click (RFC 8058); the body is not read."""
    page = "text/html" in accept
    try:
        link = read_token(chat.reach.keys, token)
    except LinkUnknownError:
        return _unknown(lang, page=page)
    status = await unsubscribe.by_link(session, chat.reach, link, origin=origin)
    return _answer(status, "done", lang, page=page)


@router.post("/v1/unsubscribe", status_code=202)
async def unsubscribe_address(session: SessionDep, chat: ChatDep, body: UnsubscribeIn) -> UnsubscribeOut:
    """End all marketing by e-mail to an address, at once and without proof. The answer is always the same."""
    await unsubscribe.by_address(session, chat.reach, body.email)
    return UnsubscribeOut()


def _unknown(lang: Locale | None, *, page: bool) -> Response:
    """404: a page for people, a problem for programs."""
    if not page:
        raise LinkUnknownError
    return _html(render("unknown", lang or "pl"), status_code=404)


def _answer(status: LinkStatus, scene: Scene, lang: Locale | None, *, page: bool) -> Response:
    if page:
        language: Locale = "en" if status.language == "en" else "pl"
        return _html(render(scene if status.language else "gone", lang or language))
    body = LinkStatusOut(consents=status.consents, last_action=status.last_action, last_action_at=status.last_action_at)
    return Response(body.model_dump_json(), media_type="application/json", headers=_HEADERS)


def _html(page: str, *, status_code: int = 200) -> Response:
    headers = _HEADERS | {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(page, status_code=status_code, media_type="text/html", headers=headers)
