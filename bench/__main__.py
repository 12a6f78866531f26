"""`make bench`: measure everything in one run and print it beside its target. ARGS="--quick" for a short run."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.config import Config

from app.core.settings import Settings
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from bench import alerts, chat, engine, start
from bench.processes import ROOT, BenchError
from bench.report import Report, progress


def main() -> int:
    """Run; 0 when everything was measured, whatever the numbers, and 1 when something could not be."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure against DESIGN's targets.")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a first impression")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there too")
    chosen = parser.parse_args()
    report = Report()
    try:
        with tempfile.TemporaryDirectory(prefix="novahouse-bench-") as folder:
            _measure(Path(folder), report, quick=chosen.quick)
    except BenchError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"\n{report.table()}\n")
    if chosen.json:
        report.save(chosen.json)
    return 0


def _measure(folder: Path, report: Report, *, quick: bool) -> None:
    progress("the engine")
    engine.measure(report)
    progress("starting everything once")
    start.measure(folder, report)
    folder.chmod(0o755)  # as root, PostgreSQL runs as somebody else
    with EmbeddedPostgres(folder / "postgres", durable=True) as postgres, EmbeddedRedis(folder / "redis") as redis:
        config = Config(ROOT / "alembic.ini")
        config.attributes["database_url"] = Settings(database_url=postgres.url).database_url
        command.upgrade(config, "head")
        environment = {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url, "LOG_LEVEL": "WARNING"}
        chat.measure(environment, folder, report, rounds=2 if quick else 4, seconds=3 if quick else 6)
        environment["LOG_LEVEL"] = "INFO"
        size = {"alerts": 500, "seconds": 5} if quick else {"alerts": 3_000, "seconds": 20}
        asyncio.run(alerts.measure(environment, folder, report, **size))


if __name__ == "__main__":
    sys.exit(main())
