"""What routes ask for: a session that commits before the answer leaves, and who is calling."""

import secrets
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Database
from app.core.errors import UnauthenticatedError
from app.core.settings import Settings

session_scheme = HTTPBearer(scheme_name="session", description="`session_token` of a chat session.", auto_error=False)
operator_scheme = HTTPBearer(scheme_name="apiKey", description="API key of an operator.", auto_error=False)


async def _session(request: Request) -> AsyncIterator[AsyncSession]:
    database: Database = request.app.state.database
    async with database.transaction() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(_session, scope="function")]
"""A transaction for the length of the route's function: it has committed before the response is sent."""


async def session_token(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(session_scheme)],
) -> str:
    """The visitor's token as sent; whether it opens anything is the chat's to say."""
    if credentials is None or not credentials.credentials.isascii():
        raise UnauthenticatedError
    return credentials.credentials


SessionTokenDep = Annotated[str, Depends(session_token)]


async def require_operator(
    request: Request,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(operator_scheme)],
) -> str:
    """Let operators through, and give the name that their actions are journaled under.

    Without ADMIN_API_KEY nobody is one.
    """
    settings: Settings = request.app.state.settings
    given = credentials.credentials if credentials else ""
    expected = settings.admin_api_key.get_secret_value() if settings.admin_api_key else ""
    matches = secrets.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())
    if not matches or not expected:
        raise UnauthenticatedError
    return "key:admin"


OperatorDep = Annotated[str, Depends(require_operator)]
"""Who calls, as in `operator_action.actor`."""
