"""A visitor's answers to the consent questions by session token: reading them, giving one, taking one back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast, get_args
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import repository as consent
from app.consent.service import Origin, Purpose, Seen, Texts
from app.conversations.consents import Reach, decide
from app.core.errors import ConflictError

Decision = Literal["granted", "refused"]


class ConsentTextStaleError(ConflictError):
    """The answer is to a text that is not, or is no longer, the one we ask with."""

    code = "consent-text-stale"
    title = "This is not the current text; show the current one and ask again."


@dataclass(frozen=True, slots=True)
class Answer:
    """The current answer to one purpose; all None when it was never answered, which means no.

    `text_version` and `text_sha256` name the text that was shown, None where the visitor decided in their own words.
    """

    purpose: Purpose
    decision: Decision | None = None
    text_version: int | None = None
    text_sha256: str | None = None
    decided_at: datetime | None = None


async def answers(session: AsyncSession, conversation_id: UUID) -> Sequence[Answer]:
    """The current answer to every purpose."""
    given = {row.purpose: row for row in await consent.current(session, conversation_id)}

    def answer(purpose: Purpose) -> Answer:
        row = given.get(purpose)
        if row is None:
            return Answer(purpose)
        decision: Decision = "granted" if row.granted else "refused"
        return Answer(purpose, decision, row.text_version, row.text_sha256, row.decided_at)

    return [answer(purpose) for purpose in cast("tuple[Purpose, ...]", get_args(Purpose))]


async def give(
    session: AsyncSession,
    reach: Reach,
    texts: Texts,
    *,
    conversation_id: UUID,
    purpose: Purpose,
    decision: Decision,
    text_version: int,
    sha256: str,
    origin: Origin,
) -> tuple[Answer, bool]:
    """Record an answer to the current text; gives it as it stands, and whether it stood before.

    The caller holds the lock of the conversation's row. The same answer to the same text again changes nothing.
    Raises ConsentTextStaleError when the text is not the current one in either language.
    """
    text = texts.find(purpose, version=text_version, sha256=sha256)
    if text is None:
        raise ConsentTextStaleError(f"The current version of {purpose} is {texts.get(purpose, 'pl').version}.")
    before = await _answer(session, conversation_id, purpose)
    if (before.decision, before.text_version, before.text_sha256) == (decision, text.version, text.sha256):
        return before, True
    await decide(
        session,
        reach,
        conversation_id=conversation_id,
        purpose=purpose,
        granted=decision == "granted",
        surface="api",
        seen=Seen(text.locale, text.version, text.sha256),
        origin=origin,
    )
    return await _answer(session, conversation_id, purpose), False


async def withdraw(
    session: AsyncSession, reach: Reach, *, conversation_id: UUID, purpose: Purpose, surface: str, origin: Origin | None
) -> bool:
    """Refuse a purpose, without a text before anybody's eyes; false when it is refused already.

    What was never asked becomes a refusal too: the person said no. The caller holds the lock of the conversation's row.
    """
    if (await _answer(session, conversation_id, purpose)).decision == "refused":
        return False
    await decide(
        session,
        reach,
        conversation_id=conversation_id,
        purpose=purpose,
        granted=False,
        surface=surface,
        seen=None,
        origin=origin,
    )
    return True


async def _answer(session: AsyncSession, conversation_id: UUID, purpose: Purpose) -> Answer:
    return next(answer for answer in await answers(session, conversation_id) if answer.purpose == purpose)
