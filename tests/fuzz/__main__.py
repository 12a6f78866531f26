"""`python -m tests.fuzz`: Schemathesis against a real API process on real servers, with a key and a session.

Everything after the program's name goes to `schemathesis run`.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from alembic import command

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.conftest import ADMIN_KEY, alembic_config, new_database
from tests.processes import ROOT, api

CONFIGURATION = ROOT / "tests/fuzz/schemathesis.toml"
BESIDE = Path(sys.executable).parent / "schemathesis"


def main(arguments: list[str]) -> int:
    """Start everything, fuzz, and give Schemathesis's exit code."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as postgres,
        EmbeddedRedis(Path(folder) / "redis") as redis,
    ):
        url = new_database(postgres, "fuzz")
        command.upgrade(alembic_config(url), "head")
        return asyncio.run(_fuzz(url, redis.url, Path(folder) / "api.log", arguments))


async def _fuzz(database_url: str, redis_url: str, log: Path, arguments: list[str]) -> int:
    environment = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "ADMIN_API_KEY": ADMIN_KEY,
        "LOG_LEVEL": "ERROR",
        "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/slack",
    }
    async with api(environment, log) as (process, client):
        token = (await client.post("/v1/chat/sessions", json={})).json()["session_token"]
        fuzzer = await asyncio.create_subprocess_exec(
            os.environ.get("SCHEMATHESIS", str(BESIDE)),
            f"--config-file={CONFIGURATION}",
            "run",
            f"{client.base_url}/openapi.json",
            *arguments,
            env={**os.environ, "API_KEY": ADMIN_KEY, "SESSION_TOKEN": token},
            cwd=log.parent,
        )
        code = await fuzzer.wait()
        sys.stderr.write(process.output)
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
