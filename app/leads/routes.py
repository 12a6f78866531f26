"""HTTP of leads, for operators."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from app.core.db import Database
from app.leads import service, table
from app.leads.schemas import LeadOut, LeadPatchIn, LeadsOut
from app.operations.access import OperatorDep, needs
from app.web.deps import SessionDep
from app.web.download import download
from app.web.headers import carrying
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1", tags=["leads"])

_SEPARATORS = {"comma": ",", "semicolon": ";"}


@router.get("/leads", response_model=LeadsOut, dependencies=[needs("leads:read")])
async def list_leads(session: SessionDep, cursor: Cursor = None, limit: Limit = 50) -> object:
    """Leads, newest first."""
    rows = await service.page(session, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.get(
    "/leads.csv",
    response_class=StreamingResponse,
    responses={
        200: {
            "content": {"text/csv": {"schema": {"type": "string"}}},
            "description": "Every lead.",
            "headers": carrying("Content-Disposition"),
        }
    },
    dependencies=[needs("leads:read")],
)
async def export_leads(
    request: Request,
    operator: OperatorDep,
    separator: Annotated[
        Literal["comma", "semicolon"], Query(description="A Polish or German Excel opens `semicolon` in columns.")
    ] = "comma",
) -> StreamingResponse:
    """All leads for a spreadsheet, newest first: UTF-8 with BOM. A cell that would act as a formula begins with `'`.

    Who took how many rows is journaled.
    """
    database: Database = request.app.state.database
    return await download(
        table.pages(database, actor=operator, separator=_SEPARATORS[separator]),
        media_type="text/csv; charset=utf-8; header=present",
        filename="leads.csv",
    )


@router.get("/leads/{lead_id}", response_model=LeadOut, responses=documented(404), dependencies=[needs("leads:read")])
async def get_lead(session: SessionDep, lead_id: UUID) -> object:
    """One lead."""
    return await service.get(session, lead_id)


@router.patch(
    "/leads/{lead_id}", response_model=LeadOut, responses=documented(404), dependencies=[needs("leads:write")]
)
async def update_lead(session: SessionDep, operator: OperatorDep, lead_id: UUID, body: LeadPatchIn) -> object:
    """Say how far sales has come with it. The same again changes nothing."""
    return await service.set_status(session, lead_id, body.status, actor=operator)
