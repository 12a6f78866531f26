"""Copies of a person's data, in a shape that machines read (GDPR art. 15 and 20), made while they are sent.

`format` names the shape; its number rises when a member changes its meaning or goes, not when one is added.

A copy may be long and its reader slow, so a piece of it is read, written and forgotten before the next. What is held
of a conversation is settled in one snapshot: the first rows of every kind, and the keys of all others. These are read
later in transactions of their own, none of which lasts while somebody reads: what comes meanwhile is not in the copy,
and what goes meanwhile may be missing. When the whole conversation goes, the copy ends where it is, unfinished.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations import service as chat
from app.conversations.notice import privacy_notice
from app.core import clock
from app.core.db import AnyRow, Database
from app.privacy.office import Office
from app.privacy.repository import holdings, requests, subjects
from app.privacy.repository.holdings import BATCH_ROWS, Part

FORMAT: Final = "novahouse.export/1"
MAX_CONVERSATIONS: Final = 200
"""In one export, the newest; `complete` says whether these are all."""

Pieces = AsyncGenerator[bytes, None]


class ErasedMeanwhileError(Exception):
    """The conversation went while its copy was being made."""


@dataclass(frozen=True, slots=True)
class Person:
    """What is held about an address, apart from the conversations themselves."""

    address: str
    digests: Sequence[bytes]
    conversation_ids: Sequence[UUID]
    complete: bool
    suppressions: holdings.Rows
    requests: Sequence[AnyRow]
    """The first BATCH_ROWS."""


@dataclass(frozen=True, slots=True)
class _Held:
    id: UUID
    conversation: dict[str, Any]
    parts: Sequence[Part]


async def of_conversation(database: Database, token_hash: bytes) -> Pieces:
    """Everything about the conversation that a token opens. Raises SessionUnknownError before the first piece."""
    async with _snapshot(database) as session:
        held = await _held(session, await chat.authenticate(session, token_hash))
    yield _head(complete=True)
    if held is not None:
        async for piece in _conversation(database, held):
            yield piece
    yield b"\n  ]\n}" if held is not None else b"]\n}"


async def look(office: Office, session: AsyncSession, address: str) -> Person:
    """What `of_address` will copy."""
    digests = list(office.digests(address).values())
    ids = await subjects.conversations_of(session, address, limit=MAX_CONVERSATIONS + 1)
    return Person(
        address=address,
        digests=digests,
        conversation_ids=ids[:MAX_CONVERSATIONS],
        complete=len(ids) <= MAX_CONVERSATIONS,
        suppressions=await holdings.suppressions(session, digests),
        requests=await requests.of_address(session, digests, after=None, limit=BATCH_ROWS),
    )


async def of_address(office: Office, person: Person) -> Pieces:
    """Everything about an address, for whoever proved that it is theirs."""
    yield _head(complete=person.complete)
    begun = False
    for conversation_id in person.conversation_ids:
        async with _snapshot(office.database) as session:
            held = await _held(session, conversation_id)
        if held is None:
            continue
        if begun:
            yield b","
        async for piece in _conversation(office.database, held):
            yield piece
        begun = True
    yield (b"\n  ]" if begun else b"]") + _member("address", person.address)
    yield _member("suppressions", person.suppressions) + b',\n  "privacy_requests": ['
    rows, begun = person.requests, False
    while rows:
        yield _items([row._asdict() for row in rows], depth=2, begun=begun)
        begun, last = True, (rows[-1].created_at, rows[-1].id)
        if len(rows) < BATCH_ROWS:
            break
        async with office.database.transaction() as session:
            rows = await requests.of_address(session, person.digests, after=last, limit=BATCH_ROWS)
    yield b"\n  ]\n}" if begun else b"]\n}"


@asynccontextmanager
async def _snapshot(database: Database) -> AsyncIterator[AsyncSession]:
    async with database.transaction() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ", "postgresql_readonly": True})
        yield session


async def _held(session: AsyncSession, conversation_id: UUID) -> _Held | None:
    conversation = await holdings.conversation(session, conversation_id)
    if conversation is None:
        return None
    parts = [await holdings.part(session, conversation_id, kind) for kind in holdings.kinds()]
    return _Held(conversation_id, conversation, parts)


async def _conversation(database: Database, held: _Held) -> Pieces:
    yield b'\n    {\n      "conversation": ' + _json(held.conversation, depth=3)
    for part in held.parts:
        yield b',\n      "%s": [' % part.kind.name.encode() + _items(part.rows, depth=4, begun=False)
        for begin in range(0, len(part.others), BATCH_ROWS):
            keys = part.others[begin : begin + BATCH_ROWS]
            async with database.transaction() as session:
                rows = await holdings.more(session, held.id, part.kind, keys)
                if len(rows) < len(keys) and await holdings.conversation(session, held.id) is None:
                    raise ErasedMeanwhileError
            yield _items(rows, depth=4, begun=True)
        yield b"\n      ]" if part.rows else b"]"
    yield b"\n    }"


def _head(*, complete: bool) -> bytes:
    controller = privacy_notice("en")
    document = {
        "format": FORMAT,
        "generated_at": clock.now(),
        "controller": {"name": controller["controller"], "contact": controller["contact"]},
        "complete": complete,
    }
    return _json(document, depth=0).removesuffix(b"\n}") + b',\n  "conversations": ['


def _member(name: str, value: object) -> bytes:
    return b',\n  "%s": ' % name.encode() + _json(value, depth=1)


def _items(rows: Sequence[dict[str, Any]], *, depth: int, begun: bool) -> bytes:
    """Items of a list, each on lines of its own. `begun`: there are some before them."""
    if not rows:
        return b""
    line = b"\n" + b"  " * depth
    return (b"," if begun else b"") + line + (b"," + line).join(_json(row, depth=depth) for row in rows)


def _json(value: object, *, depth: int) -> bytes:
    """A value in UTF-8, so deep within the document: numbers with decimals as text, bytes as hexadecimal digits."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(value, default=_plain, option=option).replace(b"\n", b"\n" + b"  " * depth)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)
