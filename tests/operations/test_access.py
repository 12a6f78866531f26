"""What an API key opens: its scopes, nothing else, and nothing once it has ended."""

import asyncio
import hmac
import re
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncSession

from app.api import ROUTERS
from app.core.db import Database
from app.core.settings import Settings
from app.operations import access, api_key_repository, api_keys
from app.operations.api_keys import SCOPES, Door
from app.web import deps
from tests.alerts import rows
from tests.conftest import OPERATOR, ROOT, application
from tests.operations.keys import ACTOR, bearer, make, revoke
from tests.processes import eventually

FOR_ANYONE = {
    "consent_list_texts",
    "chat_open_session",
    "health_live",
    "health_ready",
    "health_get_metrics",
    "health_show_docs",
    "health_show_schema",
    "offer_estimate",
    "offer_list_packages",
    "privacy_ask",
    "privacy_fetch_export",
    "privacy_show_proof_page",
    "privacy_use_proof",
    "privacy_verify_request",
    "unsubscribe_follow_link",
    "unsubscribe_show_link",
    "unsubscribe_unsubscribe_address",
}
"""What needs no credential, or proves itself by what stands in its path or body."""
API_DOCS = ROOT / "docs/api.md"
NOBODY = "00000000-0000-4000-8000-000000000000"
UNKNOWN_KEY = "nh_00000000_" + "A" * 43


def api_routes() -> list[APIRoute]:
    return [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def name(route: APIRoute) -> str:
    return f"{route.tags[0]}_{route.name}"


def dependants(dependant: Dependant) -> Iterator[Dependant]:
    yield dependant
    for inner in dependant.dependencies:
        yield from dependants(inner)


def scopes(route: APIRoute) -> list[str]:
    return [
        scope
        for dependant in dependants(route.dependant)
        if dependant.call is access._admit
        for scope in dependant.own_oauth_scopes or ()
    ]


def takes_session(route: APIRoute) -> bool:
    return any(dependant.call is deps.session_token for dependant in dependants(route.dependant))


def call(route: APIRoute) -> tuple[str, str]:
    """A request that the route would refuse later than for its credential, if it forgot to ask for one."""
    filled = route.path
    for parameter in route.param_convertors:
        value = {"name": "slack", "purpose": "rodo"}.get(parameter, NOBODY)
        filled = filled.replace(f"{{{parameter}}}", value)
    return min(route.methods or ()), filled


BODIES = {"chat_rate_message": {"rating": "up"}}
"""What a visitor's route that names an id takes: without it nobody gets as far as the id."""
OPERATORS = [route for route in api_routes() if scopes(route)]
VISITORS = [route for route in api_routes() if takes_session(route)]


def test_every_route_asks_for_one_scope_or_a_session_or_is_known_to_be_for_anyone() -> None:
    for route in api_routes():
        asked = [*scopes(route), *(["a session"] if takes_session(route) else [])]
        assert len(asked) == (0 if name(route) in FOR_ANYONE else 1), (name(route), asked)


def test_every_scope_is_of_use_and_described() -> None:
    assert {scope for route in OPERATORS for scope in scopes(route)} == SCOPES.keys() - {"admin"}


def test_the_docs_say_which_route_needs_which_scope() -> None:
    said = {
        (scope.strip("` "), operation)
        for scope, operations in re.findall(r"^\| (`[a-z]+:[a-z]+`) \| (.+) \|$", API_DOCS.read_text(), re.MULTILINE)
        for operation in operations.strip("`").split("`, `")
    }
    assert said == {(scopes(route)[0], f"{min(route.methods or ())} {route.path}") for route in OPERATORS}


@pytest.mark.parametrize("route", OPERATORS, ids=name)
async def test_a_key_opens_exactly_what_its_scope_names(
    client: httpx.AsyncClient, database: Database, route: APIRoute
) -> None:
    (wanted,) = scopes(route)
    fitting = await make(database, *(scope for scope in SCOPES if scope == wanted))
    others = await make(database, *(scope for scope in SCOPES if scope not in {wanted, "admin"}))
    method, path = call(route)
    refused = await client.request(method, path, headers=bearer(others.key))
    assert (refused.status_code, refused.json()["code"]) == (403, "scope-missing")
    assert wanted in refused.json()["detail"]
    for key in (fitting.key, (await make(database, "admin")).key):
        admitted = await client.request(method, path, headers=bearer(key))
        assert admitted.status_code not in {401, 403}, admitted.text


@pytest.mark.parametrize("route", OPERATORS, ids=name)
async def test_whatever_is_no_key_gets_the_same_answer(
    client: httpx.AsyncClient, database: Database, route: APIRoute
) -> None:
    expired = await make(database, expires_in=timedelta(days=-1))
    revoked = await make(database)
    await revoke(database, revoked.prefix)
    other = await make(database)
    wrong = other.key[:-1] + ("A" if other.key[-1] != "A" else "B")
    method, path = call(route)
    presented = (UNKNOWN_KEY, expired.key, revoked.key, wrong, other.key.upper(), f" {other.key}x", "x", "")
    answers = [await client.request(method, path)]
    answers += [await client.request(method, path, headers=bearer(key)) for key in presented]
    answers.append(await client.request(method, path, headers={"Authorization": f"Basic {other.key}"}))
    bodies = {answer.text.replace(answer.headers["X-Request-ID"], "") for answer in answers}
    assert len(bodies) == 1
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["WWW-Authenticate"] for answer in answers} == {"Bearer"}


