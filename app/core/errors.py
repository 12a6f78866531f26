"""Errors that a caller can act on. A feature's service derives its own from these; `app.web.handlers` answers them."""

from typing import ClassVar


class AppError(Exception):
    """Something the caller should hear about, in words that give away nothing they may not know.

    `code` is stable and meant for programs; `title` is the same sentence for every occurrence; the exception's own
    message, when there is one, is the detail of this occurrence and must hold no personal data.
    """

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "The request failed."
    retry_after: int | None = None
    """In how many seconds the same request may succeed; None when nobody can say."""

    @property
    def detail(self) -> str | None:
        """This occurrence in one sentence, or None when the title says it all."""
        return str(self) or None


class MalformedError(AppError):
    """The request cannot be read."""

    code = "malformed"
    title = "The request cannot be read."


class InvalidError(AppError):
    """The request is well formed, but what it asks for makes no sense."""

    code = "invalid"
    title = "The request is not valid."


class UnauthenticatedError(AppError):
    """Nobody we know: the credential is absent, malformed, wrong or revoked, and we do not say which."""

    code = "unauthenticated"
    title = "A valid credential is required."


class ForbiddenError(AppError):
    """We know the caller, and they may not do this."""

    code = "forbidden"
    title = "This credential does not allow the request."


class NotFoundError(AppError):
    """It is not there, or it is not the caller's: both look the same."""

    code = "not-found"
    title = "There is no such resource."


class ConflictError(AppError):
    """The request contradicts what is already stored."""

    code = "conflict"
    title = "The request conflicts with the current state."


class GoneError(AppError):
    """It was there for this caller, and its time is over."""

    code = "gone"
    title = "This is no longer available."


class UnavailableError(AppError):
    """A part we depend on does not answer; the same request may succeed in `retry_after` seconds."""

    code = "unavailable"
    title = "The service cannot answer right now."

    def __init__(self, message: str = "", *, retry_after: int = 2) -> None:
        super().__init__(message)
        self.retry_after = retry_after
