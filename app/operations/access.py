"""Who may call what is not for everybody: one line in each route of operators."""

from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.params import Security as SecurityParam
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from app.core.errors import ForbiddenError, UnauthenticatedError
from app.operations.api_keys import SCOPES, Caller, Door, Scope

_DESCRIPTION = "\n".join(
    (
        "API key of an operator or a program. What it may do:\n",
        *(f"* `{scope}`: {what}" for scope, what in SCOPES.items()),
    )
)
_scheme = HTTPBearer(scheme_name="apiKey", bearerFormat="nh_…", description=_DESCRIPTION, auto_error=False)


class ScopeMissingError(ForbiddenError):
    """The key is valid and not for this."""

    code = "scope-missing"
    title = "This API key does not allow the request."


async def _admit(
    request: Request,
    scopes: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)],
) -> None:
    """Let the request through when its key has the route's scope."""
    door: Door = request.app.state.door
    caller = await door.caller(credentials.credentials) if credentials else None
    if caller is None:
        raise UnauthenticatedError
    if missing := [scope for scope in scopes.scopes if not caller.may(scope)]:
        raise ScopeMissingError(f"It needs the scope {missing[0]}.")
    request.state.caller = caller


def needs(scope: Scope) -> SecurityParam:
    """What a route of operators has among its `dependencies`; tests/operations walks the routes."""
    security: SecurityParam = Security(_admit, scopes=[scope])
    return security


async def _operator(request: Request) -> str:
    caller: Caller = request.state.caller
    return caller.name


OperatorDep = Annotated[str, Depends(_operator)]
"""Who calls, as in `operator_action.actor`; for routes that say what they need."""
