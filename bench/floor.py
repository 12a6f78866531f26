"""The floor of a chat write: the least an async Python server can do and still be durable.

One request is one PostgreSQL round trip that commits a conversation row and two message rows, one Redis INCR, and one
JSON reply. Nothing is validated and nothing is answered.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import orjson
import redis.asyncio as redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

_TABLES = """
CREATE TABLE IF NOT EXISTS floor_conversation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, session_id text UNIQUE NOT NULL,
    last_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE IF NOT EXISTS floor_message (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, conversation_id bigint NOT NULL REFERENCES floor_conversation,
    sender text NOT NULL, body text NOT NULL, at timestamptz NOT NULL DEFAULT now());
CREATE INDEX IF NOT EXISTS floor_message_conversation ON floor_message (conversation_id, id);
"""
_WRITE = """
WITH conversation AS (
    INSERT INTO floor_conversation (session_id) VALUES ($1)
    ON CONFLICT (session_id) DO UPDATE SET last_at = now() RETURNING id)
INSERT INTO floor_message (conversation_id, sender, body)
SELECT conversation.id, sender, body FROM conversation, (VALUES ('visitor', $2), ('bot', $3)) said (sender, body)
RETURNING conversation_id
"""
_CONNECTIONS = 8


async def _chat(request: Request) -> Response:
    said = orjson.loads(await request.body())
    state = request.app.state
    client = request.client.host if request.client else ""
    await state.redis.incr(f"floor:{client}")
    async with state.pool.acquire() as connection:
        conversation = await connection.fetchval(_WRITE, said["session_id"], said["text"], "ok")
    return Response(orjson.dumps({"conversation_id": conversation, "reply": "ok"}), media_type="application/json")


@asynccontextmanager
async def _lifespan(application: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=_CONNECTIONS, max_size=_CONNECTIONS
    ) as application.state.pool:
        await application.state.pool.execute(_TABLES)
        application.state.redis = redis.Redis.from_url(os.environ["REDIS_URL"])
        yield
        await application.state.redis.aclose()


app = Starlette(routes=[Route("/chat", _chat, methods=["POST"])], lifespan=_lifespan)
