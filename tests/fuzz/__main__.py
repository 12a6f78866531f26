"""`python -m tests.fuzz`: Schemathesis against a real API process on real servers, with a key and a session.

Everything after the program's name goes to each `schemathesis run`. There are several at once: thinking up the longest
texts that a pattern allows is what takes its time.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, cast

from alembic import command

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.conftest import ADMIN_KEY, alembic_config, new_database
from tests.processes import ROOT, api

CONFIGURATION = ROOT / "tests/fuzz/schemathesis.toml"
BESIDE = Path(sys.executable).parent / "schemathesis"
PARTS: Final = 2


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
        schema = f"{client.base_url}/openapi.json"
        shares = _shares((await client.get(schema)).json())
        secrets = {"API_KEY": ADMIN_KEY, "SESSION_TOKEN": token}
        codes = await asyncio.gather(*(_run([schema, *share, *arguments], secrets, log.parent) for share in shares))
        sys.stderr.write(process.output)
    return max(codes)


def _shares(schema: dict[str, Any]) -> list[list[str]]:
    """The options of each run: every phase has every operation once."""
    names = sorted(operation["operationId"] for path in schema["paths"].values() for operation in path.values())
    parts = [f"--include-operation-id-regex=^({'|'.join(names[n::PARTS])})$" for n in range(PARTS)]
    return [["--phases=examples,fuzzing,stateful"], *(["--phases=coverage", part] for part in parts)]


async def _run(arguments: list[str], secrets: dict[str, str], folder: Path) -> int:
    """Run Schemathesis, show what it printed, and give its exit code."""
    fuzzer = await asyncio.create_subprocess_exec(
        os.environ.get("SCHEMATHESIS", str(BESIDE)),
        f"--config-file={CONFIGURATION}",
        "run",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **secrets},
        cwd=folder,
    )
    printed, _ = await fuzzer.communicate()
    sys.stdout.buffer.write(printed)
    sys.stdout.flush()
    return cast("int", fuzzer.returncode)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
