"""A request under an Idempotency-Key: one effect, one answer, and a refusal for everything that is not the same."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.api import ROUTERS
from app.core.db import Database
from app.operations import access, idempotency, idempotent
from app.privacy import purge
from tests.alerts import rows
from tests.conftest import OPERATOR
from tests.privacy.test_purge import KEPT

KEY = "5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"
READS_ONLY = {"/v1/followups/preview"}
"""POSTs that write nothing: repeating them needs no key."""


def keyed(key: str = KEY) -> dict[str, str]:
    return {**OPERATOR, "Idempotency-Key": key}


async def send_test(client: httpx.AsyncClient, key: str = KEY, name: str = "slack") -> httpx.Response:
    return await client.post(f"/v1/channels/{name}/test", headers=keyed(key))


async def alerts(sql: asyncpg.Connection) -> int:
    found: int = await sql.fetchval("SELECT count(*) FROM outbound_alert")
    return found


def asks(dependant: Dependant, wanted: Callable[..., Any]) -> bool:
    return dependant.call is wanted or any(asks(inner, wanted) for inner in dependant.dependencies)


def test_every_post_of_operators_takes_a_key() -> None:
    posts = [
        route
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute) and "POST" in (route.methods or ()) and asks(route.dependant, access._admit)
    ]
    assert len(posts) >= 7
    without = {route.path for route in posts if not asks(route.dependant, idempotent._idempotency)}
    assert without == READS_ONLY & {route.path for route in posts}


async def test_the_same_again_is_answered_the_same_and_done_once(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    first = await send_test(client)
    again = await send_test(client)
    assert (first.status_code, again.status_code) == (202, 202)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.content == first.content
    assert await alerts(sql) == 1
    assert len(await rows.actions(sql)) == 1


async def test_each_operation_of_operators_is_replayed(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    """Not only declared: used. Each is repeated after something changed that a second run would show."""
    letter, _ = await rows.dead_letter(sql)
    for path, body in (
        ("/v1/channels/slack/pause", {"reason": "a"}),
        ("/v1/channels/slack/resume", None),
        ("/v1/channels/slack/reset", None),
        ("/v1/channels/slack/test", None),
        ("/v1/dead-letters/retry", {"channel": "slack"}),
        (f"/v1/dead-letters/{letter}/retry", None),
        (f"/v1/dead-letters/{letter}/discard", {"reason": "a"}),
    ):
        key = str(uuid4())
        first = await client.post(path, json=body, headers=keyed(key))
        assert first.is_success, (path, first.text)
        done = await rows.actions(sql)
        again = await client.post(path, json=body, headers=keyed(key))
        assert (again.status_code, again.content) == (first.status_code, first.content), path
        assert again.headers["Idempotent-Replayed"] == "true", path
        assert await rows.actions(sql) == done, path


async def test_without_a_key_every_request_is_done(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    for _ in range(2):
        response = await client.post("/v1/channels/slack/test", headers=OPERATOR)
        assert "Idempotent-Replayed" not in response.headers
    assert await alerts(sql) == 2
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0


async def test_quoted_and_bare_are_the_same_key(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    await send_test(client, f'"{KEY}"')
    assert (await send_test(client, KEY)).headers["Idempotent-Replayed"] == "true"
    assert await alerts(sql) == 1


@pytest.mark.parametrize(
    "key",
    [
        "",
        "a" * 15,
        "a" * 65,
        f'"{KEY}',
        f'{KEY}"',
        f"'{KEY}'",
        '""',
        f"{KEY}, {KEY}",
        f"{KEY} x",
        "żółćżółćżółćżółć",
        "\u0661" * 16,
        f"{KEY}=\x01",
        "../../../../../../",
        "'; DROP TABLE leads; --",
    ],
)
async def test_what_is_no_key_is_400(client: httpx.AsyncClient, sql: asyncpg.Connection, key: str) -> None:
    headers = [(b"Authorization", OPERATOR["Authorization"].encode()), (b"Idempotency-Key", key.encode())]
    response = await client.post("/v1/channels/slack/test", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "idempotency-key-malformed")
    assert not key or key not in response.text
    assert await alerts(sql) == 0


@pytest.mark.parametrize("length", [16, 64])
async def test_the_limits_are_keys(client: httpx.AsyncClient, length: int) -> None:
    assert (await send_test(client, "-_aZ" * (length // 4))).status_code == 202


async def test_two_headers_are_400(client: httpx.AsyncClient) -> None:
    headers = [*OPERATOR.items(), ("Idempotency-Key", KEY), ("Idempotency-Key", KEY)]
    response = await client.post("/v1/channels/slack/test", headers=headers)
    assert (response.status_code, response.json()["code"]) == (400, "idempotency-key-malformed")


async def test_who_is_nobody_hears_nothing_of_keys(client: httpx.AsyncClient) -> None:
    await send_test(client)
    for headers in ({"Idempotency-Key": KEY}, {"Idempotency-Key": "x"}, {**keyed(), "Authorization": "Bearer x"}):
        assert (await client.post("/v1/channels/slack/test", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/channels/slack/pause", b'{"reason":"b"}'),
        ("/v1/channels/slack/pause", b'{ "reason":"a"}'),
        ("/v1/channels/slack/pause", b""),
        ("/v1/channels/monday/pause", b'{"reason":"a"}'),
        ("/v1/channels/slack/pause?x=1", b'{"reason":"a"}'),
    ],
)
async def test_another_request_under_the_key_is_422(
    client: httpx.AsyncClient, sql: asyncpg.Connection, path: str, body: bytes
) -> None:
    headers = {**keyed(), "Content-Type": "application/json"}
    first = await client.post("/v1/channels/slack/pause", content=b'{"reason":"a"}', headers=headers)
    assert first.status_code == 200
    other = await client.post(path, content=body, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert await sql.fetchval("SELECT count(*) FROM channel_gate WHERE paused_at IS NOT NULL") == 1


async def test_another_operation_has_its_own_keys(client: httpx.AsyncClient) -> None:
    for action in ("pause", "resume", "reset"):
        response = await client.post(f"/v1/channels/slack/{action}", headers=keyed())
        assert "Idempotent-Replayed" not in response.headers


async def test_a_request_under_way_is_409_at_once_and_then_replayed(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    claim = idempotency.Claim("key:admin POST /v1/channels/{name}/test", KEY, b"")
    async with sql.transaction():
        await sql.execute("SELECT pg_advisory_xact_lock($1)", claim.lock)
        async with asyncio.timeout(5):
            refused = await send_test(client)
    assert (refused.status_code, refused.json()["code"]) == (409, "idempotency-key-in-progress")
    assert refused.headers["Retry-After"] == "1"
    assert (await send_test(client)).status_code == 202


async def test_what_failed_is_not_kept(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    letter, _ = await rows.dead_letter(sql, status="delivered")
    path = f"/v1/dead-letters/{letter}/retry"
    assert (await client.post(path, headers=keyed())).status_code == 409
    assert (await send_test(client, name="email")).status_code == 409
    assert (await client.post("/v1/channels/nobody/test", headers=keyed())).status_code == 422
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0
    await sql.execute("UPDATE dead_letter_queue SET status = 'failed'")
    await sql.execute("UPDATE outbound_alert SET state = 'failed', delivered_at = NULL")
    assert (await client.post(path, headers=keyed())).status_code == 202


async def test_an_effect_that_is_rolled_back_takes_its_answer_along(
    database: Database, sql: asyncpg.Connection
) -> None:
    claim = idempotency.Claim("scope", KEY, b"print")

    async def crash() -> None:
        async with database.transaction() as session:
            assert await idempotency.begin(session, claim) is None
            await idempotency.keep(session, claim, idempotency.Answer(201, {"id": "1"}))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 0


async def test_keys_go_after_two_days_and_not_before(database: Database, sql: asyncpg.Connection) -> None:
    for age in (47, 49, 49, 49):
        await sql.execute(
            "INSERT INTO idempotency_key (scope, key, fingerprint, status, body, created_at) "
            "VALUES ('s', $1, '', 200, '{}', now() - $2 * interval '1 hour')",
            str(uuid4()),
            float(age),
        )
    assert (await purge.purge(database, KEPT, batch=2))["idempotency_keys"] == 3
    assert await sql.fetchval("SELECT count(*) FROM idempotency_key") == 1


async def test_the_published_schema_says_how(client: httpx.AsyncClient) -> None:
    operation = (await client.get("/openapi.json")).json()["paths"]["/v1/channels/{name}/test"]["post"]
    (header,) = (item for item in operation["parameters"] if item["name"] == "Idempotency-Key")
    assert "24 hours" in header["description"]
    assert {"400", "401", "409", "422"} <= set(operation["responses"])
