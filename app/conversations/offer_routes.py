"""HTTP of the offer: packages and estimates, for anyone and without a session."""

from typing import Annotated, Literal

from fastapi import Query

from app.conversations import service
from app.conversations.routes import ChatDep
from app.conversations.schemas import PackagesOut, QuoteIn, QuoteOut
from app.core import clock
from app.web.routing import Router

router = Router(prefix="/v1", tags=["offer"])


@router.get("/packages", response_model=PackagesOut)
async def list_packages(
    chat: ChatDep, locale: Annotated[Literal["pl", "en"], Query(description="Language of the texts.")] = "pl"
) -> object:
    """What we sell and what a square metre costs today."""
    return {"items": chat.engine.packages(locale, clock.now())}


@router.post("/quotes", response_model=QuoteOut)
async def estimate(chat: ChatDep, body: QuoteIn) -> object:
    """An estimate from the same calculator that the chat uses."""
    return service.estimate(chat.engine, area_m2=body.area_m2, package=body.package, locale=body.locale)
