"""The answer to a message as server-sent events, while it is made."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from app.conversations.service import Said
from app.core.errors import UnavailableError
from app.core.settings import Settings
from app.web import sse
from app.web.handlers import problem_of

Say = Callable[[], Awaitable[Said]]


class AnswerLateError(UnavailableError):
    """The answer took longer than a request may."""

    code = "deadline-exceeded"
    title = "The request took too long and was given up."


def answer(
    request: Request, say: Say, before: Said | None, *, client_message_id: str | None, after: int | None
) -> Response:
    """The stream of one message's answer: `ack`, the replies, `done`.

    `before` is what was answered to the same message already; with it only what comes after the event `after` is sent.
    What `say` raises, and a REQUEST_SECONDS that is over, is an `error` event with the problem, and the end.
    """
    if before is not None:
        return sse.EventStream(
            _replayed(before, client_message_id=client_message_id, after=after),
            headers={"Idempotent-Replayed": "true"},
        )
    settings: Settings = request.app.state.settings
    return sse.EventStream(
        _answered(request, say, client_message_id=client_message_id, after=after, seconds=settings.request_seconds)
    )


async def failure(request: Request, error: Exception) -> bytes:
    """An error of a stream that has begun, as its last event."""
    problem = await problem_of(request, error)
    return sse.event("error", orjson.Fragment(problem.body))


async def _replayed(before: Said, *, client_message_id: str | None, after: int | None) -> sse.Events:
    if after is None:
        yield _ack(client_message_id)
    for piece in _pieces(before.body, after=after or 0):
        yield piece


async def _answered(
    request: Request, say: Say, *, client_message_id: str | None, after: int | None, seconds: float
) -> sse.Events:
    yield _ack(client_message_id)
    saying = asyncio.create_task(_in_time(say, seconds))
    try:
        while not saying.done():
            done, _ = await asyncio.wait({saying}, timeout=sse.PING_SECONDS)
            if not done:
                yield sse.PING
        said = saying.result()
    except Exception as error:  # noqa: BLE001  whatever it is, the caller waits for an end
        yield await failure(request, error)
        return
    finally:
        saying.cancel()
    for piece in _pieces(said.body, after=after or 0):
        yield piece


async def _in_time(say: Say, seconds: float) -> Said:
    try:
        async with asyncio.timeout(seconds) as timer:
            return await say()
    except TimeoutError:
        if timer.expired():
            raise AnswerLateError(retry_after=1) from None
        raise


def _ack(client_message_id: str | None) -> bytes:
    """The message is well formed and its session is known. It has no id: nothing is stored yet."""
    return sse.event("ack", {"client_message_id": client_message_id})


def _pieces(body: Mapping[str, Any], *, after: int) -> Iterator[bytes]:
    for reply in body["replies"]:
        if reply["seq"] <= after:
            continue
        if reply["type"] == "quote":
            yield sse.event("quote", {"message_id": reply["id"], **(reply["data"] or {})})
        yield sse.event("message", reply, seq=reply["seq"])
    last = (body["replies"] or [body["message"]])[-1]
    yield sse.event("done", body, seq=last["seq"])
