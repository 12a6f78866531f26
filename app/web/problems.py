"""Problem details (RFC 9457): the one shape of every answer that is not a success."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi.responses import Response
from pydantic import BaseModel, Field

from app.web.headers import carrying

MEDIA_TYPE = "application/problem+json"
TYPE = "tag:novahouse.pl,2026:problem:"
"""What stands before `code` in `type`: a URI (RFC 4151) that names and leads nowhere; docs/api.md lists the codes."""


class InvalidPart(BaseModel):
    """One thing that is wrong with the request. What was sent is never repeated."""

    pointer: str = Field(description="Where: a JSON pointer into the body, or `query/…`, `path/…`, `header/…`.")
    code: str = Field(examples=["string_too_long"])
    detail: str


class Problem(BaseModel):
    """Why the request did not succeed."""

    type: str = Field(description="A URI that names `code`.", examples=[f"{TYPE}session-unknown"])
    title: str = Field(description="The same sentence for every occurrence of `code`.")
    status: int
    code: str = Field(description="Stable, for programs.", examples=["session-unknown"])
    detail: str | None = Field(None, description="This occurrence in one sentence.")
    request_id: str = Field(description="Quote it when you ask us; it stands in our logs.")
    errors: list[InvalidPart] | None = None


def problem_response(
    status: int,
    *,
    code: str,
    title: str,
    detail: str | None = None,
    errors: Sequence[InvalidPart] | None = None,
    headers: dict[str, str] | None = None,
    kind: type[Problem] = Problem,
    members: Mapping[str, Any] | None = None,
) -> Response:
    """A problem as an HTTP response. Absent members are left out. `members`: those that `kind` has beside the usual."""
    problem = kind(
        type=f"{TYPE}{code}",
        title=title,
        status=status,
        code=code,
        detail=detail,
        request_id=str(structlog.contextvars.get_contextvars().get("request_id", "")),
        errors=list(errors) if errors else None,
        **(members or {}),
    )
    return Response(
        problem.model_dump_json(exclude_none=True), status_code=status, media_type=MEDIA_TYPE, headers=headers
    )


def too_large() -> Response:
    """413, for a body that need not be understood to be refused."""
    return problem_response(413, code="body-too-large", title="The body is larger than 32 KiB.")


def internal_error() -> Response:
    """500, for what nobody caught."""
    return problem_response(500, code="internal-error", title="We made a mistake; it is logged.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer with these statuses, for OpenAPI."""
    return {
        status: {
            "description": _DESCRIPTIONS[status],
            "headers": carrying(*_CARRIED.get(status, ())),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


_DESCRIPTIONS = {
    400: "The request, its body or a header cannot be read, or it names a host that is not ours.",
    401: "The credential is absent or not valid.",
    403: "The credential does not allow this.",
    404: "There is no such resource.",
    405: "The path does not support the method.",
    408: "The body did not arrive in time.",
    409: "The request contradicts what is stored.",
    410: "It was there, and its time is over.",
    413: "The body is larger than 32 KiB.",
    415: "The body is not `application/json` in UTF-8, or has a `Content-Encoding`.",
    422: "The request is well formed and not valid; `errors` says where.",
    429: "Too many requests; try again after `Retry-After` seconds.",
    431: "Request line and headers have more than 32 KiB.",
    500: "We made a mistake; it is logged under `request_id`.",
    503: "A part we depend on does not answer; try again after `Retry-After` seconds.",
}
_CARRIED = {
    401: ("WWW-Authenticate",),
    409: ("Retry-After",),
    415: ("Accept-Encoding",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
EVERYWHERE = (400, 408, 413, 422, 429, 431, 500, 503)
"""What any route may answer."""
