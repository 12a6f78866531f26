"""The whole service as an operator runs it: mails that arrive, copies that go, logs that say nothing, backups."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import redis as redis_client

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.sink.app import RunningSink
from app.devstack.sink.state import ChannelName
from tests.conftest import new_database
from tests.privacy.people import ADDRESS, NATIONAL, SPOKEN, WORDS, captured, conversation_of, dump, holding
from tests.processes import api, eventually, free_port, running, worker
from tests.talk import say


def texts(sink: RunningSink, channel: str) -> list[str]:
    return [str(message.content) for message in sink.state.of(ChannelName(channel))]


def redis_dump(url: str) -> str:
    """Every key and value of Redis, as text."""
    readers: Mapping[bytes, Any] = {
        b"string": lambda client, key: client.get(key),
        b"hash": lambda client, key: client.hgetall(key),
        b"list": lambda client, key: client.lrange(key, 0, -1),
        b"set": lambda client, key: client.smembers(key),
        b"zset": lambda client, key: client.zrange(key, 0, -1, withscores=True),
    }
    with redis_client.Redis.from_url(url) as client:
        return str([(key, readers[client.type(key)](client, key)) for key in client.scan_iter()])


async def test_an_erased_person_is_in_no_table_no_redis_no_board_and_no_log(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, redis_url: str, tmp_path: Path
) -> None:
    environment |= {"LOG_LEVEL": "DEBUG"}
    async with (
        api(environment, tmp_path / "api.log") as (service, client),
        worker(environment, tmp_path / "worker.log") as deliverer,
    ):
        token = await captured(client)
        conversation_id = await conversation_of(sql)
        lead_id = await sql.fetchval("SELECT id FROM leads")
        asked = await client.post("/v1/privacy/requests", json={"type": "erasure", "email": ADDRESS})
        assert asked.status_code == 202
        await client.post("/v1/privacy/requests", json={"type": "erasure", "email": f"{ADDRESS}@"})
        await say(client, token, "x" * 3000 + ADDRESS)

        async def arrived() -> bool:
            return bool(texts(sink, "monday") and texts(sink, "slack") and texts(sink, "email"))

        await eventually(arrived)
        assert all(NATIONAL in text.replace(" ", "") for text in texts(sink, "monday"))
        (mail,) = sink.state.of(ChannelName.EMAIL)
        assert mail.content["to"] == ADDRESS
        link = re.search(r"(http\S+)#(\S+)", mail.content["text"])
        assert link is not None
        assert link.group(1) == f"http://127.0.0.1:8000/privacy/requests/{asked.json()['id']}?lang=pl"
        proved = await client.post(f"/v1/privacy/requests/{asked.json()['id']}/verify", json={"token": link.group(2)})
        assert proved.json()["result"] == {"conversations": 1, "deletions": 2}, proved.text

        async def deleted() -> bool:
            return not texts(sink, "monday") and len(texts(sink, "slack")) == 2

        await eventually(deleted)

        async def settled() -> bool:
            return bool(await sql.fetchval("SELECT bool_and(delivered_at IS NOT NULL) FROM outbound_alert"))

        await eventually(settled)
        assert (await client.delete("/v1/chat", headers=token)).status_code == 401
        logs = service.output + deliverer.output
    told = texts(sink, "slack")[-1]
    assert "Usuń" in told
    assert not holding({"slack": told}, *WORDS)
    tables = await dump(sql)
    assert holding(tables, *WORDS, str(lead_id), link.group(2)) == set()
    assert holding(tables, str(conversation_id)) == {"consent_audit_log", "erasure"}
    words = (*WORDS, str(lead_id), link.group(2))
    assert holding({"redis": redis_dump(redis_url)}, *words, str(conversation_id)) == set()
    assert holding({"logs": logs}, *WORDS, link.group(2)) == set()
    ledger = (tmp_path / "erasures.jsonl").read_text()
    assert holding({"ledger": ledger}, *words) == set()
    assert str(conversation_id) in ledger


async def test_a_suppressed_address_is_asked_by_mail_and_its_owner_s_click_counts(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with (
        api(environment | {"LOG_LEVEL": "DEBUG"}, tmp_path / "api.log") as (service, client),
        worker(environment | {"LOG_LEVEL": "DEBUG"}, tmp_path / "worker.log") as deliverer,
    ):
        assert (await client.post("/v1/unsubscribe", json={"email": ADDRESS})).status_code == 202
        token = await captured(client)
        said = await say(client, token, "zgadzam się na marketing mailowy")
        assert said.json()["context"]["consent_marketing"] is True

        async def mailed() -> bool:
            return bool(texts(sink, "email"))

        await eventually(mailed)
        (mail,) = sink.state.of(ChannelName.EMAIL)
        assert mail.content["to"] == ADDRESS
        assert "List-Unsubscribe" not in mail.content["headers"]
        words = (mail.content["text"] + mail.content["html"]).lower()
        assert [word for word in ("pakiet", "wycen", "zł", "ofert", "rabat", "premium") if word in words] == []
        link = re.search(r"http://[^/]+(/privacy/requests/\S+)#(\S+)", mail.content["text"])
        assert link is not None
        for _ in range(3):
            assert (await client.get(link.group(1))).status_code == 200
        assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
        form = {"content-type": "application/x-www-form-urlencoded"}
        done = await client.post(link.group(1), content=f"token={link.group(2)}", headers=form)
        assert done.status_code == 200, done.text
        assert await sql.fetchval("SELECT count(*) FROM suppression") == 0
        logs = service.output + deliverer.output
    assert holding({"logs": logs}, *WORDS, link.group(2)) == set()
    assert await sql.fetchval("SELECT count(*) FROM privacy_request WHERE address IS NOT NULL") == 0


async def test_an_item_whose_arrival_is_uncertain_is_looked_for_and_deleted(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with httpx.AsyncClient(base_url=sink.base_url) as outside:
        await outside.put("/control/monday", json={"mode": "reset", "accept": True, "times": 1})
        async with (
            api(environment | {"DLQ_RETRY_DELAY_MINUTES": "60"}, tmp_path / "api.log") as (_, client),
            worker(environment | {"DLQ_RETRY_DELAY_MINUTES": "60"}, tmp_path / "worker.log"),
        ):
            token = await captured(client)

            async def uncertain() -> bool:
                return bool(await sql.fetchval("SELECT ambiguous_since FROM outbound_alert WHERE channel = 'monday'"))

            await eventually(uncertain)
            assert len(texts(sink, "monday")) == 1
            assert (await client.delete("/v1/chat", headers=token)).status_code == 204

            async def deleted() -> bool:
                return not texts(sink, "monday")

            await eventually(deleted)


async def test_an_item_that_is_gone_already_is_no_failure(
    environment: dict[str, str], sink: RunningSink, sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async with (
        api(environment, tmp_path / "api.log") as (_, client),
        worker(environment, tmp_path / "worker.log"),
    ):
        token = await captured(client)

        async def arrived() -> bool:
            return bool(await sql.fetchval("SELECT remote_ref FROM outbound_alert WHERE channel = 'monday'"))

        await eventually(arrived)
        await sql.execute("UPDATE outbound_alert SET remote_ref = '404' WHERE channel = 'monday'")
        await client.delete("/v1/chat", headers=token)

        async def settled() -> bool:
            state = "SELECT state FROM outbound_alert WHERE event = 'lead.erased' AND channel = 'monday'"
            return bool(await sql.fetchval(state) == "delivered")

        await eventually(settled)


@pytest.fixture
def restored_url(postgres: EmbeddedPostgres) -> str:
    """A database to restore into; made anew by the test."""
    return new_database(postgres, "restored")


async def test_a_restored_backup_serves_only_after_its_erasures_are_replayed(
    environment: dict[str, str], postgres: EmbeddedPostgres, restored_url: str, tmp_path: Path
) -> None:
    async with api(environment, tmp_path / "first.log") as (_, client):
        await captured(client)
        stays = await captured(client, SPOKEN.replace(ADDRESS, "inny@przyklad-testowy.pl").replace("691", "602"))
    postgres_url = postgres.url_of("postgres")
    server = await asyncpg.connect(postgres_url)
    await server.execute("DROP DATABASE restored")
    await server.execute("CREATE DATABASE restored TEMPLATE migrated")
    await server.close()
    command = ("app.cli", "privacy")
    async with running(
        *command, "erase", "--email", ADDRESS, environment=environment, log=tmp_path / "erase"
    ) as erased:
        assert await erased.exit_code() == 0, erased.output
    async with api(environment, tmp_path / "still.log"):
        pass

    restored = environment | {"DATABASE_URL": restored_url}
    port = str(free_port())
    async with (
        running("uvicorn", "app.main:app", "--port", port, environment=restored, log=tmp_path / "api.log"),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):

        async def is_ready(word: str) -> bool:
            try:
                answer = (await client.get("/health/ready")).json()
                return word in {answer["status"], answer.get("code")}
            except httpx.TransportError:
                return False

        await eventually(lambda: is_ready("erasures-to-replay"))
        assert (await client.get("/health/ready")).status_code == 503
        refused = ("arq", "worker.settings.WorkerSettings")
        async with running(*refused, environment=restored, log=tmp_path / "worker.log") as stopped:
            assert await stopped.exit_code() == 1
            assert "replay-erasures" in stopped.output
        sql = await asyncpg.connect(restored_url)
        assert holding(await dump(sql), ADDRESS)
        async with running(*command, "replay-erasures", environment=restored, log=tmp_path / "replay") as replayed:
            assert await replayed.exit_code() == 0, replayed.output
        assert holding(await dump(sql), *WORDS[:3]) == set()
        assert await sql.fetchval("SELECT count(*) FROM suppression") == 1
        await sql.close()
        await eventually(lambda: is_ready("ok"))
        assert (await client.get("/v1/chat/messages", headers=stays)).status_code == 200
