"""Use cases of the chat: opening a conversation, saying something, reading it back."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.service import Origin, Texts
from app.conversations import consents, repository, turns
from app.conversations.consents import Reach
from app.conversations.notice import privacy_notice
from app.core import clock
from app.core.db import Database
from app.core.errors import ConflictError, InvalidError, UnauthenticatedError, UnavailableError
from app.engine.engine import AreaError, Engine, UnknownPackageError
from app.engine.types import Locale, Quote
from app.leads import service as leads

MAX_SEQ = 4_000
"""Messages in one conversation, both sides: far above any real one, and the bound of everything kept about it."""
_MAX_RACES = 8


class SessionUnknownError(UnauthenticatedError):
    """The token opens no conversation."""

    code = "session-unknown"
    title = "The session token is not valid."


class MessageIdReusedError(ConflictError):
    """This `client_message_id` was used for another text."""

    code = "client-message-id-reused"
    title = "This client_message_id was already used for another text."


class ConversationFullError(ConflictError):
    """The conversation reached its limit."""

    code = "conversation-full"
    title = "This conversation has reached its limit; open a new session."


class NoEstimateError(InvalidError):
    """There is no such package, or the area is outside what is quoted."""

    code = "no-estimate"
    title = "This cannot be estimated."


@dataclass(frozen=True, slots=True)
class Chat:
    """What every turn needs, made once per process."""

    database: Database
    engine: Engine
    texts: Texts
    reach: Reach


@dataclass(frozen=True, slots=True)
class Said:
    """The answer to one message as plain JSON, and whether it was given before."""

    body: dict[str, Any]
    replayed: bool


def estimate(engine: Engine, *, area_m2: Decimal, package: str, locale: Locale) -> Quote:
    """An estimate at today's prices. Raises NoEstimateError."""
    try:
        return engine.quote(area_m2=area_m2, package=package, locale=locale, now=clock.now())
    except (AreaError, UnknownPackageError) as error:
        raise NoEstimateError(str(error)) from error


def hash_token(token: str) -> bytes:
    """How a session token is stored. It has 256 random bits, so a plain digest cannot be guessed back."""
    return sha256(token.encode()).digest()


async def open_session(session: AsyncSession, engine: Engine, *, locale: Locale) -> dict[str, Any]:
    """Open a conversation and greet. The token is in the answer and nowhere else."""
    conversation_id = uuid4()
    token = secrets.token_urlsafe(32)
    greeting = engine.greeting(locale, clock.now())
    quick_replies = turns.plain_quick_replies(greeting.quick_replies)
    await repository.create(
        session,
        conversation_id=conversation_id,
        token_hash=hash_token(token),
        locale=locale,
        greeting={
            "id": uuid4(),
            "type": "text",
            "text": greeting.text,
            "data": {"disclosure": greeting.disclosure},
            "quick_replies": quick_replies,
        },
    )
    return {
        "session_id": conversation_id,
        "session_token": token,
        "disclosure": greeting.disclosure,
        "greeting": greeting.text,
        "quick_replies": quick_replies,
        "privacy": privacy_notice(locale, engine.firm),
    }


async def authenticate(session: AsyncSession, token_hash: bytes) -> UUID:
    """The conversation that a token opens. Raises SessionUnknownError."""
    conversation_id = await repository.find(session, token_hash)
    if conversation_id is None:
        raise SessionUnknownError
    return conversation_id


async def authenticate_locked(session: AsyncSession, token_hash: bytes) -> UUID:
    """The same, with the conversation's row locked for this transaction. Raises SessionUnknownError."""
    conversation_id = await repository.lock_by_token(session, token_hash)
    if conversation_id is None:
        raise SessionUnknownError
    return conversation_id


