"""Limits by real HTTP: who is counted how, over processes, and what a refused request is told."""

import asyncio
import math
import time
from pathlib import Path

import asyncpg
import httpx
import pytest

from app.core.db import Database
from app.core.settings import Settings
from app.web import enforcement
from app.web.ratelimit import SITE_FACTOR
from tests.conftest import ADMIN_KEY, OPERATOR
from tests.limits.conftest import BEHIND_A_PROXY, SMALL, from_address, left, sample
from tests.operations.keys import bearer, make, revoke
from tests.processes import api, eventually, running
from tests.talk import open_session, say

CHAT = 5
API = 6


async def statuses(client: httpx.AsyncClient, count: int, path: str, **request: object) -> list[int]:
    """The statuses of so many requests, one after the other."""
    method = str(request.pop("method", "GET"))
    return [(await client.request(method, path, **request)).status_code for _ in range(count)]  # type: ignore[arg-type]


async def test_two_processes_count_together(environment: dict[str, str], tmp_path: Path) -> None:
    async with (
        api(environment | SMALL, tmp_path / "one.log") as (_, one),
        api(environment | SMALL, tmp_path / "two.log") as (_, two),
    ):
        answers = [(await client.get("/v1/packages")).status_code for _ in range(API) for client in (one, two)]
    assert sorted(answers) == [200] * API + [429] * API


async def test_many_at_once_are_counted_one_by_one(small: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(small.get("/v1/packages") for _ in range(60)))
    assert sum(answer.status_code == 200 for answer in answers) == API
    assert {answer.status_code for answer in answers} == {200, 429}


async def test_a_refused_request_is_told_when_to_come_back(small: httpx.AsyncClient) -> None:
    first = await small.get("/v1/packages")
    assert first.headers["RateLimit-Policy"] == '"api-hour";q=200;w=3600, "api-minute";q=6;w=60'
    assert first.headers["RateLimit"] == '"api-hour";r=199;t=3600, "api-minute";r=5;t=60'
    assert "Retry-After" not in first.headers
    await statuses(small, API - 1, "/v1/packages")
    refused = await small.get("/v1/packages")
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    problem = refused.json()
    assert (problem["code"], problem["status"]) == ("rate-limited", 429)
    assert problem["request_id"] == refused.headers["X-Request-ID"]
    assert left(refused, "api-minute") == 0
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert f"r=0;t={refused.headers['Retry-After']}" in refused.headers["RateLimit"]
    assert refused.headers["RateLimit-Policy"] == first.headers["RateLimit-Policy"]


async def test_after_retry_after_the_request_fits(environment: dict[str, str], tmp_path: Path) -> None:
    limits = SMALL | {"API_RATE_LIMIT_MINUTE": "3 per 2 seconds"}
    async with api(environment | limits, tmp_path / "api.log") as (_, client):
        assert await statuses(client, 3, "/v1/packages") == [200] * 3
        refused = await client.get("/v1/packages")
        assert refused.status_code == 429
        due = time.monotonic() + int(refused.headers["Retry-After"])

        async def it_is_time() -> bool:
            return time.monotonic() >= due

        await eventually(it_is_time)
        assert (await client.get("/v1/packages")).status_code == 200


