"""What routes ask for: a session that commits before the answer leaves, and the token of a visitor."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.db import Database
from app.core.errors import UnauthenticatedError

session_scheme = HTTPBearer(scheme_name="session", description="`session_token` of a chat session.", auto_error=False)


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
