"""Chats in which nobody has spoken for so long, and what a run of the worker's job does to them."""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg
import httpx

from app.conversations import sessions
from app.conversations.sessions import Patience
from app.core import clock
from app.core.db import Database
from app.engine.engine import Engine
from tests.consent_api.people import Token, conversation
from tests.talk import open_session, say

USUAL: Final = Patience(timedelta(minutes=15), timedelta(minutes=30))
QUESTION: Final = "jaką dajecie gwarancję?"
"""Answered, without a question back."""
ENGINE: Final = Engine.load()


async def asked(client: httpx.AsyncClient, *texts: str) -> Token:
    """A visitor who said this and was answered."""
    token = await open_session(client)
    for text in texts:
        assert (await say(client, token, text)).status_code == 201
    return token


async def quiet_for(sql: asyncpg.Connection, minutes: float, token: Token | None = None) -> datetime:
    """The visitor, or everybody, was last heard of so many minutes ago; gives that instant."""
    since = clock.now() - timedelta(minutes=minutes)
    which = None if token is None else await conversation(sql, token)
    await sql.execute(
        "UPDATE chat_conversations SET last_message_at = $1 WHERE $2::uuid IS NULL OR id = $2", since, which
    )
    return since


async def run(database: Database, patience: Patience = USUAL, *, now: datetime | None = None) -> int:
    """The job runs."""
    return await sessions.run(database, ENGINE, patience, now=now or clock.now())


async def after(client: httpx.AsyncClient, token: Token, seq: int) -> list[dict[str, Any]]:
    """The messages that the visitor's window shows after this one."""
    items: list[dict[str, Any]] = (await client.get(f"/v1/chat/messages?after={seq}", headers=token)).json()["items"]
    return items


async def messages(sql: asyncpg.Connection, conversation_id: UUID | None = None) -> list[tuple[int, str]]:
    """Number and author of every message of a conversation, or of all of them."""
    rows = await sql.fetch(
        "SELECT seq, role FROM chat_messages WHERE $1::uuid IS NULL OR conversation_id = $1 ORDER BY seq",
        conversation_id,
    )
    return [tuple(row) for row in rows]


async def states(sql: asyncpg.Connection) -> list[str]:
    """The state of every conversation."""
    return [row[0] for row in await sql.fetch("SELECT state FROM chat_conversations ORDER BY created_at")]


async def nudges(sql: asyncpg.Connection) -> int:
    """How many conversations were nudged since their visitors last wrote."""
    found: int = await sql.fetchval("SELECT count(*) FROM chat_conversations WHERE nudged_after = visitor_messages")
    return found
