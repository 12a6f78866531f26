"""Handing a conversation over to a person: the visitor asks, the bot is silent, people answer and give it back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import service as alerts
from app.conversations import handoff_repository as repository
from app.conversations import turns
from app.conversations.consents import HANDOFF_REQUESTED
from app.conversations.desk import ConversationUnknownError
from app.conversations.service import MAX_SEQ, Chat, ConversationFullError, SessionUnknownError
from app.conversations.turns import HANDOFF
from app.core import clock
from app.core.db import AnyRow
from app.core.errors import ConflictError
from app.engine.types import HandoffWords, Locale
from app.operations import service as journal

CHANNELS: Final = ("slack",)
"""Where people look all day; on a board nobody sees in time that somebody waits."""


class NotHandedOffError(ConflictError):
    """The bot answers here."""

    code = "not-handed-off"
    title = "Nobody asked for a person in this conversation, or it was released."


@dataclass(frozen=True, slots=True)
class Requested:
    """A handoff that is open, and what its visitor hears of it."""

    requested_at: datetime
    words: HandoffWords
    """As of now: a repetition at nine in the morning says that people are there."""
    replayed: bool
    replies: list[dict[str, Any]] = field(default_factory=list)
    """What this request has put into the conversation."""


async def request(session: AsyncSession, chat: Chat, *, token_hash: bytes, reason: str | None) -> Requested:
    """Hand the conversation over and alert people, once for each handoff; again changes nothing.

    `reason` is stored as the visitor's message, and our answer as one of the bot's: the turn of a message that was
    being answered meanwhile is computed anew. Raises SessionUnknownError, ConversationFullError.
    """
    row = await repository.lock_by_token(session, token_hash)
    if row is None:
        raise SessionUnknownError
    at = clock.now()
    words = chat.engine.handoff(locale=cast("Locale", row.language), now=at)
    if row.state == HANDOFF:
        found = await repository.open_handoff(session, row.id)
        return Requested(found.requested_at, words, replayed=True)
    if row.last_seq >= MAX_SEQ:
        raise ConversationFullError
    said = [("visitor", reason)] if reason else []
    messages = [
        _message(row.last_seq + number, role, text, at)
        for number, (role, text) in enumerate([*said, ("bot", words.text)], start=1)
    ]
    handoff_id = uuid4()
    await repository.add_messages(
        session,
        row.id,
        messages,
        state=HANDOFF,
        visitor_messages=row.visitor_messages + len(said),
        memory={**row.memory, "engine": chat.engine.handed_over(row.memory.get("engine", {}))},
    )
    await repository.add(session, handoff_id=handoff_id, conversation_id=row.id, at=at)
    await alerts.record(
        session,
        event=HANDOFF_REQUESTED,
        subject_id=handoff_id,
        conversation_id=row.id,
        channels=[channel for channel in chat.reach.alert_channels if channel in CHANNELS],
    )
    return Requested(at, words, replayed=False, replies=_wire(messages[-1:]))


async def reply(session: AsyncSession, *, conversation_id: UUID, text: str, actor: str) -> dict[str, Any]:
    """Say something to the visitor as a person; gives the stored message, journaled.

    Raises ConversationUnknownError, NotHandedOffError, ConversationFullError.
    """
    row = await _locked(session, conversation_id)
    if row.state != HANDOFF:
        raise NotHandedOffError
    if row.last_seq >= MAX_SEQ:
        raise ConversationFullError
    at = clock.now()
    message = _message(row.last_seq + 1, "human", text, at)
    await repository.add_messages(session, row.id, [message])
    await repository.take(session, row.id, actor=actor, at=at)
    await journal.note(session, actor=actor, action="conversation.reply", target=str(message["id"]))
    return {**message, "conversation_id": row.id}


async def release(session: AsyncSession, *, conversation_id: UUID, actor: str) -> str:
    """Let the bot answer again, journaled; gives the conversation's state. Again changes nothing.

    Raises ConversationUnknownError.
    """
    row = await _locked(session, conversation_id)
    if row.state != HANDOFF:
        return str(row.state)
    handoff_id = await repository.release(session, row.id, at=clock.now())
    await repository.add_messages(session, row.id, [], state="open")
    await journal.note(session, actor=actor, action="conversation.release", target=str(handoff_id))
    return "open"


async def _locked(session: AsyncSession, conversation_id: UUID) -> AnyRow:
    row = await repository.lock(session, conversation_id)
    if row is None:
        raise ConversationUnknownError
    return row


def _message(seq: int, role: str, text: str, at: datetime) -> dict[str, Any]:
    return {"seq": seq, "id": uuid4(), "role": role, "type": "text", "text": text, "created_at": at}


def _wire(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [turns.message_out(message) for message in messages]
