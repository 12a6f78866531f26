"""HTTP of the audit log, for operators."""

from typing import Annotated

from fastapi import Query, Request

from app.consent.audit import Auditor
from app.conversations import audit
from app.conversations.audit_schemas import AuditEntriesOut, VerdictOut
from app.core.text import SafeStr
from app.operations.access import needs
from app.web.deps import SessionDep
from app.web.paging import Limit, NumberCursor, decode_number, encode_number
from app.web.problems import documented
from app.web.routing import Router

router = Router(prefix="/v1/audit", tags=["audit"])


@router.get("", response_model=AuditEntriesOut, dependencies=[needs("audit:read")])
async def list_entries(
    session: SessionDep,
    email: Annotated[
        SafeStr,
        Query(
            max_length=254,
            description="Address of the person. The answer leaves it out.",
            json_schema_extra={"format": "email"},
        ),
    ],
    cursor: NumberCursor = None,
    limit: Limit = 50,
) -> object:
    """What the person with this address agreed to and refused, newest first. Nothing once they are erased."""
    rows = await audit.entries(session, email=email, before=decode_number(cursor), limit=limit + 1)
    return {"items": rows[:limit], "next_cursor": encode_number(rows[limit - 1].seq) if len(rows) > limit else None}


@router.get(
    "/verify",
    response_model=VerdictOut,
    responses={
        200: {"description": "The verification was made. `ok` says what it found: `false` for a log that is broken."},
        **documented(409),
    },
    dependencies=[needs("audit:read")],
)
async def verify(request: Request) -> object:
    """Recompute the whole log and compare it with the checkpoints outside, one verification at a time.

    A broken log is 200 too, with `ok: false`, `broken_at` and `reason`: read `ok`, not the status. The command
    `novahouse audit verify` ends with 1 for it.
    """
    auditor: Auditor = request.app.state.auditor
    return await auditor.verify()