async def test_several_limits_in_one_setting_all_hold(environment: dict[str, str], tmp_path: Path) -> None:
    limits = SMALL | {"CHAT_RATE_LIMIT": "4/hour; 100 per 2 minutes"}
    async with api(environment | limits, tmp_path / "api.log") as (_, client):
        answers = [await client.post("/v1/chat/sessions") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [201] * 4 + [429]
    assert answers[0].headers["RateLimit-Policy"] == '"chat";q=4;w=3600, "chat/2";q=100;w=120'


async def test_a_conversation_has_a_limit_wherever_its_visitor_is(small: httpx.AsyncClient) -> None:
    token = await open_session(small)
    said = [
        await small.post(
            "/v1/chat/messages", json={"text": "Dzień dobry"}, headers=token | from_address(f"203.0.113.{n}")
        )
        for n in range(CHAT + 1)
    ]
    assert [answer.status_code for answer in said] == [201] * CHAT + [429]
    assert left(said[-1], "chat-conversation") == 0
    assert left(said[-1], "chat") == CHAT


SPELLINGS = (
    "Bearer {}",
    "bearer {}",
    "BEARER {}",
    "bEaReR {}",
    "Bearer  {}",
    "bearer   {}",
    "Bearer \t{}",
    "BEARER  {}",
)


async def test_a_conversation_has_one_limit_however_its_token_is_spelled(small: httpx.AsyncClient) -> None:
    token = (await open_session(small))["Authorization"].removeprefix("Bearer ")
    said = [
        await small.post(
            "/v1/chat/messages",
            json={"text": "Dzień dobry"},
            headers={"Authorization": spelling.format(token), **from_address(f"203.0.113.{n}")},
        )
        for n, spelling in enumerate(SPELLINGS)
    ]
    assert [answer.status_code for answer in said] == [201] * CHAT + [429] * (len(SPELLINGS) - CHAT)


async def test_a_visitor_has_a_limit_in_however_many_conversations(small: httpx.AsyncClient) -> None:
    tokens = [await open_session_from(small, f"198.51.100.{n}") for n in range(CHAT + 1)]
    answers = [await say(small, token | from_address("192.0.2.1"), "Dzień dobry") for token in tokens]
    assert [answer.status_code for answer in answers] == [201] * CHAT + [429]


async def open_session_from(client: httpx.AsyncClient, address: str) -> dict[str, str]:
    opened = await client.post("/v1/chat/sessions", headers=from_address(address))
    return {"Authorization": f"Bearer {opened.json()['session_token']}"}


async def test_a_refused_message_changes_nothing(small: httpx.AsyncClient, lasting_url: str) -> None:
    async def stored() -> int:
        connection = await asyncpg.connect(lasting_url)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM chat_messages"))
        finally:
            await connection.close()

    token = await open_session(small)
    for _ in range(CHAT):
        await say(small, token, "Dzień dobry")
    before = await stored()
    assert [(await say(small, token, "Dzień dobry")).status_code for _ in range(5)] == [429] * 5
    assert await stored() == before


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("203.0.113.7", "::ffff:203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("unknown", "_hidden", True),
        ("", "not an address", True),
    ],
    ids=["one /64", "another /64", "IPv4 in IPv6", "another IPv4", "unreadable", "empty"],
)
async def test_who_counts_as_one_client(small: httpx.AsyncClient, first: str, second: str, same: bool) -> None:
    before = left(await small.get("/v1/packages", headers=from_address(first)), "api-minute")
    after = left(await small.get("/v1/packages", headers=from_address(second)), "api-minute")
    assert after == (before - 1 if same else before)


async def test_a_customer_with_many_ipv6_networks_is_limited_as_one(small: httpx.AsyncClient) -> None:
    async def status(site: int, network: int) -> int:
        sender = from_address(f"2001:db8:{site:x}:{network:x}::1")
        return (await small.get("/v1/packages", headers=sender)).status_code

    answers = [await status(0xF1, network) for network in range(API * SITE_FACTOR + 2)]
    assert answers == [200] * (API * SITE_FACTOR) + [429] * 2
    assert await status(0xF2, 0) == 200
    told = await small.get("/v1/packages", headers=from_address("2001:db8:f3::1"))
    assert f'"api-minute-site";q={API * SITE_FACTOR};w=60' in told.headers["RateLimit-Policy"]


@pytest.mark.parametrize(
    ("request_of", "expected"),
    [
        ({"path": "/v1/quotes", "method": "POST", "json": {"area_m2": -1}}, 422),
        (
            {"path": "/v1/quotes", "method": "POST", "content": b"{", "headers": {"Content-Type": "application/json"}},
            400,
        ),
        ({"path": "/v1/nothing-here"}, 404),
        ({"path": "/v1/packages", "method": "PATCH"}, 405),
        ({"path": "/v1/leads"}, 401),
        ({"path": "/v1/leads", "headers": {"Authorization": "Bearer wrong"}}, 401),
        ({"path": "/v1/leads/%00"}, 401),
    ],
    ids=["invalid body", "bad JSON", "unknown path", "wrong method", "no key", "wrong key", "odd path"],
)
async def test_what_fails_counts_too(small: httpx.AsyncClient, request_of: dict[str, object], expected: int) -> None:
    assert await statuses(small, API + 2, **request_of) == [expected] * API + [429] * 2  # type: ignore[arg-type]


async def test_unknown_paths_share_one_count(small: httpx.AsyncClient) -> None:
    answers = [(await small.get(f"/nothing/{n}")).status_code for n in range(API + 1)]
    assert answers == [404] * API + [429]


async def test_a_path_parameter_is_no_way_around(small: httpx.AsyncClient) -> None:
    answers = [(await small.get(f"/v1/leads/{n}")).status_code for n in range(API + 1)]
    assert answers == [401] * API + [429]


async def test_a_key_that_works_has_a_limit_of_its_own(small: httpx.AsyncClient) -> None:
    assert (await small.get("/v1/channels", headers=OPERATOR)).status_code == 200  # now it is known to work
    answers = [await small.get("/v1/alerts", headers=OPERATOR | from_address(f"192.0.2.{n}")) for n in range(60)]
    assert [answer.status_code for answer in answers] == [200] * 50 + [429] * 10
    assert answers[-1].headers["RateLimit-Policy"] == '"bulk";q=50;w=60'


async def test_a_key_has_one_limit_however_it_is_spelled(small: httpx.AsyncClient) -> None:
    async def ask(n: int, spelling: str) -> httpx.Response:
        headers = {"Authorization": spelling.format(ADMIN_KEY), **from_address(f"192.0.2.{n}")}
        return await small.get("/v1/channels", headers=headers)

    for n, spelling in enumerate(SPELLINGS):
        await ask(n, spelling)
    rest = [left(await ask(n, spelling), "bulk") for n, spelling in enumerate(SPELLINGS)]
    assert rest == list(range(rest[0], rest[0] - len(SPELLINGS), -1))


async def test_guessing_keys_is_limited_though_another_key_works(small: httpx.AsyncClient) -> None:
    assert await statuses(small, 2, "/v1/channels", headers=OPERATOR) == [200] * 2
    guesses = [
        (await small.get("/v1/channels", headers={"Authorization": f"Bearer guess-{n}"})).status_code
        for n in range(API + 2)
    ]
    assert guesses in ([401] * API + [429] * 2, [401] * (API - 1) + [429] * 3)


async def test_a_key_that_was_revoked_is_its_sender_s_again(small: httpx.AsyncClient, lasting_url: str) -> None:
    database = Database(Settings(database_url=lasting_url).database_url, pool_size=1)

    async def holds(key: str) -> tuple[int, bool]:
        """The status, and whether the limit was that of keys that work."""
        answer = await small.get("/v1/alerts", headers=bearer(key))
        return answer.status_code, answer.headers["RateLimit-Policy"].startswith('"bulk"')

    try:
        created = await make(database, "alerts:read")
        assert [await holds(created.key) for _ in range(2)] == [(200, False), (200, True)]
        await revoke(database, created.prefix)
        assert [await holds(created.key) for _ in range(2)] == [(401, True), (401, False)]
    finally:
        await database.dispose()


