"""One client who asks in vain for ever: told so a bounded number of times a second, at nobody's cost."""

import asyncio
import re
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from app.web.pacing import AT_ONCE, LONGEST_SECONDS, MAX_CLIENTS, PER_SECOND, Pace
from tests.limits.conftest import BEHIND_A_PROXY, PRODUCTION, SMALL, from_address, sample
from tests.limits.test_overload import connection
from tests.processes import api, eventually

CONNECTIONS = 20
BATCH = 50
SECONDS = 3.0
FLOODER = from_address("8.8.8.8")
ORIGIN = "https://www.example.com"


def request(method: str, path: str, **headers: str) -> bytes:
    """A request of the one who floods."""
    fields = {"Host": "x"} | FLOODER | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode()


OVER_THE_LIMIT = request("GET", "/v1/packages")


async def flood(client: httpx.AsyncClient, ask: bytes, *, seconds: float = SECONDS) -> tuple[list[int], float]:
    """Ask on all connections, as fast as it goes; gives the answers' statuses and for how many seconds they came."""
    statuses: list[int] = []

    async def ask_for_ever() -> None:
        while True:
            reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
            try:
                writer.write(ask * BATCH)
                for _ in range(BATCH):
                    head = await reader.readuntil(b"\r\n\r\n")
                    statuses.append(int(head.split(b" ", 2)[1]))
                    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
                    await reader.readexactly(int(length[1]) if length else 0)
                    if b"connection: close" in head.lower():
                        break
            finally:
                writer.transport.abort()

    began = time.monotonic()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(ask_for_ever() for _ in range(CONNECTIONS)))
    return statuses, time.monotonic() - began


@pytest.mark.parametrize(
    ("ask", "usual", "more"),
    [
        (OVER_THE_LIMIT, 429, {}),
        (request("GET", "/v1/packages", Host="elsewhere.example"), 400, PRODUCTION),
        (
            request("OPTIONS", "/v1/packages", Origin=ORIGIN, Access_Control_Request_Method="GET"),
            200,
            {"ALLOWED_ORIGINS": ORIGIN},
        ),
        (request("GET", "/health/live"), 200, {}),
        (b"NONSENSE\r\n\r\n", 400, {}),
    ],
    ids=["over the limit", "another host", "preflights", "is it alive", "no HTTP"],
)
async def test_what_no_limit_counts_is_answered_so_often_and_no_more(
    environment: dict[str, str], tmp_path: Path, ask: bytes, usual: int, more: dict[str, str]
) -> None:
    async with api(environment | SMALL | BEHIND_A_PROXY | more, tmp_path / "api.log") as (_, client):
        statuses, seconds = await flood(client, ask)
        assert AT_ONCE < len(statuses) <= AT_ONCE + PER_SECOND * seconds + CONNECTIONS
        assert statuses.count(usual) >= len(statuses) - 6  # what the limit let through before
        assert await sample(client, "http_refusals_paced_total") > 0


async def test_who_behaves_meets_no_pace(environment: dict[str, str], tmp_path: Path) -> None:
    """Supervisors too, whose address is private: they are answered at once however often they ask."""
    async with api(environment | SMALL | BEHIND_A_PROXY, tmp_path / "api.log") as (_, client):
        flooding = asyncio.create_task(flood(client, OVER_THE_LIMIT))

        async def it_waits() -> bool:
            return await sample(client, "http_refusals_paced_total") > 0

        await eventually(it_waits)
        async with httpx.AsyncClient(base_url=client.base_url, timeout=10) as others:
            for number in range(30):
                answer = await others.get("/v1/packages", headers=from_address(f"8.8.4.{number}"))
                assert answer.status_code == 200
        await flooding
        paced = await sample(client, "http_refusals_paced_total")
        for _ in range(2 * AT_ONCE):
            assert (await client.get("/health/live")).status_code == 200
        assert await sample(client, "http_refusals_paced_total") == paced


async def test_connections_that_wait_for_a_refusal_make_room(environment: dict[str, str], tmp_path: Path) -> None:
    bound = {"MAX_CONNECTIONS": "40"}
    async with api(environment | SMALL | BEHIND_A_PROXY | bound, tmp_path / "api.log") as (_, client):
        with ExitStack() as stack:
            for _ in range(40):
                stack.enter_context(connection(client, OVER_THE_LIMIT * BATCH))

            async def they_wait() -> bool:
                return await sample(client, "http_refusals_paced_total") >= 30

            await eventually(they_wait)
            for number in range(20):
                async with httpx.AsyncClient(base_url=client.base_url, timeout=10) as newcomer:
                    answer = await newcomer.get("/v1/packages", headers=from_address(f"8.8.4.{number}"))
                    assert answer.status_code == 200
            assert await sample(client, "http_connections") <= 41


def test_a_burst_passes_and_then_so_many_a_second() -> None:
    pace = Pace()
    assert [pace.delay("one", 1000.0) for _ in range(AT_ONCE)] == pytest.approx([0.0] * AT_ONCE, abs=1e-9)
    assert [pace.delay("one", 1000.0) for _ in range(3)] == pytest.approx([n / PER_SECOND for n in (1, 2, 3)])
    assert pace.delay("another", 1000.0) == 0.0


def test_nobody_waits_longer_than_the_longest_wait_and_a_rest_makes_up_for_all() -> None:
    pace = Pace()
    delays = [pace.delay("one", 1000.0) for _ in range(10 * AT_ONCE)]
    assert max(delays) == pytest.approx(LONGEST_SECONDS)
    rest = 1000.0 + LONGEST_SECONDS + AT_ONCE / PER_SECOND
    assert [pace.delay("one", rest) for _ in range(AT_ONCE)] == pytest.approx([0.0] * AT_ONCE)


def test_only_so_many_clients_are_remembered() -> None:
    pace = Pace()
    for number in range(MAX_CLIENTS + 10):
        pace.delay(str(number), 1000.0)
    assert len(pace) == MAX_CLIENTS