async def history(
    session: AsyncSession, conversation_id: UUID, *, after: int, limit: int
) -> tuple[list[dict[str, Any]], int | None]:
    """Messages after `after`, oldest first, and the cursor of the next page or None."""
    rows = await repository.messages(session, conversation_id, after=after, limit=limit + 1)
    items = [turns.message_out(row._asdict()) for row in rows[:limit]]
    return items, (items[-1]["seq"] if len(rows) > limit else None)


async def said_before(chat: Chat, *, token_hash: bytes, text: str, client_message_id: str | None) -> Said | None:
    """What was answered to this message, None when it is new. Writes nothing.

    Raises SessionUnknownError, MessageIdReusedError; ConversationFullError for a new one.
    """
    async with chat.database.driver() as connection:
        row = await repository.read_turn(connection, token_hash=token_hash, client_message_id=client_message_id)
    if row is None:
        raise SessionUnknownError
    if row["replayed_seq"] is not None:
        return await _replay(chat, row, text=text)
    if row["last_seq"] >= MAX_SEQ:
        raise ConversationFullError
    return None


async def say(
    chat: Chat, *, token_hash: bytes, text: str, client_message_id: str | None, origin: Origin | None
) -> Said:
    """Take one message, answer it and store both.

    What the message changes beyond the chat (a consent, a lead, an alert) commits with it or not at all. The same
    `client_message_id` again gives the same body and stores nothing. Two messages at once are answered one after the
    other: the second sees what the first one said. `origin` becomes evidence where the message decides a consent.

    Raises SessionUnknownError, MessageIdReusedError, ConversationFullError; UnavailableError when other messages of
    the same conversation keep coming in between.
    """
    for _ in range(_MAX_RACES):
        async with chat.database.driver() as connection:
            row = await repository.read_turn(connection, token_hash=token_hash, client_message_id=client_message_id)
            if row is None:
                raise SessionUnknownError
            if row["replayed_seq"] is None:
                if row["last_seq"] >= MAX_SEQ:
                    raise ConversationFullError
                turn = turns.take(
                    chat.engine, chat.texts, row, text=text, client_message_id=client_message_id, at=clock.now()
                )
                if turn.stays_in_chat:
                    if await repository.write_turn(connection, turn.values):
                        return Said(turn.body, replayed=False)
                    continue
        if row["replayed_seq"] is not None:
            return await _replay(chat, row, text=text)
        if await _write_with_effects(chat, turn, origin):
            return Said(turn.body, replayed=False)
    raise UnavailableError("Too many messages of this conversation at once.", retry_after=1)


async def _write_with_effects(chat: Chat, turn: turns.Turn, origin: Origin | None) -> bool:
    async with chat.database.transaction() as session:
        if not await repository.write_turn_in(session, turn.values):
            return False
        facts = turn.lead_facts
        for decision in turn.decisions:
            standing = await consents.decide(
                session,
                chat.reach,
                conversation_id=turn.conversation_id,
                purpose=decision.purpose,
                granted=decision.granted,
                surface="chat",
                seen=turn.seen.get(decision.purpose),
                origin=origin,
                message_seq=turn.message_seq,
            )
            facts = facts and replace(facts, rodo_consent=standing.rodo, marketing_consent=standing.marketing)
        if facts is not None and facts.marketing_consent and turn.new_address:
            await consents.look_at_address(session, turn.conversation_id)
        if facts is not None:
            await leads.capture(
                session, conversation_id=turn.conversation_id, facts=facts, channels=chat.reach.alert_channels
            )
    return True


async def _replay(chat: Chat, row: Mapping[str, Any], *, text: str) -> Said:
    seq = row["replayed_seq"]
    async with chat.database.transaction() as session:
        rows = await repository.messages(session, row["id"], after=seq - 1, limit=turns.MAX_REPLIES + 1)
    visitor = rows[0]._asdict()
    if visitor["text"] != text:
        raise MessageIdReusedError
    replies = [reply._asdict() for reply in rows[1 : 1 + visitor["outcome"]["replies"]]]
    return Said(turns.body(visitor, replies), replayed=True)
