"""What is left of a person: a search of every table that the database has, whatever the models know of it.

Rows that belong to a conversation are found by its id, by an index; a conversation of somebody else that mentions the
address in passing is that person's and is left alone. Every other row is searched in full, in all columns that can
hold text: since the first of the erased conversations began, where the table has an index by time, and from its
beginning otherwise.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ALLOWED: Final = frozenset({("consent_audit_log", "subject_ref"), ("erasure", "subject_refs")})
"""Where the random id of an erased conversation stays: the proof of its consents, and that it was erased."""

UNPROVED: Final = frozenset({("privacy_request", "address"), ("unsubscribe_request", "address")})
"""Where an address may wait that somebody proved who is not known to be the one who is erased."""

_KEPT_ANSWERS: Final = text(
    """
    DELETE FROM idempotency_key
    WHERE created_at >= COALESCE(CAST(:since AS timestamptz), '-infinity')
      AND lower(concat_ws(E'\\n', scope, key, body::text)) LIKE ANY (CAST(:patterns AS text[]))
    """
)
_JOURNALED: Final = text(
    """
    UPDATE operator_action SET
        target = CASE WHEN lower(target) LIKE ANY (CAST(:patterns AS text[])) THEN 'erased' ELSE target END,
        reason = CASE WHEN lower(reason) LIKE ANY (CAST(:patterns AS text[])) THEN 'erased' ELSE reason END
    WHERE at >= COALESCE(CAST(:since AS timestamptz), '-infinity')
      AND lower(concat_ws(E'\n', target, reason)) LIKE ANY (CAST(:patterns AS text[]))
    """
)
_TABLES: Final = text(
    """
    SELECT c.table_name AS name, array_agg(c.column_name::text ORDER BY c.ordinal_position) AS columns,
        bool_or(c.column_name = 'conversation_id') AS has_conversation,
        (SELECT a.attname::text FROM pg_index i
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = format('public.%I', c.table_name)::regclass AND i.indpred IS NULL
           AND a.attname IN ('created_at', 'at', 'started_at') LIMIT 1) AS time_column
    FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
    WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type NOT IN (
        'bytea', 'boolean', 'smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'interval', 'date',
        'timestamp with time zone', 'timestamp without time zone')
    GROUP BY c.table_name ORDER BY c.table_name
    """
)


@dataclass(frozen=True, slots=True)
class Traces:
    """What must be found nowhere."""

    conversation_ids: Sequence[UUID]
    addresses: Sequence[str]
    """Addresses whose every conversation was erased."""
    words: Sequence[str]
    """Ids, addresses and telephone numbers as text, in lower case."""
    since: datetime | None
    """Nothing about the person was written before."""
    answering: UUID | None
    """The privacy request whose answer this is: its address goes when it is closed, in the same transaction."""
    whole: bool
    """Whether the person proved the address. If not, a request that somebody made for it is left alone."""


async def forget_kept_answers(session: AsyncSession, traces: Traces) -> int:
    """Delete answers kept for repeated requests that hold one of the traces; gives how many.

    A repetition of such a request is a new request then, which meets a conversation that is gone.
    """
    gone = await session.execute(_KEPT_ANSWERS, {"patterns": _patterns(traces), "since": traces.since})
    return int(gone.rowcount)  # type: ignore[attr-defined]


async def forget_in_journal(session: AsyncSession, traces: Traces) -> int:
    """Cut what operators did about the person off from the person; gives how many entries.

    Who did what and when stays. An operator's own words are replaced where they hold one of the traces.
    """
    cut = await session.execute(_JOURNALED, {"patterns": _patterns(traces), "since": traces.since})
    return int(cut.rowcount)  # type: ignore[attr-defined]


async def search(session: AsyncSession, traces: Traces) -> list[str]:
    """The tables that still hold something, by name; empty is the proof.

    Costs one pass over the rows that it must read, about 2.5 s for a million alerts; a table that takes longer than the
    statement timeout (10 s) is an error, never skipped.
    """
    found = []
    values = {
        "ids": list(traces.conversation_ids),
        "addresses": list(traces.addresses),
        "patterns": _patterns(traces),
        "since": traces.since,
        "answering": traces.answering,
    }
    for table in (await session.execute(_TABLES)).all():
        for query in _queries(table.name, table.columns, table.has_conversation, table.time_column, traces):
            needed = {name: value for name, value in values.items() if f":{name}" in query}
            if (await session.execute(text(f"SELECT EXISTS ({query})"), needed)).scalar_one():
                found.append(table.name)
                break
    return found


def _queries(
    name: str, columns: Sequence[str], has_conversation: bool, time_column: str | None, traces: Traces
) -> Iterable[str]:
    owner = "id" if name == "chat_conversations" else "conversation_id" if has_conversation else None
    if owner is not None:
        yield f'SELECT FROM "{name}" WHERE {owner} = ANY(CAST(:ids AS uuid[]))'
    if owner is not None and "email" in columns and traces.addresses:
        yield f'SELECT FROM "{name}" WHERE email = ANY(CAST(:addresses AS text[]))'
    spared = set(ALLOWED) | (set() if traces.whole else UNPROVED)
    searched = [column for column in columns if (name, column) not in spared]
    if owner == "id" or not searched:
        return
    joined = ", ".join(f'"{column}"::text' for column in searched)
    wheres = [f"lower(concat_ws(E'\\n', {joined})) LIKE ANY(CAST(:patterns AS text[]))"]
    if has_conversation:
        wheres.insert(0, "conversation_id IS NULL")
    if name == "privacy_request" and traces.answering is not None:
        wheres.insert(0, "id <> :answering")
    if time_column is not None and traces.since is not None:
        wheres.insert(0, f'"{time_column}" >= :since')
    yield f'SELECT FROM "{name}" WHERE {" AND ".join(wheres)}'


def _patterns(traces: Traces) -> list[str]:
    return [f"%{_escaped(word)}%" for word in traces.words]


def _escaped(word: str) -> str:
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
