"""`novahouse keys`, as a process."""

import json
import re

import asyncpg
import httpx
import pytest

from tests.alerts import rows
from tests.alerts.test_cli import ME, novahouse
from tests.operations.keys import bearer

KEY = re.compile(r"nh_[a-z0-9]{8}_[A-Za-z0-9_-]{43}")


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """The database of the test."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url}


async def test_a_key_is_made_shown_once_listed_and_revoked(
    client: httpx.AsyncClient, sql: asyncpg.Connection, environment: dict[str, str]
) -> None:
    empty = await novahouse("keys", "list", environment=environment)
    assert empty.out == "No API keys.\n", empty.err
    arguments = ("--name", "crm-sync", "--scope", "leads:write", "--scope", "leads:read", "--expires-days", "30")
    made = await novahouse("keys", "create", *arguments, environment=environment)
    (key,) = KEY.findall(made.out)
    assert "crm-sync" in made.out
    assert "in 29 d" in made.out
    assert (await client.get("/v1/leads", headers=bearer(key))).status_code == 200
    assert (await client.get("/v1/status", headers=bearer(key))).status_code == 403
    listed = await novahouse("keys", "list", environment=environment)
    assert "leads:read leads:write" in listed.out
    as_json = await novahouse("keys", "list", "--json", environment=environment)
    (item,) = json.loads(as_json.out)["items"]
    assert (item["name"], item["usable"], item["scopes"]) == ("crm-sync", True, ["leads:read", "leads:write"])
    assert key not in listed.out + as_json.out
    for _ in range(2):
        revoked = await novahouse("keys", "revoke", item["prefix"], environment=environment)
        assert "revoked" in revoked.out, revoked.err
    assert (await client.get("/v1/leads", headers=bearer(key))).status_code == 401
    assert [entry[:3] for entry in await rows.actions(sql)] == [
        (ME, "api_key.create", item["prefix"]),
        (ME, "api_key.revoke", item["prefix"]),
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--name", "Nie tak", "--scope", "admin"), "--name"),
        (("create", "--name", "crm", "--scope", "everything"), "--scope"),
        (("create", "--name", "crm"), "--scope"),
        (("create", "--name", "crm", "--scope", "admin", "--expires-days", "0"), "--expires-days"),
        (("revoke", "nobody"), "no API key with this prefix"),
    ],
    ids=["name", "scope", "no scope", "expiry", "unknown prefix"],
)
async def test_what_makes_no_sense_is_refused(
    environment: dict[str, str], sql: asyncpg.Connection, arguments: tuple[str, ...], said: str
) -> None:
    ended = await novahouse("keys", *arguments, environment=environment)
    assert ended.code != 0
    assert said in ended.err
    assert await sql.fetchval("SELECT count(*) FROM api_key") == 0
