"""HTTP of the contact form."""

from fastapi import Request, Response

from app.conversations import contact, service
from app.conversations.contact import Given
from app.conversations.contact_schemas import ContactIn, ContactOut
from app.conversations.routes import ChatDep, OriginDep
from app.operations.idempotent import REPLAYED
from app.web.deps import SessionDep, SessionTokenDep
from app.web.headers import carrying
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import limiter
from app.web.routing import Router

router = Router(prefix="/v1/chat", tags=["chat"])


@router.post(
    "/contact",
    status_code=201,
    response_model=ContactOut,
    responses={
        200: {
            "model": ContactOut,
            "description": "Known before: nothing changed.",
            "headers": carrying("Idempotent-Replayed"),
        },
        **documented(409),
    },
)
@limiter.limit(chat_limit)
async def give_contact(
    request: Request,
    session: SessionDep,
    token: SessionTokenDep,
    chat: ChatDep,
    origin: OriginDep,
    response: Response,
    body: ContactIn,
) -> object:
    """Leave contact data, and answers to the consent questions that the form showed, in one step. Safe to repeat."""
    submitted = await contact.submit(
        session,
        chat,
        token_hash=service.hash_token(token),
        name=body.name,
        phone=body.phone,
        email=body.email,
        consents=[Given(each.purpose, each.decision, each.text_version, each.sha256) for each in body.consents],
        origin=origin,
    )
    if submitted.replayed:
        response.status_code = 200
        response.headers[REPLAYED] = "true"
    return submitted
