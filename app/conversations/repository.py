"""Every query of the chat.

A turn is one read and one write. Both are written once as SQL text and run in two ways: on the driver's connection,
where a lone statement is its own transaction, and in a session, when more must commit with it. Why the hot path speaks
to the driver is in docs/decisions/0004-hot-path.md.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import Select, TextClause, insert, select, text, update
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.ext.asyncio import AsyncSession

from app.conversations.models import ChatConversation, ChatMessage
from app.core.db import AnyRow

LAST_WORDS = 3
TURN_SECONDS: Final = 1.5
"""How long a turn waits for each of its two statements, which take milliseconds: a visitor waits for the answer."""
FACTS = ("area_m2", "package", "city", "budget_pln", "name", "phone", "email", "property_type")

_READ_TURN = text(
    f"""
    SELECT c.id, c.xmin AS version, c.locale, c.language, c.state, c.memory, c.last_seq, c.visitor_messages,
           c.rodo_consent, c.marketing_consent, {", ".join(f"c.{name}" for name in FACTS)},
           m.seq AS replayed_seq
    FROM chat_conversations c
    LEFT JOIN chat_messages m ON m.conversation_id = c.id AND m.client_message_id = :client_message_id
    WHERE c.token_hash = :token_hash
    """  # noqa: S608  the names are constants of this module
)

_WRITE_TURN = text(
    f"""
    WITH turn AS (
        UPDATE chat_conversations SET
            {", ".join(f"{name} = :{name}" for name in FACTS)},
            language = :language, memory = CAST(:memory AS jsonb), last_seq = :last_seq,
            visitor_messages = visitor_messages + 1, last_message_at = :at,
            state = CASE state WHEN 'closed' THEN 'open' ELSE state END
        WHERE id = :id AND xmin = CAST(:version AS xid)
        RETURNING id, xmin AS version
    )
    INSERT INTO chat_messages
        (conversation_id, seq, id, client_message_id, role, type, text, data, quick_replies, outcome, created_at)
    SELECT turn.id, m.seq, m.id, m.client_message_id, m.role, m.type, m.text, m.data, m.quick_replies, m.outcome, :at
    FROM turn, jsonb_to_recordset(CAST(:messages AS jsonb)) AS m (
        seq integer, id uuid, client_message_id text, role text, type text, text text, data jsonb,
        quick_replies jsonb, outcome jsonb)
    RETURNING (SELECT version FROM turn)
    """  # noqa: S608  the names are constants of this module
)


def _for_driver(statement: TextClause) -> tuple[str, tuple[str, ...]]:
    """A statement as the driver takes it: SQL with `$n`, and the parameters' names in their order."""
    compiled = statement.compile(dialect=asyncpg_dialect.dialect())  # type: ignore[no-untyped-call]
    return str(compiled), tuple(compiled.positiontup or ())


READ_TURN_SQL, _READ_TURN_ORDER = _for_driver(_READ_TURN)
WRITE_TURN_SQL, _WRITE_TURN_ORDER = _for_driver(_WRITE_TURN)


async def read_turn(
    connection: asyncpg.Connection, *, token_hash: bytes, client_message_id: str | None
) -> dict[str, Any] | None:
    """All that a turn needs to know, in one round trip: the conversation, and whether this message is stored already.

    None when no conversation has this token. Raises TimeoutError after TURN_SECONDS.
    """
    values = {"token_hash": token_hash, "client_message_id": client_message_id}
    row = await connection.fetchrow(READ_TURN_SQL, *(values[name] for name in _READ_TURN_ORDER), timeout=TURN_SECONDS)
    return None if row is None else dict(row)


async def read_in(session: AsyncSession, token_hash: bytes) -> dict[str, Any]:
    """The same in the caller's transaction, which holds the row. Raises NoResultFound when there is none."""
    found = await session.execute(_READ_TURN, {"token_hash": token_hash, "client_message_id": None})
    return dict(found.mappings().one())


