"""What a start leaves in memory is not looked through for garbage again and again."""

import signal
from pathlib import Path

from tests.processes import api


async def test_the_collector_leaves_alone_what_stays_for_as_long_as_the_process(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DRAIN_SECONDS": "0"}
    async with api(environment, tmp_path / "api.log", through=("tests.web.heap",)) as (process, _):
        process.send(signal.SIGTERM)
        assert await process.exit_code() == 0
    assert int(process.output.rpartition("frozen objects: ")[2]) > 100_000
