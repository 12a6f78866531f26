"""How long an alert takes from the visitor's consenting message to the receiver, through the whole chain."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from bench.alerts import until
from bench.processes import BenchError, http_server, module
from bench.report import Report, percentile, progress

LEADS_PER_SECOND = 20
CONSENT = "tak, wyrażam zgodę na kontakt w sprawie oferty"
_WARM_UP_LEADS = 5


async def measure(environment: Mapping[str, str], folder: Path, report: Report, *, receiver: str, seconds: int) -> None:
    """Have `LEADS_PER_SECOND` visitors a second leave their number for `seconds`, and report the delays.

    A delay begins when the consenting message is sent and ends when the receiver has read the alert that names the
    visitor's number. The worker sweeps only once, at its start, so each alert comes by way of Redis.
    """
    with (
        http_server("app.main:app", environment=environment, log=folder / "api.log", path="/health/ready") as api,
        module(
            "arq", "worker.settings.WorkerSettings", environment=environment, log=folder / "latency-worker.log"
        ) as w,
    ):
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:

            async def worker_is_ready() -> bool:
                return "worker_ready" in w.output()

            await until(worker_is_ready, "the worker starts")
            visitors = _Visitors(client, api.base, receiver)
            await visitors.come(0, _WARM_UP_LEADS)
            progress(f"{LEADS_PER_SECOND * seconds} leads at {LEADS_PER_SECOND} a second")
            delays = await visitors.come(_WARM_UP_LEADS, LEADS_PER_SECOND * seconds)
    report.add(f"request to receiver at {LEADS_PER_SECOND}/s, p50 ms", percentile(delays, 50), at_most=100)
    report.add(f"request to receiver at {LEADS_PER_SECOND}/s, p99 ms", percentile(delays, 99), at_most=500)


class _Visitors:
    """People who leave a telephone number of their own and agree to be called."""

    def __init__(self, client: httpx.AsyncClient, api: str, receiver: str) -> None:
        self._client = client
        self._api = api
        self._receiver = receiver

    async def come(self, first: int, count: int) -> list[float]:
        """Let `count` of them come at the set rate; gives each one's delay in milliseconds."""
        began = asyncio.get_running_loop().time()
        tasks = []
        for number in range(count):
            await asyncio.sleep(began + number / LEADS_PER_SECOND - asyncio.get_running_loop().time())
            tasks.append(asyncio.create_task(self._leave_number(f"+48691{first + number:06d}")))
        sent = dict(await asyncio.gather(*tasks))
        arrived: dict[str, float] = {}

        async def everyone_arrived() -> bool:
            seen = (await self._client.get(self._receiver)).json()
            arrived.update((phone, at) for at, phone in reversed(seen))
            return sent.keys() <= arrived.keys()

        await until(everyone_arrived, "every alert arrives")
        return [(arrived[phone] - at) * 1000 for phone, at in sent.items()]

    async def _leave_number(self, phone: str) -> tuple[str, float]:
        opened = (await self._client.post(f"{self._api}/v1/chat/sessions")).raise_for_status().json()
        headers = {"Authorization": f"Bearer {opened['session_token']}"}
        await self._say(f"Mój telefon: {phone}", headers)
        sent_at = time.time()
        known = (await self._say(CONSENT, headers))["context"]
        if known["phone"] != phone or not known["consent_contact"]:
            raise BenchError("the chat did not take a telephone number and a consent")
        return phone, sent_at

    async def _say(self, text: str, headers: Mapping[str, str]) -> dict[str, dict[str, object]]:
        answer = await self._client.post(f"{self._api}/v1/chat/messages", json={"text": text}, headers=headers)
        turn: dict[str, dict[str, object]] = answer.raise_for_status().json()
        return turn
