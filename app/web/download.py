"""Files that are made while they are sent."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from fastapi.responses import StreamingResponse

Piece = TypeVar("Piece", str, bytes)


async def download(pieces: AsyncGenerator[Piece, None], *, media_type: str, filename: str) -> StreamingResponse:
    """The answer that is a file of these pieces, each made when the one before it has left.

    The first is made before the answer begins, so what goes wrong with it is a problem like any other. What goes wrong
    later ends the connection in the middle of the file, which no client takes for all of it. Nothing may be held while
    a piece leaves: a client reads as slowly as it likes.
    """
    first = await anext(pieces)
    return StreamingResponse(
        _all(first, pieces),
        media_type=media_type,
        headers={"Content-Disposition": f'attachment; filename="{filename}"'},
    )


async def _all(first: Piece, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece
