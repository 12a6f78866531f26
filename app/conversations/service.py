"""Use cases of the chat: opening a conversation, saying something, reading it back."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from hashlib import sha256
from typing import Any, Protocol
from uuid import UUID, uuid4

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent.service import Origin, Texts
from app.conversations import consents, questions, repository, turns
from app.conversations.consents import Reach
from app.conversations.notice import privacy_notice
from app.conversations.recent import Recent
from app.core import clock
from app.core.db import Database
from app.core.errors import ConflictError, InvalidError, UnauthenticatedError, UnavailableError
from app.engine.engine import AreaError, Engine, UnknownPackageError
from app.engine.types import Advice, Help, Locale, Quote
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


class Adviser(Protocol):
    """Who may be asked for help with an answer: a language model behind its limits and its guard."""

    async def advise(self, wanted: Help) -> Advice | None:
        """A suggestion that may go out, in bounded time; None for any reason not to have one."""


@dataclass(frozen=True, slots=True)
class Chat:
    """What every turn needs, made once per process."""

    database: Database
    engine: Engine
    texts: Texts
    reach: Reach
    recent: Recent = field(default_factory=Recent)
    adviser: Adviser | None = None
    """None: every answer is the engine's own."""


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


async def open_session(session: AsyncSession, chat: Chat, *, locale: Locale) -> dict[str, Any]:
    """Open a conversation and greet. The token is in the answer and nowhere else."""
    engine = chat.engine
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
        "privacy": privacy_notice(locale, engine.firm, model=chat.adviser is not None),
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
    A language model is asked once at most, with no connection held; when another turn came in between, its advice is
    of no use any more.

    Raises SessionUnknownError, MessageIdReusedError, ConversationFullError; UnavailableError when other messages of
    the same conversation keep coming in between.
    """
    remembered = chat.recent.take(token_hash)
    adviser = chat.adviser
    take = partial(
        turns.take,
        chat.engine,
        chat.texts,
        text=text,
        client_message_id=client_message_id,
        hot_score=chat.reach.hot_score,
    )
    for _ in range(_MAX_RACES):
        async with chat.database.driver() as connection:
            known, remembered = remembered, None
            row = known or await repository.read_turn(
                connection, token_hash=token_hash, client_message_id=client_message_id
            )
            if row is None:
                raise SessionUnknownError
            if row["replayed_seq"] is None:
                if row["last_seq"] >= MAX_SEQ:
                    raise ConversationFullError
                turn = take(row, at=clock.now())
                if known is not None and not turn.stays_in_chat:
                    continue  # whether it is stored already must be known before more than the chat changes
                wanted = None if adviser is None else chat.engine.help_wanted(turn.said, turn.answer)
                if wanted is None and turn.stays_in_chat:
                    if await _write_alone(chat, connection, token_hash, row, turn):
                        return Said(turn.body, replayed=False)
                    continue
        if row["replayed_seq"] is not None:
            return await _replay(chat, row, text=text)
        if adviser is not None and wanted is not None:
            advice, adviser = await adviser.advise(wanted), None
            turn = take(row, at=clock.now(), advice=advice)
        if await _write(chat, token_hash, row, turn, origin):
            return Said(turn.body, replayed=False)
    raise UnavailableError("Too many messages of this conversation at once.", retry_after=1)


async def _write(
    chat: Chat, token_hash: bytes, row: Mapping[str, Any], turn: turns.Turn, origin: Origin | None
) -> bool:
    if not turn.stays_in_chat:
        return await _write_with_effects(chat, turn, origin)
    async with chat.database.driver() as connection:
        return await _write_alone(chat, connection, token_hash, row, turn)


async def _write_alone(
    chat: Chat, connection: asyncpg.Connection, token_hash: bytes, row: Mapping[str, Any], turn: turns.Turn
) -> bool:
    version = await repository.write_turn(connection, turn.values)
    if version is None:
        return False
    chat.recent.keep(token_hash, repository.row_after(row, turn.values, version=version))
    return True


async def _write_with_effects(chat: Chat, turn: turns.Turn, origin: Origin | None) -> bool:
    async with chat.database.transaction() as session:
        if not await repository.write_turn_in(session, turn.values):
            return False
        if turn.missed:
            await questions.note(
                session,
                conversation_id=turn.conversation_id,
                seq=turn.message_seq,
                language=turn.values["language"],
                at=turn.values["at"],
            )
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
                session,
                conversation_id=turn.conversation_id,
                facts=facts,
                channels=chat.reach.alert_channels,
                hot_score=chat.reach.hot_score,
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
