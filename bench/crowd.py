"""Visitors who behave, alone and beside one client who floods, with the limits on as they are delivered."""

import asyncio
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx

from bench import wrk
from bench.chat import lua_string
from bench.messages import TYPICAL
from bench.processes import BenchError, http_server
from bench.report import Report, percentile, progress

VISITORS: Final = 100
FLOOD_CONNECTIONS: Final = 20
ROUNDS: Final = 8
"""Alone and beside the flood by turns: a machine changes its speed, and one hiccup of it is the p99 of its round."""
PAUSE_SECONDS: Final = 2.5
"""Between two messages of a visitor: 24 a minute, of the 30 that are allowed."""
_CREATED: Final = 201


def measure(environment: Mapping[str, str], folder: Path, report: Report, *, seconds: int) -> None:
    """Let the visitors talk for `seconds` alone and as long beside the flood, by turns; report p99s and their ratio.

    Raises BenchError when a visitor who behaves is refused.
    """
    own = {name: value for name, value in environment.items() if not name.endswith(("_LIMIT", "_HOUR", "_MINUTE"))}
    with http_server(
        "app.main:app",
        environment=own | {"TRUSTED_PROXIES": "127.0.0.1/32"},
        log=folder / "crowd.log",
        path="/health/ready",
    ) as ours:
        alone, beside, refused = asyncio.run(_crowd(ours.base, folder / "flood.lua", seconds=seconds))
    ratios = [ours / theirs for ours, theirs in zip(beside, alone, strict=True)]
    report.add_rounds(f"{VISITORS} visitors: p99 ms, alone", alone)
    report.add_rounds(f"{VISITORS} visitors: p99 ms, beside one who floods", beside)
    report.add_rounds(f"{VISITORS} visitors: p99 beside the flood / alone", ratios, at_most=1.5)
    report.add("429s a second to the one who floods", refused / seconds)


async def _crowd(base: str, script: Path, *, seconds: int) -> tuple[list[float], list[float], int]:
    """Each round's p99 in milliseconds, alone and beside the flood, and how often the one who floods was refused."""
    limits = httpx.Limits(max_connections=VISITORS, max_keepalive_connections=VISITORS)
    async with httpx.AsyncClient(base_url=base, timeout=10, trust_env=False, limits=limits) as client:
        visitors = await asyncio.gather(*(_arrive(client, number) for number in range(VISITORS)))
        _write_flood(script)
        await _talk(client, visitors, seconds=PAUSE_SECONDS)  # connections to PostgreSQL come with the first messages
        alone, beside, refused = list[float](), list[float](), 0
        progress(f"{VISITORS} visitors for {2 * seconds} s, by turns alone and beside one who floods")
        for _ in range(ROUNDS):
            alone.append(percentile(await _talk(client, visitors, seconds=seconds / ROUNDS), 99))
            flood = asyncio.create_task(_flood(f"{base}/v1/chat/messages", script, seconds=seconds / ROUNDS))
            beside.append(percentile(await _talk(client, visitors, seconds=seconds / ROUNDS), 99))
            refused += await flood
        return alone, beside, refused


async def _flood(url: str, script: Path, *, seconds: float) -> int:
    """Ask from one address as fast as it goes; gives how often it was refused."""
    return await asyncio.to_thread(wrk.flood, url, script=script, seconds=round(seconds), connections=FLOOD_CONNECTIONS)


async def _arrive(client: httpx.AsyncClient, number: int) -> dict[str, str]:
    """Open a session from an address of one's own; gives the headers that speak in it."""
    own = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250 + 1}"}
    opened = (await client.post("/v1/chat/sessions", headers=own)).raise_for_status()
    return own | {"Authorization": f"Bearer {opened.json()['session_token']}"}


async def _talk(client: httpx.AsyncClient, visitors: list[dict[str, str]], *, seconds: float) -> list[float]:
    """Every visitor's delays in milliseconds."""
    turns = max(1, round(seconds / PAUSE_SECONDS))

    async def one(number: int, headers: dict[str, str]) -> list[float]:
        delays = []
        await asyncio.sleep(PAUSE_SECONDS * number / len(visitors))
        for _ in range(turns):
            began = time.monotonic()
            answer = await client.post("/v1/chat/messages", json={"text": TYPICAL}, headers=headers)
            delays.append((time.monotonic() - began) * 1000)
            if answer.status_code != _CREATED:
                raise BenchError(f"a visitor who behaves was answered {answer.status_code}: {answer.text[:200]}")
            await asyncio.sleep(max(0.0, PAUSE_SECONDS - (time.monotonic() - began)))
        return delays

    said = await asyncio.gather(*(one(number, headers) for number, headers in enumerate(visitors)))
    return [delay for delays in said for delay in delays]


def _write_flood(script: Path) -> None:
    """One address that says the same for ever, with a token of its own making."""
    script.write_text(
        f"""
wrk.method = "POST"
wrk.body = {lua_string(json.dumps({"text": TYPICAL}))}
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {"x" * 43}"
wrk.headers["X-Forwarded-For"] = "198.19.0.1"
""",
        encoding="utf-8",
    )
