"""OpenAPI: stable operation ids, a Problem for every answer that is not a success, and the headers of all of them."""

import asyncio
from typing import Any, Final

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.web import examples, headers
from app.web.admission import UNBOUNDED_PATH
from app.web.headers import HEADERS, carrying
from app.web.problems import EVERYWHERE, Problem, documented
from app.web.ratelimit import EXEMPT

_NOT_OF_EXEMPT: Final = frozenset({422, 429})
_FASTAPI_S: Final = {"$ref": "#/components/schemas/HTTPValidationError"}

DESCRIPTION = """
Chat backend for lead generation. A visitor opens a session, chats, gets prices and may leave contact data with
provable consent; sales gets an alert that is never lost.

* **Visitors** send `session_token` as `Authorization: Bearer`.
* **Operators** and programs send an API key as `Authorization: Bearer`; its scopes say what it may do.
* Every answer that is not a success is `application/problem+json` (RFC 9457) with a stable `code` and a `request_id`.
"""


def operation_id(route: APIRoute) -> str:
    """`{tag}_{function}`: stays the same when a path changes, and reads well in a generated client."""
    return f"{route.tags[0]}_{route.name}"


def install_openapi(app: FastAPI) -> None:
    """Give `app` a schema in which every operation documents its problems and only those."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description=DESCRIPTION,
                routes=app.routes,
                tags=app.openapi_tags,
                servers=app.servers,
            )
            components = document["components"]["schemas"]
            for name in ("HTTPValidationError", "ValidationError"):
                components.pop(name, None)
            problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
            components.update(problem.pop("$defs"))
            components["Problem"] = problem
            document["components"]["headers"] = HEADERS
            examples.complete(app, document)
            for path, operations in document["paths"].items():
                _document_answers(path, operations)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]
    app.state.schema_as_json = _Serialised(app)


class _Serialised:
    """The schema as bytes, made once for each schema that the application has.

    Making it takes half a second of Python: beside the event loop, and by one task for all who wait.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._making = asyncio.Lock()
        self._kept: tuple[dict[str, Any], str, bytes] | None = None

    async def __call__(self, root_path: str) -> bytes:
        """For a service that is reached under `root_path`, then the first of its servers, as FastAPI has it."""
        async with self._making:
            if self._kept is None or self._kept[0] is not self._app.openapi_schema or self._kept[1] != root_path:
                self._kept = await asyncio.to_thread(self._make, root_path)
            return self._kept[2]

    def _make(self, root_path: str) -> tuple[dict[str, Any], str, bytes]:
        document = self._app.openapi()
        first = [{"url": root_path}] if root_path else []
        return document, root_path, orjson.dumps({**document, "servers": [*first, *document.get("servers", ())]})


def _document_answers(path: str, operations: dict[str, Any]) -> None:
    for operation in operations.values():
        responses = operation["responses"]
        statuses = _anyhow(path)
        if "{" in path:
            statuses.append(404)
        named = {parameter["name"] for parameter in operation.get("parameters", ())}
        if "requestBody" in operation or "Idempotency-Key" in named:
            statuses.append(415)
        if "Idempotency-Key" in named:
            statuses.append(409)
        if "security" in operation:
            statuses.append(401)
            if any("apiKey" in way for way in operation["security"]):
                statuses.append(403)
        for status, problem in documented(*statuses).items():
            responses[str(status)] = _with_own(problem, responses.get(str(status), {}))
        for status, response in responses.items():
            sent = headers.EVERYWHERE if path in EXEMPT else (*headers.EVERYWHERE, *headers.OF_LIMITS)
            if "Idempotency-Key" in named and status.startswith("2"):
                sent = (*sent, "Idempotent-Replayed")
            response["headers"] = carrying(*sent) | response.get("headers", {})
        operation["responses"] = dict(sorted(responses.items()))


def _anyhow(path: str) -> list[int]:
    """What a route may answer whatever it is asked: health keeps no limits, and takes nothing that may be invalid."""
    if path == UNBOUNDED_PATH:
        return [400, 431, 500]
    return [status for status in EVERYWHERE if path not in EXEMPT or status not in _NOT_OF_EXEMPT]


def _with_own(problem: dict[str, Any], declared: dict[str, Any]) -> dict[str, Any]:
    """The documentation of a problem where the route declares one with members of its own."""
    own = declared.get("content", {}).get("application/json", {}).get("schema")
    if own in (None, _FASTAPI_S):
        return problem
    return {
        **problem,
        "description": declared["description"],
        "content": {media: {"schema": {"anyOf": [own, each["schema"]]}} for media, each in problem["content"].items()},
    }
