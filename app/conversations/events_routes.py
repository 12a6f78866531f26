"""HTTP of following a conversation: one standing stream of events."""

import asyncio
import time
from functools import partial
from typing import Annotated

from fastapi import Depends, Query, Request, Response

from app.conversations import events, examples, service
from app.conversations.events import Feed, Watcher
from app.conversations.service import SessionUnknownError
from app.conversations.stream import failure
from app.core.db import Database
from app.core.settings import Settings
from app.web import sse
from app.web.client import SCOPE_KEY, Client
from app.web.deps import SessionTokenDep
from app.web.paging import WHOLE
from app.web.problems import documented
from app.web.ratelimit import chat as chat_limit
from app.web.ratelimit import limiter
from app.web.routing import Router
from app.web.sse import LastEventIdHeader, StandingStream

RETRY_MILLISECONDS = 3_000
"""How long a client waits before it comes again."""
PAGE = 50

router = Router(prefix="/v1/chat", tags=["chat"])


async def _feed(request: Request) -> Feed:
    feed: Feed = request.app.state.feed
    return feed


@router.get(
    "/events",
    status_code=200,
    response_class=StandingStream,
    responses={
        200: {
            "description": "`state` at once and whenever it changes; `message` for each message after the given one, "
            "with its `seq` as `id`: what is stored, then what comes. It ends by itself; come again with "
            "`Last-Event-ID`.",
            "content": sse.content(examples.FOLLOWED),
        },
        **documented(400),
    },
)
@limiter.limit(chat_limit)
async def follow(
    request: Request,
    token: SessionTokenDep,
    feed: Annotated[Feed, Depends(_feed)],
    after: Annotated[int, Query(ge=0, le=2**31 - 1, description="`Last-Event-ID` for the first time."), WHOLE] = 0,
    last_event_id: LastEventIdHeader = None,
) -> Response:
    """Hear what is said from now on, by whomever: people who took over, follow-ups, another tab."""
    position = sse.last_event_id(request)
    database: Database = request.app.state.database
    settings: Settings = request.app.state.settings
    async with database.transaction() as session:
        head = await events.head_of(session, service.hash_token(token))
    caller: Client = request.scope[SCOPE_KEY]
    watcher = feed.open(head, after=after if position is None else position, client=caller.customer)
    return StandingStream(
        _told(request, database, watcher),
        seconds=feed.seconds + settings.receive_seconds,
        ended=partial(feed.close, watcher),
    )


async def _told(request: Request, database: Database, watcher: Watcher) -> sse.Events:
    yield sse.retry(RETRY_MILLISECONDS)
    state = None
    while True:
        watcher.news.clear()
        if watcher.gone:
            yield await failure(request, SessionUnknownError())
            return
        if watcher.head.state != state:
            state = watcher.head.state
            yield sse.event("state", {"state": state})
        while watcher.seq < watcher.head.seq and watcher.ending is None:
            try:
                async with database.transaction() as session:
                    page, _ = await service.history(
                        session, watcher.head.conversation_id, after=watcher.seq, limit=PAGE
                    )
            except Exception as error:  # noqa: BLE001  the stream has begun: it can only tell, and end
                yield await failure(request, error)
                return
            for message in page:
                yield sse.event("message", message, seq=message["seq"])
                watcher.seq = message["seq"]
            if not page:
                break
        left = watcher.ends_at - time.monotonic()
        if watcher.ending is not None or left <= 0:
            yield sse.comment(watcher.ending or "time to come again")
            return
        if not watcher.news.is_set():
            try:
                async with asyncio.timeout(min(left, sse.PING_SECONDS)):
                    await watcher.news.wait()
            except TimeoutError:
                yield sse.PING
