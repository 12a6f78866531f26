"""`Idempotency-Key` for routes of operators: one line in each."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, WithJsonSchema
from sqlalchemy.ext.asyncio import AsyncSession

from app.operations import idempotency
from app.operations.access import OperatorDep
from app.operations.idempotency import Answer, Claim, IdempotencyKeyMalformedError

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"

_PATTERN: Final = '^([A-Za-z0-9_-]{16,64}|"[A-Za-z0-9_-]{16,64}")$'
_DESCRIPTION: Final = (
    "Makes the request safe to repeat: 16 to 64 letters, digits, hyphens and underscores, quoted or bare; a UUID is "
    "fine. For 24 hours the same request under the same key gets the first answer, with `Idempotent-Replayed: true`. "
    "400 `idempotency-key-malformed`, 409 `idempotency-key-in-progress`, 422 `idempotency-key-reused`."
)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """What a route does its work through, so that a repeated request does it once."""

    claim: Claim | None
    """None when the request names no key: then it is simply done."""
    response: Response
    route: APIRoute

    async def run(self, session: AsyncSession, work: Callable[[], Awaitable[object]]) -> object:
        """What `work` gives, or the answer to the same request before.

        The answer is stored in `session`'s transaction when `work` returns: exactly if the effect is. What raises
        stores nothing, and the same request is tried anew. Raises what `idempotency.begin` raises.
        """
        if self.claim is None:
            return await work()
        answer = await idempotency.begin(session, self.claim)
        if answer is None:
            body = self._wire(await work())
            status = self.response.status_code or self.route.status_code or 200
            await idempotency.keep(session, self.claim, Answer(status, body))
            return body
        self.response.status_code = answer.status
        self.response.headers[REPLAYED] = "true"
        return answer.body

    def _wire(self, result: object) -> dict[str, Any]:
        """The result as the route's model shows it."""
        model: TypeAdapter[Any] = TypeAdapter(self.route.response_model)
        body: dict[str, Any] = model.dump_python(model.validate_python(result, from_attributes=True), mode="json")
        return body


async def _idempotency(
    request: Request,
    response: Response,
    operator: OperatorDep,
    _documented: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "pattern": _PATTERN}),
        Header(alias=HEADER, description=_DESCRIPTION),
    ] = None,
) -> Idempotency:
    route = request.scope["route"]
    given = request.headers.getlist(HEADER)
    if not given:
        return Idempotency(None, response, route)
    if len(given) > 1:
        raise IdempotencyKeyMalformedError("There is more than one.")
    claim = Claim(
        scope=f"{operator} {request.method} {route.path}",
        key=idempotency.parse_key(given[0]),
        fingerprint=idempotency.fingerprint(request.path_params, request.url.query.encode(), await request.body()),
    )
    return Idempotency(claim, response, route)


IdempotencyDep = Annotated[Idempotency, Depends(_idempotency)]
"""For every POST of operators that changes something; tests/followups_api walks the routes."""
