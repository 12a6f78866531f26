"""The service as limits meet it: real processes, small numbers."""

from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
from alembic import command
from prometheus_client.parser import text_string_to_metric_families

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.conftest import ADMIN_KEY, alembic_config, new_database
from tests.processes import api, eventually

SMALL = {
    "CHAT_RATE_LIMIT": "5 per minute",
    "API_RATE_LIMIT_HOUR": "200 per hour",
    "API_RATE_LIMIT_MINUTE": "6 per minute",
    "BULK_RATE_LIMIT": "50 per minute",
    "RATE_LIMIT_SECONDS": "2",
}
"""Redis is waited for as long as a busy machine may take: a check that comes late is counted elsewhere."""
BEHIND_A_PROXY = {"TRUSTED_PROXIES": "127.0.0.0/8"}
PRODUCTION = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "s" * 40,
    "ADMIN_API_KEY": "a" * 40,
    "PUBLIC_BASE_URL": "https://api.example.com",
}


@pytest.fixture
def environment(database_url: str, redis_url: str) -> dict[str, str]:
    """A service with ample limits on this test's own servers."""
    return {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ADMIN_API_KEY": ADMIN_KEY, "DRAIN_SECONDS": "0"}


@pytest.fixture(scope="session")
def lasting_url(postgres: EmbeddedPostgres) -> str:
    """A database for services that outlive a test: what they write in the background meets no other test."""
    url = new_database(postgres, "limits")
    command.upgrade(alembic_config(url), "head")
    return url


@pytest.fixture(scope="session")
async def small_service(
    lasting_url: str, redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[str]:
    """Where a service with small limits behind a proxy on this machine answers; one for this test process."""
    environment = {
        "DATABASE_URL": lasting_url,
        "REDIS_URL": redis.url,
        "ADMIN_API_KEY": ADMIN_KEY,
        **SMALL,
        **BEHIND_A_PROXY,
    }
    async with api(environment, tmp_path_factory.mktemp("small") / "api.log") as (_, client):
        yield str(client.base_url)


@pytest.fixture
async def small(small_service: str, redis_url: str, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """That service to a visitor whom no other test sends: what it remembers of others is nobody's here."""
    digest = sha256(request.node.nodeid.encode()).digest()
    address = f"100.{64 + digest[0] % 64}.{digest[1]}.{digest[2]}"
    async with httpx.AsyncClient(base_url=small_service, timeout=10, headers=from_address(address)) as client:

        async def ready() -> bool:
            return (await client.get("/health/ready")).status_code == 200

        await eventually(ready)  # another test may have killed PostgreSQL
        yield client


@pytest.fixture(scope="session")
async def direct(
    lasting_url: str, redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """A service that trusts no proxy, with ample limits and started as plainly as can be."""
    environment = {"DATABASE_URL": lasting_url, "REDIS_URL": redis.url, "API_RATE_LIMIT_HOUR": "100000 per hour"}
    async with api(environment, tmp_path_factory.mktemp("direct") / "api.log") as (_, client):
        yield client


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """A Redis that a test may stop."""
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server


def from_address(address: str) -> dict[str, str]:
    """What a proxy in front adds for a visitor."""
    return {"X-Forwarded-For": address}


def left(response: httpx.Response, policy: str) -> int:
    """How many requests a policy still lets through."""
    for part in response.headers["RateLimit"].split(", "):
        name, remaining, _ = part.split(";")
        if name == f'"{policy}"':
            return int(remaining.removeprefix("r="))
    raise AssertionError(f"{policy} is not in {response.headers['RateLimit']}")


async def sample(client: httpx.AsyncClient, name: str, **labels: str) -> float:
    """One number of /metrics; 0 when it is not there."""
    for family in text_string_to_metric_families((await client.get("/metrics")).text):
        for each in family.samples:
            if each.name == name and labels.items() <= each.labels.items():
                return each.value
    return 0.0
