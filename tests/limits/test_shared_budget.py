"""What all processes may spend together, such as calls of a model: counted as requests are, without a 429."""

from collections.abc import AsyncIterator, Mapping

import pytest

from app.web.enforcement import Enforcement
from tests.processes import free_port

VALUES = {"chat": "5/minute", "api-hour": "5/hour", "api-minute": "5/minute", "bulk": "5/minute", "model": "3 per day"}


async def unchanged(_: Mapping[str, int]) -> Mapping[str, str]:
    return {}


def process(redis_url: str, **values: str) -> Enforcement:
    return Enforcement([], VALUES | values, redis_url=redis_url, refresh=unchanged)


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
