"""Copies of a person's data, in a shape that machines read (GDPR art. 15 and 20).

`format` names the shape; its number rises when a member changes its meaning or goes, not when one is added.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.notice import privacy_notice
from app.core import clock
from app.privacy.office import Office
from app.privacy.repository import holdings, requests, subjects

FORMAT: Final = "novahouse.export/1"
MAX_CONVERSATIONS: Final = 200
"""In one export, the newest; `complete` says whether these are all."""


async def of_conversation(session: AsyncSession, conversation_id: UUID) -> dict[str, Any]:
    """Everything about one conversation, for whoever holds its token."""
    held = await holdings.of_conversation(session, conversation_id)
    return _document([held] if held else [], complete=True)


async def of_address(office: Office, session: AsyncSession, address: str) -> dict[str, Any]:
    """Everything about an address, for whoever proved that it is theirs."""
    digests = list(office.digests(address).values())
    ids = await subjects.conversations_of(session, address, limit=MAX_CONVERSATIONS + 1)
    held = [await holdings.of_conversation(session, conversation_id) for conversation_id in ids[:MAX_CONVERSATIONS]]
    return {
        **_document([conversation for conversation in held if conversation], complete=len(ids) <= MAX_CONVERSATIONS),
        "address": address,
        "suppressions": await holdings.suppressions(session, digests),
        "privacy_requests": [row._asdict() for row in await requests.of_address(session, digests)],
    }


def _document(conversations: list[dict[str, Any]], *, complete: bool) -> dict[str, Any]:
    controller = privacy_notice("en")
    return {
        "format": FORMAT,
        "generated_at": clock.now(),
        "controller": {"name": controller["controller"], "contact": controller["contact"]},
        "complete": complete,
        "conversations": conversations,
    }


def as_json(document: dict[str, Any]) -> bytes:
    """The document in UTF-8: numbers with decimals as text, bytes as hexadecimal digits."""
    return orjson.dumps(document, default=_plain, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
