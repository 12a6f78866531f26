"""HTTP of leads, for operators."""

from uuid import UUID

from fastapi import APIRouter, Depends

from app.leads import service
from app.leads.schemas import LeadOut, LeadsOut
from app.web.deps import SessionDep, require_operator
from app.web.paging import Cursor, Limit, decode_cursor, encode_cursor
from app.web.problems import documented

router = APIRouter(prefix="/v1/leads", tags=["leads"], dependencies=[Depends(require_operator)])


@router.get("", response_model=LeadsOut)
async def list_leads(session: SessionDep, cursor: Cursor = None, limit: Limit = 50) -> object:
    """Leads, newest first."""
    rows = await service.page(session, before=decode_cursor(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_cursor(rows[limit - 1]) if len(rows) > limit else None}


@router.get("/{lead_id}", response_model=LeadOut, responses=documented(404))
async def get_lead(session: SessionDep, lead_id: UUID) -> object:
    """One lead."""
    return await service.get(session, lead_id)
