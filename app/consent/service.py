"""Recording what people decided, and the one guard that every send passes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Self, cast
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import repository

Purpose = Literal["rodo", "marketing_email", "marketing_phone"]
Locale = Literal["pl", "en"]


@dataclass(frozen=True, slots=True)
class Text:
    """One version of the words that ask for a purpose."""

    purpose: Purpose
    locale: Locale
    version: int
    body: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Seen:
    """Which version of a text somebody had before their eyes when they decided."""

    locale: str
    version: int
    sha256: str


class Texts:
    """The current consent texts, read once at start. New versions arrive with a migration, hence with a restart."""

    def __init__(self, texts: Mapping[tuple[Purpose, Locale], Text]) -> None:
        self._texts = dict(texts)
        self.bodies: Mapping[tuple[Purpose, Locale], str] = {key: text.body for key, text in self._texts.items()}

    @classmethod
    async def load(cls, session: AsyncSession) -> Self:
        """Read the newest version of every text."""
        texts = [
            Text(cast("Purpose", row.purpose), cast("Locale", row.locale), row.version, row.body, row.sha256)
            for row in await repository.current_texts(session)
        ]
        return cls({(text.purpose, text.locale): text for text in texts})

    def get(self, purpose: Purpose, locale: Locale) -> Text:
        """The current text. Raises KeyError for a purpose or locale that has none."""
        return self._texts[purpose, locale]

    def all(self) -> tuple[Text, ...]:
        """Every current text, in a stable order."""
        return tuple(self._texts[key] for key in sorted(self._texts))


async def record_decision(
    session: AsyncSession,
    *,
    conversation_id: UUID,
    purpose: str,
    granted: bool,
    surface: str,
    seen: Seen | None,
    message_seq: int | None,
) -> None:
    """Append the decision to the audit log and make it the current answer, in the caller's transaction.

    `seen` is the text that stood before the person's eyes, None when they decided in their own words unasked; then the
    visitor's message `message_seq` is the evidence.
    """
    audit_seq = await repository.append_audit(
        session,
        event="consent.granted" if granted else "consent.refused",
        subject_ref=conversation_id,
        purpose=purpose,
        text_version=seen.version if seen else None,
        text_sha256=seen.sha256 if seen else None,
        locale=seen.locale if seen else None,
        surface=surface,
        message_seq=message_seq,
    )
    await repository.set_state(
        session, conversation_id=conversation_id, purpose=purpose, granted=granted, audit_seq=audit_seq
    )


async def reasons_not_to_send(
    connection: asyncpg.Connection, *, conversation_ids: Iterable[UUID | None], purpose: str
) -> dict[UUID | None, str]:
    """The guard: for each of these people about whom nothing may leave now, why not. Those left out may be sent.

    Called under the claim for every send of any kind (DESIGN invariant 6). No row is a no, and so is a conversation
    that was erased, which is None.
    """
    wanted = {conversation_id for conversation_id in conversation_ids if conversation_id is not None}
    answers = await repository.granted(connection, conversation_ids=wanted, purpose=purpose)
    reasons: dict[UUID | None, str] = {None: "subject_erased"}
    for conversation_id in wanted:
        answer = answers.get(conversation_id)
        if not answer:
            reasons[conversation_id] = "consent_missing" if answer is None else "consent_refused"
    return reasons
