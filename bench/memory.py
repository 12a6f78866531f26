"""Whether memory stays flat: distinct clients and conversations through the API, distinct alerts through a worker."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg
import psutil  # type: ignore[import-untyped]

from app.devstack.process import Process
from bench import wrk
from bench.alerts import SEED
from bench.processes import BenchError, http_server, module
from bench.report import Report, progress

WARM_UP: Final = 20_000
"""What caches that are bounded by construction need to fill."""
CONNECTIONS: Final = 50
_SECONDS: Final = 10
_CHUNK: Final = 10_000
_STALLED_SECONDS: Final = 30
_MEGABYTE: Final = 2**20
_OPEN: Final = "SELECT count(*) FROM outbound_alert WHERE state IN ('pending', 'sending', 'retrying')"

# Request n comes from the n-th address of 10.0.0.0/8 and opens a conversation.
_SCRIPT: Final = """
local n = 0
function init(args) n = tonumber(args[1]) end
function request()
  n = n + 1
  local a, b, c = math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256
  wrk.headers["X-Forwarded-For"] = "10." .. a .. "." .. b .. "." .. c
  return wrk.format("POST", nil, nil, '{"locale": "pl"}')
end
wrk.headers["Content-Type"] = "application/json"
"""


async def measure(environment: Mapping[str, str], folder: Path, report: Report, *, count: int) -> None:
    """Send `count` of each through one API and one worker; report what they grew by since WARM_UP, in megabytes."""
    api = await asyncio.to_thread(_api, environment, folder, count)
    worker = await _worker(environment, folder, count)
    report.add(f"API: grown by {count:,} clients and conversations, MB", api, at_most=20)
    report.add(f"worker: grown by {count:,} alerts, MB", worker, at_most=20)


def _api(environment: Mapping[str, str], folder: Path, count: int) -> float:
    script = folder / "memory.lua"
    script.write_text(_SCRIPT, encoding="utf-8")
    with http_server(
        "app.main:app",
        environment={**environment, "TRUSTED_PROXIES": "127.0.0.1/32"},
        log=folder / "memory-api.log",
        path="/health/ready",
    ) as ours:
        sent, before = 0, 0
        while sent < WARM_UP + count:
            load = wrk.run(
                f"{ours.base}/v1/chat/sessions",
                script=script,
                first=sent,
                seconds=_SECONDS,
                connections=CONNECTIONS,
            )
            sent += load.requests
            progress(f"API     {sent:8,} clients, {_resident(ours.process) / _MEGABYTE:6.1f} MB")
            if not before and sent >= WARM_UP:
                before = _resident(ours.process)
        return (_resident(ours.process) - before) / _MEGABYTE


async def _worker(environment: Mapping[str, str], folder: Path, count: int) -> float:
    connection = await asyncpg.connect(environment["DATABASE_URL"])
    quick = {**environment, "ALERT_SWEEP_SECONDS": "0.5"}
    try:
        with module(
            "arq", "worker.settings.WorkerSettings", environment=quick, log=folder / "memory-worker.log"
        ) as ours:
            before = 0
            for done in range(_CHUNK, WARM_UP + count + 1, _CHUNK):
                await connection.execute(SEED, _CHUNK)
                await _delivered(connection)
                progress(f"worker  {done:8,} alerts,  {_resident(ours) / _MEGABYTE:6.1f} MB")
                if done == WARM_UP:
                    before = _resident(ours)
            return (_resident(ours) - before) / _MEGABYTE
    finally:
        await connection.close()


async def _delivered(connection: asyncpg.Connection) -> None:
    """Return when nothing is left to deliver. Raises BenchError when it becomes no less."""
    left, since = await connection.fetchval(_OPEN), time.monotonic()
    while left:
        await asyncio.sleep(0.2)
        now = await connection.fetchval(_OPEN)
        if now < left:
            left, since = now, time.monotonic()
        elif time.monotonic() > since + _STALLED_SECONDS:
            raise BenchError(f"{now} alerts are not delivered")


def _resident(process: Process) -> int:
    return int(psutil.Process(process.pid).memory_info().rss)