def turn_values(
    *,
    read: Mapping[str, Any],
    at: datetime,
    facts: Mapping[str, Any],
    language: str,
    memory: Mapping[str, Any],
    messages: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The parameters of `write_turn` and `write_turn_in`. `read` is the row that the turn was computed from."""
    return {
        **facts,
        "id": read["id"],
        "version": read["version"],
        "last_seq": read["last_seq"] + len(messages),
        "at": at,
        "language": language,
        "memory": orjson.dumps(memory).decode(),
        "messages": orjson.dumps(messages).decode(),
    }


def row_after(row: Mapping[str, Any], values: Mapping[str, Any], *, version: int) -> dict[str, Any]:
    """What `read_turn` would give for the row that `write_turn` made of `row`, in the version that it gave."""
    return {
        **row,
        **{name: values[name] for name in (*FACTS, "language", "last_seq")},
        "state": "open" if row["state"] == "closed" else row["state"],
        "memory": orjson.loads(values["memory"]),
        "visitor_messages": row["visitor_messages"] + 1,
        "version": version,
    }


async def write_turn(connection: asyncpg.Connection, values: Mapping[str, Any]) -> int | None:
    """Write a whole turn in one statement that is its own transaction; gives the row's version after it.

    None, and nothing written, when anything else changed the row in between: another turn, a decision about a consent,
    an erasure; and when the message is stored already, which only who did not read the row can meet. A turn never
    writes consents: `consents.decide` does.
    """
    try:
        version: int | None = await connection.fetchval(
            WRITE_TURN_SQL, *(values[name] for name in _WRITE_TURN_ORDER), timeout=TURN_SECONDS
        )
    except asyncpg.UniqueViolationError:
        return None
    return version


async def write_turn_in(session: AsyncSession, values: Mapping[str, Any]) -> bool:
    """The same in the caller's transaction, for a turn that changes more than the chat; whether it was written."""
    return bool((await session.execute(_WRITE_TURN, dict(values))).all())


async def create(
    session: AsyncSession, *, conversation_id: UUID, token_hash: bytes, locale: str, greeting: Mapping[str, Any]
) -> None:
    """Open a conversation whose first message is our greeting."""
    await session.execute(
        insert(ChatConversation).values(
            id=conversation_id, token_hash=token_hash, locale=locale, language=locale, last_seq=1
        )
    )
    await session.execute(insert(ChatMessage).values(conversation_id=conversation_id, seq=1, role="bot", **greeting))


async def find(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """The conversation that this token opens, or None."""
    return (
        await session.execute(select(ChatConversation.id).where(ChatConversation.token_hash == token_hash))
    ).scalar_one_or_none()


async def lock_by_token(session: AsyncSession, token_hash: bytes) -> UUID | None:
    """The same, and the row is this transaction's until it ends: decisions and turns wait for each other."""
    return (
        await session.execute(
            select(ChatConversation.id).where(ChatConversation.token_hash == token_hash).with_for_update(key_share=True)
        )
    ).scalar_one_or_none()


async def lock(session: AsyncSession, conversation_ids: Collection[UUID]) -> list[UUID]:
    """Those of these conversations that exist, locked in the order of their ids."""
    return list(
        await session.scalars(
            select(ChatConversation.id)
            .where(ChatConversation.id.in_(conversation_ids))
            .order_by(ChatConversation.id)
            .with_for_update(key_share=True)
        )
    )


async def email(session: AsyncSession, conversation_id: UUID, *, stay: bool = False) -> str | None:
    """The visitor's address as it is stored, or None. With `stay` nobody erases it before this transaction ends."""
    statement = select(ChatConversation.email).where(ChatConversation.id == conversation_id)
    held = statement.with_for_update(read=True, key_share=True) if stay else statement
    return (await session.execute(held)).scalar_one_or_none()


async def language(session: AsyncSession, conversation_id: UUID) -> str:
    """The language that a conversation is held in. Raises NoResultFound when it is gone."""
    return (
        await session.execute(select(ChatConversation.language).where(ChatConversation.id == conversation_id))
    ).scalar_one()


def ids_of_address(email: str) -> Select[UUID]:
    """The conversations with this normalised address, for another statement to build on."""
    return select(ChatConversation.id).where(ChatConversation.email == email)


async def set_consents(
    session: AsyncSession, conversation_id: UUID, *, rodo: bool | None, marketing: bool | None
) -> None:
    """Repeat the current answers where people read them."""
    await session.execute(
        update(ChatConversation)
        .where(ChatConversation.id == conversation_id)
        .values(rodo_consent=rodo, marketing_consent=marketing),
        execution_options={"synchronize_session": False},
    )


async def set_contact(
    session: AsyncSession, conversation_id: UUID, *, name: str | None, phone: str | None, email: str | None
) -> None:
    """Store what a visitor is called and reached by. The caller holds the lock of the conversation's row."""
    await session.execute(
        update(ChatConversation)
        .where(ChatConversation.id == conversation_id)
        .values(name=name, phone=phone, email=email),
        execution_options={"synchronize_session": False},
    )


async def messages(session: AsyncSession, conversation_id: UUID, *, after: int, limit: int) -> Sequence[AnyRow]:
    """Messages with a `seq` above `after`, oldest first."""
    return (
        await session.execute(
            select(
                ChatMessage.id,
                ChatMessage.seq,
                ChatMessage.role,
                ChatMessage.type,
                ChatMessage.text,
                ChatMessage.data,
                ChatMessage.quick_replies,
                ChatMessage.outcome,
                ChatMessage.client_message_id,
                ChatMessage.created_at,
            )
            .where(ChatMessage.conversation_id == conversation_id, ChatMessage.seq > after)
            .order_by(ChatMessage.seq)
            .limit(limit)
        )
    ).all()


LAST_WORDS_SQL: Final = f"""
SELECT c.id, (
    SELECT string_agg(newest.text, E'\\n' ORDER BY newest.seq) FROM (
        SELECT text, seq FROM chat_messages m WHERE m.conversation_id = c.id AND m.role = 'visitor'
        ORDER BY m.seq DESC LIMIT {LAST_WORDS}) newest)
FROM unnest($1::uuid[]) AS c(id)
"""  # noqa: S608  its only part is our own number


async def last_words(connection: asyncpg.Connection, conversation_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Each visitor's newest messages, up to `LAST_WORDS` of them, the oldest first, one a line."""
    return {row[0]: row[1] or "" for row in await connection.fetch(LAST_WORDS_SQL, conversation_ids)}
