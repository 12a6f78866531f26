"""What all processes may spend together, such as calls of a model: counted as requests are, without a 429."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from app.web import enforcement
from app.web.enforcement import Enforcement, Refresh
from tests.processes import eventually, free_port

VALUES = {"chat": "5/minute", "api-hour": "5/hour", "api-minute": "5/minute", "bulk": "5/minute", "model": "3 per day"}


async def unchanged(_: Mapping[str, int]) -> Mapping[str, str]:
    return {}


def process(redis_url: str, *, refresh: Refresh = unchanged, **values: str) -> Enforcement:
    return Enforcement([], VALUES | values, redis_url=redis_url, refresh=refresh)


@asynccontextmanager
async def kept_fresh(redis_url: str, refresh: Refresh) -> AsyncIterator[Enforcement]:
    """A process that looks for changes."""
    one = process(redis_url, refresh=refresh)
    looking = asyncio.create_task(one.keep_fresh())
    try:
        yield one
    finally:
        looking.cancel()
        await one.aclose()


@pytest.fixture
async def two(redis_url: str) -> AsyncIterator[tuple[Enforcement, Enforcement]]:
    """Two processes with one Redis."""
    both = process(redis_url), process(redis_url)
    yield both
    for one in both:
        await one.aclose()


async def test_two_processes_spend_one_budget(two: tuple[Enforcement, Enforcement]) -> None:
    one, other = two
    assert [await each.take("model") for each in (one, other, one, other, one)] == [True] * 3 + [False] * 2


async def test_a_budget_of_nothing_is_a_switch(redis_url: str) -> None:
    off = process(redis_url, model="0 per day")
    try:
        assert not await off.take("model")
    finally:
        await off.aclose()


async def test_without_redis_each_process_keeps_to_it_alone() -> None:
    lonely = process(f"redis://127.0.0.1:{free_port()}/0")
    try:
        assert [await lonely.take("model") for _ in range(5)] == [True] * 3 + [False] * 2
    finally:
        await lonely.aclose()


async def test_a_budget_changes_while_the_service_runs(redis_url: str) -> None:
    async def lowered(_: Mapping[str, int]) -> Mapping[str, str]:
        return {"model": "1 per day"}

    async with kept_fresh(redis_url, lowered) as one:

        async def known() -> bool:
            return one.values["model"] == "1 per day"

        await eventually(known)
        assert [await one.take("model") for _ in range(2)] == [True, False]


async def test_a_value_that_nobody_can_read_changes_nothing(redis_url: str) -> None:
    async def spoilt(_: Mapping[str, int]) -> Mapping[str, str]:
        return {"model": "often", "llm": "1 per day", "chat": "1 per hour"}

    async with kept_fresh(redis_url, spoilt) as one:

        async def known() -> bool:
            return one.values["chat"] == "1 per hour"

        await eventually(known)
        assert one.values == VALUES | {"chat": "1 per hour"}


async def test_what_was_refused_while_the_database_was_away_is_told_later(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enforcement, "REFRESH_SECONDS", 0.01)
    away, heard = True, [0]

    async def refresh(limited: Mapping[str, int]) -> Mapping[str, str]:
        if away:
            raise ConnectionRefusedError
        heard.append(limited.get("model", 0))
        return {}

    async with kept_fresh(redis_url, refresh) as one:
        for _ in range(5):
            await one.take("model")
            await asyncio.sleep(0.02)
        away = False

        async def told() -> bool:
            return sum(heard) == 2

        await eventually(told)
