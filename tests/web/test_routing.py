"""A route whose arguments are found by hand answers as FastAPI's solver would have it."""

import functools
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.conversations.routes import send_message
from app.core.settings import Settings
from app.main import create_app
from app.web import routing
from app.web.routing import Router
from tests.talk import open_session

BY_HAND, SOLVED = "/v1/chat/messages", "/solved/messages"


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    """An application that gets one route more than all others."""
    own = create_app(settings)
    async with own.router.lifespan_context(own):
        yield own


@pytest.fixture
async def both(app: FastAPI, client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The service with the same route twice: as it is, and left to FastAPI."""

    @functools.wraps(send_message)
    async def left_to_fastapi(**arguments: Any) -> Any:
        return await send_message(**arguments)

    delattr(left_to_fastapi, routing._SOLVED_BY)
    twin = Router(prefix="/solved", tags=["chat"])
    twin.add_api_route("/messages", left_to_fastapi, methods=["POST"], status_code=201, response_model=None)
    app.include_router(twin)
    return client


BODIES = {
    "a message": b'{"text": "mam 52 m2"}',
    "with an id": b'{"text": "mam 52 m2", "client_message_id": "abc-1"}',
    "no body": b"",
    "no JSON": b"mam 52 m2",
    "an array": b"[]",
    "null": b"null",
    "a string": b'"mam 52 m2"',
    "nothing in it": b"{}",
    "an unknown member": b'{"text": "a", "more": 1}',
    "a number for a text": b'{"text": 1}',
    "an empty text": b'{"text": " "}',
    "a lone surrogate": b'{"text": "\\ud800"}',
    "a NUL": b'{"text": "a\\u0000"}',
    "a long text": b'{"text": "' + b"a" * 2_001 + b'"}',
    "an id of other characters": b'{"text": "a", "client_message_id": "a b"}',
    "twice the same name": b'{"text": "a", "text": "b"}',
}
HEADERS: dict[str, dict[str, str]] = {
    "no token": {"Authorization": ""},
    "another scheme": {"Authorization": "Basic abc"},
    "a token of nobody": {"Authorization": "Bearer abc"},
    "no credentials": {"Authorization": "Bearer"},
    "another content type": {"Content-Type": "text/plain"},
    "a content type with a charset": {"Content-Type": "application/json; charset=utf-8"},
    "a lower-case scheme": {},
}


async def answers(client: httpx.AsyncClient, path: str, body: bytes, headers: dict[str, str]) -> Any:
    """What differs between two answers only if their arguments do."""
    response = await client.post(path, content=body, headers=headers)
    said = response.json()
    if response.status_code < 300:
        return response.status_code, [reply["text"] for reply in said["replies"]], said["context"]
    return response.status_code, response.headers["content-type"], said | {"request_id": ""}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
async def test_a_body_is_read_as_fastapi_reads_it(both: httpx.AsyncClient, body: bytes) -> None:
    found = [
        await answers(both, path, body, await open_session(both) | {"Content-Type": "application/json"})
        for path in (BY_HAND, SOLVED)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", HEADERS)
async def test_headers_are_read_as_fastapi_reads_them(both: httpx.AsyncClient, name: str) -> None:
    found = []
    for path in (BY_HAND, SOLVED):
        token = await open_session(both)
        if name == "a lower-case scheme":
            token = {"Authorization": token["Authorization"].replace("Bearer", "bearer")}
        headers = {"Content-Type": "application/json"} | token | HEADERS[name]
        found.append(await answers(both, path, b'{"text": "mam 52 m2"}', headers))
    assert found[0] == found[1]


async def test_a_bad_token_is_told_before_a_bad_body(both: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/json", "Authorization": "Basic abc"}
    found = [await answers(both, path, b'{"text": 1}', headers) for path in (BY_HAND, SOLVED)]
    assert found[0] == found[1]
    assert found[0][0] == 401
