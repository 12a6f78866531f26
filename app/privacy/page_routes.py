"""HTTP of the page where a mailed proof is used. For people; programs use `/v1/privacy/requests`."""

from typing import Annotated
from urllib.parse import parse_qs
from uuid import UUID

from fastapi import Query, Request, Response

from app.core.errors import UnauthenticatedError
from app.privacy import page, service
from app.privacy.page import CONTENT_SECURITY_POLICY, About, Locale
from app.privacy.routes import OfficeDep, export_file
from app.privacy.service import ExportGoneError, ProofRefusedError
from app.web.routing import Router

router = Router(prefix="/privacy/requests", tags=["privacy"], include_in_schema=False)

Lang = Annotated[Locale, Query()]
AboutParam = Annotated[About, Query()]


@router.head("/{request_id}")
@router.get("/{request_id}")
async def show_proof_page(request_id: UUID, lang: Lang = "pl", about: AboutParam = "request") -> Response:
    """The page behind the mail's link. The same for every id; never reads and never writes."""
    return _html(page.asking(lang, about))


@router.post("/{request_id}")
async def use_proof(
    office: OfficeDep, request: Request, request_id: UUID, lang: Lang = "pl", about: AboutParam = "request"
) -> Response:
    """Use the code that the form sends."""
    try:
        proved = await service.verify(office, request_id, token=await _token(request))
    except ProofRefusedError:
        scene = "refused.opt_in" if about == "opt_in" else "refused"
        return _html(page.told(scene, lang, {}), status_code=404)
    if proved.access_token is not None:
        return _html(page.offering(request_id, proved.access_token, lang))
    if proved.result is None:
        return _html(page.told("pending", lang, {}))
    scene = "none" if proved.result.get("conversations") == 0 else proved.type
    return _html(page.told(scene, lang, proved.result))


@router.post("/{request_id}/export")
async def fetch_export(office: OfficeDep, request: Request, request_id: UUID, lang: Lang = "pl") -> Response:
    """The export as a file, for the bearer that the form sends."""
    try:
        pieces = await service.exported(office, request_id, access_token=await _token(request))
    except (UnauthenticatedError, ExportGoneError):
        return _html(page.told("refused", lang, {}), status_code=404)
    return await export_file(pieces)


async def _token(request: Request) -> str:
    """The form's one field; empty when there is none."""
    try:
        fields = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
    except ValueError:
        return ""
    return fields.get("token", [""])[0].strip()


def _html(content: str, *, status_code: int = 200) -> Response:
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY, "X-Robots-Tag": "noindex, nofollow"}
    return Response(content, status_code=status_code, media_type="text/html", headers=headers)
