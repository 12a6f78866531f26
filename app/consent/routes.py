"""HTTP of consent."""

from typing import Annotated

from fastapi import Depends, Request

from app.consent.schemas import ConsentTextOut, ConsentTextsOut
from app.consent.service import Texts
from app.web.routing import Router

router = Router(prefix="/v1/consent", tags=["consent"])


async def consent_texts(request: Request) -> Texts:
    """The texts that this process read at start."""
    texts: Texts = request.app.state.consent_texts
    return texts


@router.get("/texts")
async def list_texts(texts: Annotated[Texts, Depends(consent_texts)]) -> ConsentTextsOut:
    """The exact texts to show before asking for a consent, in Polish and English."""
    return ConsentTextsOut(items=[ConsentTextOut.model_validate(text) for text in texts.all()])
