"""The audit over HTTP, for operators."""

import asyncio
import os
import threading
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from app.consent.anchor import Anchor
from app.consent.audit import Auditor
from app.consent.checkpoints import checkpoint
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from tests.conftest import OPERATOR
from tests.consent.chain import append, conversation, cut
from tests.processes import eventually

EMAIL = "jan.kowalski@example.com"


async def get(client: httpx.AsyncClient, path: str, **parameters: str | int) -> httpx.Response:
    """What an operator gets."""
    return await client.get(path, params=parameters, headers=OPERATOR)


@pytest.mark.parametrize("path", ["/v1/audit?email=a@b.pl", "/v1/audit/verify"])
async def test_only_operators_may_ask(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 401


async def test_a_log_that_holds_without_an_anchor(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await append(sql, 3)
    answer = await get(client, "/v1/audit/verify")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["ok"], found["rows"], found["head_seq"], found["anchor"]) == (True, 3, 3, "missing")
    assert (found["broken_at"], found["reason"], found["checkpoints"]) == (None, None, 0)


async def test_a_cut_off_end_is_an_answer_and_no_error(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, tmp_path: Path
) -> None:
    anchor = Anchor(tmp_path / "anchor", KeyRing("secret"))
    app.state.auditor = Auditor(database=database, anchor=anchor)
    await append(sql, 3)
    await checkpoint(database, anchor=anchor, now=clock.now())
    found = (await get(client, "/v1/audit/verify")).json()
    assert (found["ok"], found["anchor"], found["checkpoints"]) == (True, "checked", 1)
    await cut(sql, seq=2)
    found = (await get(client, "/v1/audit/verify")).json()
    assert (found["ok"], found["anchor"], found["broken_at"]) == (False, "broken", 3)
    assert found["reason"] == "checkpoint_beyond_end"


class SlowPipe:
    """A file that is opened at once and gives nothing before `release`, as a network volume may; ends by itself."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self.read = threading.Event()
        self.release = threading.Event()

    def hold(self) -> None:
        while not self.read.is_set():
            try:
                writer = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                if self.release.wait(0.01):
                    return
            else:
                self.read.set()
        self.release.wait(20)
        os.close(writer)


async def test_an_anchor_on_a_slow_disk_holds_up_nobody_else(
    app: FastAPI, client: httpx.AsyncClient, sql: asyncpg.Connection, database: Database, tmp_path: Path
) -> None:
    pipe = SlowPipe(tmp_path / "anchor")
    app.state.auditor = Auditor(database=database, anchor=Anchor(tmp_path / "anchor", KeyRing("secret")))
    await append(sql, 3)
    holding = asyncio.create_task(asyncio.to_thread(pipe.hold))
    verifying = asyncio.create_task(get(client, "/v1/audit/verify"))
    try:
        await eventually(lambda: asyncio.sleep(0, pipe.read.is_set()))
        for _ in range(5):
            assert (await client.get("/health/live")).status_code == 200
        assert not verifying.done()
    finally:
        pipe.release.set()
        await holding
    found = (await verifying).json()
    assert (found["ok"], found["rows"], found["anchor"]) == (True, 3, "missing")


async def test_the_schema_says_that_a_broken_log_is_200(client: httpx.AsyncClient) -> None:
    documented = (await client.get("/openapi.json")).json()["paths"]["/v1/audit/verify"]["get"]["responses"]
    assert "broken" in documented["200"]["description"]
    assert "409" in documented


async def test_one_verification_at_a_time(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await append(sql)
    answers = await asyncio.gather(*(get(client, "/v1/audit/verify") for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"verification-running"}
    assert (await get(client, "/v1/audit/verify")).status_code == 200


async def test_a_person_s_entries_come_in_pages_newest_first(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    mine = [await conversation(sql, email=EMAIL) for _ in range(2)]
    for subject in (*mine, uuid4(), await conversation(sql, email="else@example.com"), *mine, mine[0]):
        await append(sql, subject_ref=subject)
    seqs: list[int] = []
    pages = 0
    cursor: dict[str, str] = {}
    while True:
        answer = await get(client, "/v1/audit", email=f" {EMAIL.upper()} ", limit=2, **cursor)
        assert answer.status_code == 200
        assert "kowalski" not in answer.text.lower()
        page = answer.json()
        seqs += [item["seq"] for item in page["items"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert (seqs, pages) == ([7, 6, 5, 2, 1], 3)


async def test_an_entry_is_given_whole(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    subject = await conversation(sql, email=EMAIL)
    await append(sql, subject_ref=subject)
    (entry,) = (await get(client, "/v1/audit", email=EMAIL)).json()["items"]
    row_hash = (await sql.fetchval("SELECT row_hash FROM consent_audit_log")).hex()
    assert entry == {
        "seq": 1,
        "at": entry["at"],
        "event": "consent.granted",
        "subject_ref": str(subject),
        "purpose": "rodo",
        "text_version": 1,
        "text_sha256": "0" * 64,
        "locale": "pl",
        "surface": "chat",
        "message_seq": 0,
        "evidence_hash": None,
        "prev_hash": "00" * 32,
        "row_hash": row_hash,
    }


async def test_an_erased_person_s_entries_are_nobody_s(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await append(sql, subject_ref=await conversation(sql, email=EMAIL))
    await sql.execute("DELETE FROM chat_conversations")
    assert (await get(client, "/v1/audit", email=EMAIL)).json() == {"items": [], "next_cursor": None}
    assert (await get(client, "/v1/audit/verify")).json()["rows"] == 1


@pytest.mark.parametrize("email", ["", "nobody", "a@b", "a b@example.com", "x" * 300 + "@example.com", "zażółć@"])
async def test_what_is_no_address_is_refused_and_not_repeated(client: httpx.AsyncClient, email: str) -> None:
    answer = await get(client, "/v1/audit", email=email)
    assert answer.status_code == 422
    assert not email or email not in answer.text
    assert (await get(client, "/v1/audit")).status_code == 422


@pytest.mark.parametrize("cursor", ["x", "AAAA", "_" * 11, "A" * 90, "ą"])
async def test_a_cursor_that_is_none_of_ours_is_refused(client: httpx.AsyncClient, cursor: str) -> None:
    answer = await get(client, "/v1/audit", email=EMAIL, cursor=cursor)
    assert answer.status_code == 422
