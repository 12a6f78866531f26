"""What both played services share: bounded reading of requests and JSON answers."""

from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

MAX_REQUEST_BYTES: Final = 1024 * 1024


async def read(request: Request) -> bytes:
    """The request's body, or its first MAX_REQUEST_BYTES + 1 bytes, which then fail as JSON."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            break
    return bytes(body[: MAX_REQUEST_BYTES + 1])


def media_type(request: Request) -> str:
    """The Content-Type without its parameters, in lower case."""
    return str(request.headers.get("content-type", "")).partition(";")[0].strip().lower()


def json_answer(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """`content` as JSON that no browser takes for anything else."""
    return Response(
        orjson.dumps(content),
        status_code=status,
        media_type="application/json",
        headers={"X-Content-Type-Options": "nosniff", **(headers or {})},
    )
