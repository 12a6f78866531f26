"""Counting itself: it agrees with the library, it is bounded, and what it promises about waiting is true."""

import asyncio
import gc
import math
import random
import time
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit

import psutil  # type: ignore[import-untyped]
import pytest
from limits import parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from app.core.keys import KeyRing
from app.devstack.redis import EmbeddedRedis
from app.web.client import Callers
from app.web.windows import MAX_ENTRIES, MAX_REFUSED, Check, MemoryWindows, SharedWindows, Window, Windows
from tests.listening import listening
from tests.processes import eventually

NOWHERE = "redis://127.0.0.1:9/0"
PLENTY = 10**9
GENEROUS_SECONDS = 5
"""On a machine that does other things too; without a bound of our own it would be for ever."""


@pytest.fixture
async def shared(redis_url: str) -> AsyncIterator[SharedWindows]:
    """Windows in this test process's Redis."""
    own = SharedWindows(redis_url)
    yield own
    await own.aclose()


def check_of(text: str, who: str, scope: str = "route") -> Check:
    item = parse(text)
    return Check("policy", item.amount, item.get_expiry(), item.key_for(who, scope))


async def test_the_library_s_own_limiter_counts_in_the_same_windows(shared: SharedWindows) -> None:
    library = SlidingWindowCounterRateLimiter(shared.storage)
    item = parse("20 per minute")
    generator = random.Random(1)  # noqa: S311  not a secret
    admitted = 0
    for _ in range(30):
        if generator.random() < 0.5:
            admitted += await library.hit(item, "somebody", "route")
        else:
            admitted += (await shared.acquire([check_of("20 per minute", "somebody")])).admitted
        assert (await library.get_window_stats(item, "somebody", "route")).remaining == 20 - admitted
    assert admitted == 20
    assert not await library.test(item, "somebody", "route")


async def test_a_window_slides_as_the_library_s_does(shared: SharedWindows) -> None:
    library = SlidingWindowCounterRateLimiter(shared.storage)
    item, ours = parse("10 per 2 seconds"), check_of("10 per 2 seconds", "ours")
    for _ in range(10):
        await library.hit(item, "library", "route")
        await shared.acquire([ours])
    for _ in range(40):
        verdict = await shared.acquire([ours])
        theirs = await library.hit(item, "library", "route")
        used = verdict.windows[0].weight(2) + verdict.admitted
        remaining = (await library.get_window_stats(item, "library", "route")).remaining
        assert abs((10 - used) - remaining) <= 1, (verdict, theirs)
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("where", ["redis", "memory"])
async def test_a_request_takes_from_all_of_its_windows_or_from_none(shared: SharedWindows, where: str) -> None:
    memory = MemoryWindows()
    wide, narrow = check_of("10 per hour", "x", "wide"), check_of("1 per hour", "x", "narrow")

    async def acquire(*checks: Check) -> int:
        verdict = await shared.acquire(checks) if where == "redis" else memory.acquire(checks)
        return verdict.windows[0].weight(3600) + verdict.admitted

    assert await acquire(wide, narrow) == 1
    assert [await acquire(wide, narrow) for _ in range(5)] == [1] * 5
    assert await acquire(wide) == 2


@pytest.mark.parametrize(
    ("limit", "window"),
    [
        (10, Window(before=0, fades=0, used=10, left=30)),
        (10, Window(before=10, fades=60, used=0, left=60)),
        (10, Window(before=40, fades=50, used=3, left=50)),
        (10, Window(before=3, fades=10, used=9, left=10)),
        (1, Window(before=1, fades=59.5, used=0, left=59.5)),
        (3, Window(before=0, fades=0, used=50, left=1)),
    ],
    ids=["full", "before", "lowered", "both", "one", "lowered now"],
)
def test_the_wait_is_as_long_as_needed_and_no_longer(limit: int, window: Window) -> None:
    length = 60

    def later(seconds: float) -> Window:
        if seconds < window.left:
            return Window(window.before, max(0.0, window.fades - seconds), window.used, window.left - seconds)
        return Window(window.used, max(0.0, length - (seconds - window.left)), 0, length - (seconds - window.left))

    wait = window.wait(Check("policy", limit, length, "key"))
    assert later(wait).weight(length) + 1 <= limit
    assert wait == 1 or later(wait - 1.002).weight(length) + 1 > limit


