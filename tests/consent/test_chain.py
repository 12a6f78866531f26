"""The chain's arithmetic: our own reading of a row is the database's, whatever the row holds."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.consent.chain import Row, canonical, rows_of
from app.core.db import Database
from tests.consent.chain import append, conversation, decide

ODD = [
    "plain",
    'quotes " and \\ backslashes',
    "controls \x01\x08\x0b\x0c\x1f\x7f\t\r\n",
    "zażółć gęślą jaźń €",
    "\u2028\u2029 \ufeff \u200b",
    "🏠 \U0010ffff",
    "</script> / \\u0041",
    "",
]


def row(**values: Any) -> Row:
    """A row of which only what is hashed matters."""
    return Row(
        seq=7,
        at=datetime(2026, 1, 31, 3, 0, 0, 1, tzinfo=UTC),
        event="consent.granted",
        subject_ref=UUID(int=1),
        purpose="rodo",
        text_version=1,
        text_sha256="0" * 64,
        locale="pl",
        surface="chat",
        message_seq=3,
        evidence_hash=None,
        prev_hash=b"",
        row_hash=b"",
        salt=None,
        ip=None,
        user_agent=None,
        conversation_id=None,
    )._replace(**values)


def test_the_form_that_is_hashed_is_the_one_that_is_documented() -> None:
    assert canonical(row(evidence_hash=b"\xab")).decode() == (
        '[7, "2026-01-31T03:00:00.000001Z", "consent.granted", "00000000-0000-0000-0000-000000000001", "rodo", 1, '
        f'"{"0" * 64}", "pl", "chat", 3, "ab"]'
    )


def test_a_row_without_evidence_is_read_as_the_first_version_wrote_it() -> None:
    assert (
        canonical(row(purpose=None, text_version=None)).decode().endswith(f'null, null, "{"0" * 64}", "pl", "chat", 3]')
    )


@pytest.mark.parametrize("odd", ODD)
async def test_the_database_reads_odd_text_as_we_do(sql: asyncpg.Connection, odd: str) -> None:
    for evidence_hash in (None, b"\x00\xff"):
        mine = row(event=odd, surface=odd, locale=odd, purpose=odd, evidence_hash=evidence_hash)
        theirs = await sql.fetchval(
            "SELECT consent_audit_canonical($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)", *mine[:11]
        )
        assert canonical(mine).decode() == theirs


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
        datetime(1, 2, 1, tzinfo=UTC),
    ],
)
async def test_the_database_reads_an_instant_as_we_do_whatever_its_time_zone(
    sql: asyncpg.Connection, at: datetime
) -> None:
    mine = row(at=at, message_seq=None, text_version=2**31 - 1, seq=2**63 - 1)
    await sql.execute("SET TimeZone = 'Europe/Warsaw'")
    theirs = await sql.fetchval(
        "SELECT consent_audit_canonical($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, NULL)", *mine[:10]
    )
    assert canonical(mine).decode() == theirs


async def test_a_stored_row_is_read_in_the_order_of_its_fields(database: Database, sql: asyncpg.Connection) -> None:
    await decide(database, subject := await conversation(sql))
    await append(sql, subject_ref=uuid4())
    from_sql = await sql.fetch(
        "SELECT l.seq, at, event, subject_ref, purpose, text_version, text_sha256, locale, surface, message_seq, "
        "evidence_hash, prev_hash, row_hash, salt, ip, user_agent, conversation_id "
        "FROM consent_audit_log l LEFT JOIN consent_evidence ON audit_seq = l.seq ORDER BY l.seq"
    )
    first, second = rows_of(from_sql)
    assert (first.seq, first.subject_ref, first.conversation_id, first.ip) == (1, subject, subject, "203.0.113.0")
    assert (second.seq, second.salt, second.message_seq) == (2, None, 0)