async def test_a_key_is_known_to_work_for_a_while_only(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def policies() -> list[str]:
        answers = [await client.get("/v1/channels", headers=OPERATOR) for _ in range(2)]
        return [answer.headers["RateLimit-Policy"].partition(";")[0] for answer in answers]

    monkeypatch.setattr(enforcement, "KEY_SECONDS", 0)
    assert '"bulk"' not in await policies()
    monkeypatch.undo()
    assert (await policies())[1] == '"bulk"'


async def test_health_and_metrics_are_never_refused(small: httpx.AsyncClient) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert await statuses(small, 30, path) == [200] * 30


async def test_one_client_s_flood_is_not_another_s(small: httpx.AsyncClient) -> None:
    async def flood() -> set[int]:
        answers = await asyncio.gather(
            *(small.get("/v1/packages", headers=from_address("203.0.113.66")) for _ in range(300))
        )
        return {answer.status_code for answer in answers}

    flooding = asyncio.create_task(flood())
    good = [(await small.get("/v1/packages", headers=from_address(f"198.51.100.{n}"))).status_code for n in range(20)]
    assert good == [200] * 20
    assert await flooding == {200, 429}


async def test_limits_change_while_the_service_runs(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path
) -> None:
    async def command(*arguments: str) -> str:
        async with running(
            "app.cli", "limits", *arguments, environment=environment | SMALL, log=tmp_path / "cli"
        ) as it:
            assert await it.exit_code() == 0, it.output
        return it.output

    async with api(environment | SMALL, tmp_path / "api.log") as (_, client):

        async def policy(expected: str) -> bool:
            return str((await client.get("/v1/packages")).headers["RateLimit-Policy"]) == expected

        assert "6 per minute" in await command("show")
        changed = await command("set", "api-minute", "1000 per 2 minutes; 90/second")
        assert "1000 per 2 minutes; 90/second" in changed
        await eventually(
            lambda: policy('"api-hour";q=200;w=3600, "api-minute";q=1000;w=120, "api-minute/2";q=90;w=1'), every=0.2
        )
        assert (await client.get("/v1/packages")).status_code == 200
        assert "by environment" in await command("reset", "api-minute")
        await eventually(lambda: policy('"api-hour";q=200;w=3600, "api-minute";q=6;w=60'), every=0.2)
    journal = await sql.fetch("SELECT action, target, reason FROM operator_action ORDER BY at")
    assert [tuple(row) for row in journal] == [
        ("limit.set", "api-minute", "1000 per 2 minutes; 90/second"),
        ("limit.reset", "api-minute", None),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("set", "chat", "often"), "must be like"), (("set", "llm", "1 per day"), "chat, api-hour, api-minute, bulk")],
    ids=["unreadable", "unknown"],
)
async def test_a_limit_that_makes_no_sense_is_refused(
    environment: dict[str, str], sql: asyncpg.Connection, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    async with running("app.cli", "limits", *arguments, environment=environment, log=tmp_path / "cli") as process:
        assert await process.exit_code() == 1
    assert said in process.output
    assert "Traceback" not in process.output
    assert await sql.fetchval("SELECT count(*) FROM rate_limit") == 0


async def test_operators_see_what_was_refused(small: httpx.AsyncClient) -> None:
    before = await sample(small, "rate_limited_requests_total", policy="api-minute")
    await statuses(small, API + 3, "/v1/packages")
    token = await open_session(small)
    for _ in range(CHAT + 2):
        await say(small, token, "Dzień dobry")
    assert await sample(small, "rate_limited_requests_total", policy="api-minute") == before + 3

    async def told() -> bool:
        status = (await small.get("/v1/status", headers=OPERATOR)).json()
        found = {limit["policy"]: limit["limited"] for limit in status["rate_limits"]}
        return bool(found["chat"] >= 2 and found["api-minute"] >= 3)

    await eventually(told, every=0.3)


async def test_browsers_may_read_the_headers(environment: dict[str, str], tmp_path: Path) -> None:
    origin = {"Origin": "https://nova.example"}
    async with api(
        environment | SMALL | BEHIND_A_PROXY | {"ALLOWED_ORIGINS": origin["Origin"]}, tmp_path / "api.log"
    ) as (_, client):
        answers = [await client.get("/v1/packages", headers=origin) for _ in range(API + 1)]
    for answer in (answers[0], answers[-1]):
        exposed = {name.strip().lower() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
        assert {"ratelimit", "ratelimit-policy", "retry-after", "x-request-id"} <= exposed
        assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
    assert answers[-1].status_code == 429


def test_the_defaults_are_those_of_the_old_service(monkeypatch: pytest.MonkeyPatch) -> None:
    from app.core.settings import read_settings  # noqa: PLC0415

    for name in ("CHAT_RATE_LIMIT", "API_RATE_LIMIT_HOUR", "API_RATE_LIMIT_MINUTE"):
        monkeypatch.delenv(name, raising=False)
    assert read_settings().rate_limits == {
        "chat": "30 per minute",
        "api-hour": "200 per hour",
        "api-minute": "50 per minute",
        "bulk": "1200 per minute",
        "model": "1000 per day",
    }
    assert math.isfinite(read_settings().request_seconds)
