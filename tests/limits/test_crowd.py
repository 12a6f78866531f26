"""A hundred visitors who behave beside one who does not, with the limits as they are delivered.

How long they wait is measured (bench/crowd.py); here nobody is refused for what somebody else does.
"""

import asyncio
import ssl
from collections import Counter
from pathlib import Path

import httpx

from app.core.settings import Settings
from app.web.pacing import AT_ONCE, PER_SECOND
from tests.limits.conftest import BEHIND_A_PROXY, from_address, sample
from tests.limits.test_pacing import CONNECTIONS, OVER_THE_LIMIT, flood
from tests.processes import api
from tests.talk import open_session

VISITORS = 100
MESSAGES = 6
PAUSE_SECONDS = 2.5
"""Between two messages of a visitor: 24 a minute, of the 30 that are delivered."""
TEXTS = ("Dzień dobry", "Ile kosztuje wykończenie 52 m2?", "A pakiet wyżej?", "Ile to trwa?")


def delivered() -> dict[str, str]:
    """The limits that hold where nobody sets any."""
    names = ("chat_rate_limit", "api_rate_limit_hour", "api_rate_limit_minute", "bulk_rate_limit")
    settings = Settings()
    return {name.upper(): getattr(settings, name) for name in names}


async def visit(client: httpx.AsyncClient, number: int) -> list[int]:
    """Talk as a visitor does, from an address of one's own; gives the statuses of the answers."""
    await asyncio.sleep(PAUSE_SECONDS * number / VISITORS)
    own = from_address(f"198.18.0.{number + 1}")
    client.headers.update(own)
    token = await open_session(client)
    statuses = []
    for turn in range(MESSAGES):
        text = TEXTS[turn % len(TEXTS)]
        answer = await client.post("/v1/chat/messages", json={"text": text}, headers=token)
        statuses.append(answer.status_code)
        await asyncio.sleep(PAUSE_SECONDS)
    return statuses


async def test_nobody_is_refused_for_what_another_does(environment: dict[str, str], tmp_path: Path) -> None:
    async with api(environment | delivered() | BEHIND_A_PROXY, tmp_path / "api.log") as (process, client):
        certificates = ssl.create_default_context()  # a hundred of them would hold up the one who floods for seconds

        async def arrive(number: int) -> list[int]:
            async with httpx.AsyncClient(base_url=client.base_url, timeout=20, verify=certificates) as own:
                return await visit(own, number)

        flooding = asyncio.create_task(flood(client, OVER_THE_LIMIT, seconds=PAUSE_SECONDS * MESSAGES))
        visits = await asyncio.gather(*(arrive(number) for number in range(VISITORS)))
        answers, seconds = await flooding
        said = Counter(status for visit in visits for status in visit)
        assert set(said) <= {201, 503}, said  # a machine that does more than this test may be too late for one or two
        assert said[201] >= 0.99 * said.total(), said
        assert PER_SECOND < answers.count(429) <= AT_ONCE + PER_SECOND * seconds + CONNECTIONS
        assert await sample(client, "http_requests_shed_total", reason="overloaded") == 0
        assert "[error" not in process.output, process.output
