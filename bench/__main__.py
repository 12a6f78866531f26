"""`make bench`: measure everything in one run and print it beside its target. ARGS="--quick" for a short run."""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import httpx
from alembic import command
from alembic.config import Config
from asyncpg import PostgresError
from redis.exceptions import RedisError

from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.process import DevstackError
from app.devstack.redis import EmbeddedRedis
from bench import alerts, audit, chat, crowd, engine, latency, memory, purge, start, wrk
from bench.processes import ROOT, BenchError, module, serving
from bench.report import Report, progress


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    engine_rounds: int
    chat_rounds: int
    chat_seconds: int
    sessions: int
    alert_rounds: int
    alerts: int
    latency_seconds: int
    crowd_seconds: int
    audit_rows: int
    audit_rounds: int
    purge_rows: int


FULL = Size(
    engine_rounds=50,
    chat_rounds=5,
    chat_seconds=6,
    sessions=2_000,
    alert_rounds=3,
    alerts=1_000,
    latency_seconds=20,
    crowd_seconds=60,
    audit_rows=300_000,
    audit_rounds=3,
    purge_rows=1_000_000,
)
QUICK = Size(
    engine_rounds=10,
    chat_rounds=2,
    chat_seconds=2,
    sessions=500,
    alert_rounds=1,
    alerts=300,
    latency_seconds=4,
    crowd_seconds=5,
    audit_rows=50_000,
    audit_rounds=1,
    purge_rows=100_000,
)


AMPLE = "1000000000 per minute"


def main() -> int:
    """Run; 0 when everything was measured, whatever the numbers, and 1 when something could not be."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure against DESIGN's targets.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a first impression")
    parser.add_argument(
        "--memory",
        nargs="?",
        type=int,
        const=200_000,
        metavar="COUNT",
        help="only whether memory stays flat: so many clients, conversations and alerts (200,000; 15 minutes)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    chosen = parser.parse_args()
    if chosen.json and not chosen.json.parent.is_dir():
        parser.error(f"there is no folder {chosen.json.parent}")
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # so that every end undoes what was started
    report, began = Report(), time.monotonic()
    progress(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}: other work on this machine disturbs the numbers")
    try:
        wrk.program()
        with tempfile.TemporaryDirectory(prefix="novahouse-bench-") as folder:
            if chosen.memory:
                _measure_memory(Path(folder), report, chosen.memory)
            else:
                _measure(Path(folder), report, QUICK if chosen.quick else FULL)
        sys.stdout.write(f"\n{report.table()}\n\nMeasured in {time.monotonic() - began:.0f} s.\n")
        if chosen.json:
            report.save(chosen.json)
    except (BenchError, DevstackError) as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except (httpx.HTTPError, OSError, PostgresError, RedisError) as error:
        sys.stderr.write(f"bench: {type(error).__name__}: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _measure(folder: Path, report: Report, size: Size) -> None:
    folder.chmod(0o711)  # as root, PostgreSQL runs as somebody else
    progress("the engine")
    engine.measure(report, rounds=size.engine_rounds)
    progress("make up")
    start.measure(folder, report)
    with EmbeddedPostgres(folder / "postgres", durable=True) as postgres, EmbeddedRedis(folder / "redis") as redis:
        _migrate(postgres.url)
        alerts_url = asyncio.run(_copy(postgres, "bench_alerts"))
        audit_url = asyncio.run(_copy(postgres, "bench_audit"))
        purge_url = asyncio.run(_copy(postgres, "bench_purge"))
        progress("the audit log")
        asyncio.run(audit.measure(audit_url, report, rounds=size.audit_rounds, rows=size.audit_rows))
        with serving(
            lambda port: module("bench.receiver", str(port), environment={}, log=folder / "receiver.log"), path="/"
        ) as receiver:
            environment = _environment(postgres, redis, receiver.base)
            chat.measure(
                environment,
                folder,
                report,
                rounds=size.chat_rounds,
                seconds=size.chat_seconds,
                sessions=size.sessions,
            )
            crowd.measure(environment, folder, report, seconds=size.crowd_seconds)
            environment |= {"DATABASE_URL": alerts_url, "REDIS_URL": f"{redis.url.removesuffix('/0')}/1"}
            asyncio.run(alerts.measure(environment, folder, report, rounds=size.alert_rounds, alerts=size.alerts))
            asyncio.run(
                latency.measure(environment, folder, report, receiver=receiver.base, seconds=size.latency_seconds)
            )
            environment |= {"DATABASE_URL": purge_url}
            progress(f"the purge of {size.purge_rows:,} rows")
            asyncio.run(purge.measure(environment, report, rows=size.purge_rows))
            purge.measure_chat(environment, folder, report, rows=size.purge_rows, sessions=size.sessions)


def _measure_memory(folder: Path, report: Report, count: int) -> None:
    folder.chmod(0o711)  # as above
    with (
        EmbeddedPostgres(folder / "postgres", durable=False) as postgres,
        EmbeddedRedis(folder / "redis") as redis,
        serving(
            lambda port: module("bench.receiver", str(port), environment={}, log=folder / "receiver.log"), path="/"
        ) as receiver,
    ):
        _migrate(postgres.url)
        environment = _environment(postgres, redis, receiver.base) | {"LOG_LEVEL": "WARNING"}
        asyncio.run(memory.measure(environment, folder, report, count=count))


def _environment(postgres: EmbeddedPostgres, redis: EmbeddedRedis, receiver: str) -> dict[str, str]:
    """What every measured process is told."""
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": redis.url,
        "SLACK_WEBHOOK_URL": f"{receiver}/hook",
        "LOG_LEVEL": "INFO",
        "DRAIN_SECONDS": "0",
        "ALERT_SWEEP_SECONDS": "3600",
        # limits count every request, and the load generator is one client
        **dict.fromkeys(("CHAT_RATE_LIMIT", "API_RATE_LIMIT_HOUR", "API_RATE_LIMIT_MINUTE"), AMPLE),
    }


def _migrate(url: str) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["database_url"] = Settings(database_url=url).database_url
    command.upgrade(config, "head")


async def _copy(postgres: EmbeddedPostgres, name: str) -> str:
    """Another migrated database, so that what is measured in it is not the chat's; gives its URL."""
    connection = await asyncpg.connect(postgres.url_of("postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE novahouse")
    finally:
        await connection.close()
    return postgres.url_of(name)


if __name__ == "__main__":
    sys.exit(main())