async def test_a_hundred_thousand_clients_take_bounded_memory() -> None:
    callers = Callers(["10.0.0.0/8"], KeyRing("secret"))
    windows = Windows(SharedWindows(NOWHERE), memory := MemoryWindows())
    before = psutil.Process().memory_info().rss
    try:
        for number in range(100_000):
            address = f"198.{18 + number // 65_536}.{number // 256 % 256}.{number % 256}"
            scope = {"client": ("10.0.0.1", 1), "scheme": "http", "headers": [(b"x-forwarded-for", address.encode())]}
            client = callers.identify(scope)
            assert client.address == address
            checks = [Check("p", 0 if number % 2 else PLENTY, 60, f"LIMITER/{client.hashed}/route")]
            await windows.acquire(checks)
        assert windows.away
        assert len(memory) <= MAX_ENTRIES
        assert len(windows._refused) <= MAX_REFUSED
        assert callers._client.cache_info().currsize < MAX_ENTRIES
        assert psutil.Process().memory_info().rss - before < 100 * 2**20
    finally:
        await windows.aclose()


async def test_a_window_in_memory_slides_too() -> None:
    check = check_of("10 per 2 seconds", "somebody")

    async def filled() -> tuple[MemoryWindows, float] | None:
        """Memory that is full, and the number of the window in which it became so; None when one ended meanwhile."""
        memory, began = MemoryWindows(), time.time() // check.length
        answers = [memory.acquire([check]).admitted for _ in range(11)]
        return (memory, began) if answers == [True] * 10 + [False] else None

    while (found := await filled()) is None:
        pass
    memory, number = found

    async def the_next_began() -> bool:
        return time.time() // check.length > number

    await eventually(the_next_began)
    (fresh,) = memory.acquire([replace(check, limit=100)]).windows
    assert (fresh.used, fresh.before) == (0, 10)
    assert fresh.weight(check.length) == math.floor(10 * fresh.fades / check.length)


async def test_whoever_was_seen_last_is_remembered_when_memory_is_full() -> None:
    memory = MemoryWindows(capacity=10)
    mine = check_of("3 per hour", "me")
    for number in range(100):
        memory.acquire([mine])
        memory.acquire([check_of("3 per hour", f"other {number}")])
    assert not memory.acquire([mine]).admitted
    assert len(memory) == 10


async def test_all_who_wait_when_redis_freezes_are_told_within_the_same_time(own_redis: EmbeddedRedis) -> None:
    windows = Windows(SharedWindows(own_redis.url), MemoryWindows())
    loop = asyncio.get_running_loop()
    await windows.acquire([check_of("9 per hour", "x")])
    own_redis.suspend()
    try:
        began = loop.time()
        answers = await asyncio.gather(*(windows.acquire([check_of("9 per hour", str(n))]) for n in range(500)))
        assert all(verdict.admitted for verdict in answers)
        assert loop.time() - began < GENEROUS_SECONDS
        assert windows.away
    finally:
        own_redis.resume()
        await windows.aclose()


@pytest.mark.parametrize("answer", [b"*0\r\n", b"$-1\r\n", b":1\r\n", b"*1\r\n:1\r\n", b"+OK\r\n"])
async def test_a_redis_that_answers_something_else_counts_as_away(redis_url: str, answer: bytes) -> None:
    parts = urlsplit(redis_url)
    asked: list[bytes] = []
    unheard: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        with closing(back):
            while words := await reader.read(65_536):
                if b"EVALSHA" in words:
                    writer.write(answer)
                    asked.append(words)
                else:
                    back.write(words)
                    writer.write(await there.read(65_536))

    async with listening(talk) as port:
        redis = SharedWindows(urlunsplit(parts._replace(netloc=f":{parts.password}@127.0.0.1:{port}")))
        windows = Windows(redis, MemoryWindows())
        assert (await windows.acquire([check_of("9 per hour", "x")])).admitted
        assert windows.away
        await windows.aclose()
    gc.collect()
    assert asked
    assert not unheard