async def test_an_unknown_prefix_costs_a_look_and_a_comparison_like_a_known_one(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = await make(database)
    looked: list[str] = []
    compared: list[int] = []
    find, compare = api_key_repository.find, hmac.compare_digest

    async def find_and_tell(session: AsyncSession, prefix: str) -> object:
        looked.append(prefix)
        return await find(session, prefix)

    def compare_and_tell(one: bytes, other: bytes) -> bool:
        compared.append(len(other))
        return compare(one, other)

    monkeypatch.setattr(api_key_repository, "find", find_and_tell)
    monkeypatch.setattr(hmac, "compare_digest", compare_and_tell)
    door = Door(database, admin_key="k")
    for key in (UNKNOWN_KEY, f"nh_{known.prefix}_" + "A" * 43):
        looked.clear()
        compared.clear()
        assert await door.caller(key) is None
        assert (len(looked), compared) == (1, [32, 32])
    await door.aclose()


async def test_a_key_is_stored_hashed(database: Database, sql: asyncpg.Connection) -> None:
    created = await make(database)
    (row,) = await sql.fetch("SELECT * FROM api_key")
    assert row["key_hash"] == sha256(created.key.encode()).digest()
    assert created.key.rpartition("_")[2] not in str(dict(row))
    assert created.key.startswith(f"nh_{created.prefix}_")
    assert len(created.key) == len(UNKNOWN_KEY)


async def test_a_session_token_is_stored_hashed(client: httpx.AsyncClient, sql: asyncpg.Connection) -> None:
    token = (await client.post("/v1/chat/sessions", json={})).json()["session_token"]
    (row,) = await sql.fetch("SELECT * FROM chat_conversations")
    assert row["token_hash"] == sha256(token.encode()).digest()
    assert token not in str(dict(row))


async def test_without_an_admin_key_only_keys_open(settings: Settings, database: Database) -> None:
    app = application(settings.model_copy(update={"admin_api_key": None}))
    key = (await make(database, "leads:read")).key
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        for nobody in ({}, bearer(""), OPERATOR):
            assert (await client.get("/v1/leads", headers=nobody)).status_code == 401
        assert (await client.get("/v1/leads", headers=bearer(key))).status_code == 200


async def test_a_revoked_key_opens_nothing_from_the_next_request_on(
    client: httpx.AsyncClient, database: Database
) -> None:
    created = await make(database)
    assert (await client.get("/v1/leads", headers=bearer(created.key))).status_code == 200
    await revoke(database, created.prefix)
    assert (await client.get("/v1/leads", headers=bearer(created.key))).status_code == 401


async def test_what_a_key_does_is_journaled_under_its_prefix_and_name(
    client: httpx.AsyncClient, database: Database, sql: asyncpg.Connection
) -> None:
    created = await make(database, "delivery:operate", name="night-shift")
    await client.post("/v1/channels/slack/pause", headers=bearer(created.key))
    await revoke(database, created.prefix)
    await revoke(database, created.prefix)
    assert [entry[:4] for entry in await rows.actions(sql)] == [
        (ACTOR, "api_key.create", created.prefix, "night-shift: delivery:operate"),
        (f"key:{created.prefix}/night-shift", "channel.pause", "slack", None),
        (ACTOR, "api_key.revoke", created.prefix, None),
    ]


async def test_an_idempotency_key_belongs_to_its_api_key(
    client: httpx.AsyncClient, database: Database, sql: asyncpg.Connection
) -> None:
    for _ in range(2):
        created = await make(database, "delivery:operate")
        for _ in range(2):
            headers = {**bearer(created.key), "Idempotency-Key": "0123456789abcdef"}
            sent = await client.post("/v1/channels/slack/test", headers=headers)
            assert sent.status_code == 202
    assert await sql.fetchval("SELECT count(*) FROM outbound_alert") == 2


async def test_the_last_use_is_noted_once_a_minute_and_not_waited_for(
    client: httpx.AsyncClient, database: Database, sql: asyncpg.Connection
) -> None:
    created = await make(database)

    async def used() -> Any:
        return await sql.fetchval("SELECT last_used_at FROM api_key")

    assert await used() is None
    async with sql.transaction():
        await sql.execute("SELECT FROM api_key FOR UPDATE")
        answers = await asyncio.gather(*(client.get("/v1/leads", headers=bearer(created.key)) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {200}
    await eventually(used)
    first = await used()
    await client.get("/v1/leads", headers=bearer(created.key))
    await asyncio.sleep(0)
    assert await used() == first
    await sql.execute("UPDATE api_key SET last_used_at = now() - interval '61 seconds'")
    await client.get("/v1/leads", headers=bearer(created.key))

    async def noted_anew() -> bool:
        return bool(await used() > first)

    await eventually(noted_anew)


async def test_keys_are_bounded_and_those_that_ended_long_ago_make_room(
    database: Database, sql: asyncpg.Connection
) -> None:
    await sql.execute(
        "INSERT INTO api_key (prefix, key_hash, name, scopes, revoked_at, expires_at) "
        "SELECT 'old' || n, sha256('x'), 'old', '{}', "
        "CASE WHEN n % 2 = 0 THEN now() - interval '366 days' END, "
        "CASE WHEN n % 2 = 1 THEN now() - interval '366 days' END FROM generate_series(1, $1) n",
        api_keys.MAX_KEYS,
    )
    await make(database)
    assert await sql.fetchval("SELECT count(*) FROM api_key") == 1
    await sql.execute(
        "INSERT INTO api_key (prefix, key_hash, name, scopes) "
        "SELECT 'new' || n, sha256('x'), 'new', '{}' FROM generate_series(2, $1) n",
        api_keys.MAX_KEYS,
    )
    with pytest.raises(api_keys.TooManyApiKeysError):
        await make(database)


@pytest.mark.parametrize("route", VISITORS, ids=name)
async def test_a_strangers_token_opens_nothing_and_an_id_of_another_visitor_is_like_no_id(
    client: httpx.AsyncClient, sql: asyncpg.Connection, route: APIRoute
) -> None:
    method, path = call(route)
    assert (await client.request(method, path)).status_code == 401
    assert (await client.request(method, path, headers=bearer("x" * 43))).status_code in {401, 422}
    if NOBODY not in path:
        return
    owner = (await client.post("/v1/chat/sessions", json={})).json()
    stranger = bearer((await client.post("/v1/chat/sessions", json={})).json()["session_token"])
    message = await sql.fetchval("SELECT id FROM chat_messages WHERE conversation_id = $1", owner["session_id"])
    body = BODIES.get(name(route))
    unknown = await client.request(method, path, headers=stranger, json=body)
    assert unknown.status_code in {401, 404}
    for foreign in (owner["session_id"], str(message)):
        answer = await client.request(method, path.replace(NOBODY, foreign), headers=stranger, json=body)
        assert answer.status_code == unknown.status_code
        assert answer.text.replace(answer.headers["X-Request-ID"], "") == unknown.text.replace(
            unknown.headers["X-Request-ID"], ""
        )


async def test_a_key_while_postgresql_is_away_is_503_and_not_401(app: FastAPI, client: httpx.AsyncClient) -> None:
    away = Database("postgresql+asyncpg://nobody@127.0.0.1:9/nothing", pool_size=1)
    app.state.door = Door(away, admin_key=None)
    for key in (UNKNOWN_KEY, UNKNOWN_KEY[:-1] + "B"):
        answer = await client.get("/v1/leads", headers=bearer(key))
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert answer.headers["Retry-After"]
    assert (await client.get("/v1/leads", headers=bearer("short"))).status_code == 401
    await away.dispose()
