"""arq itself: a worker whose only job does nothing, with our worker's number of jobs at once and its polling."""

from typing import Any, ClassVar

from arq.worker import func

from app.core.jobs import arq_redis, deserialize_job, serialize_job
from app.core.settings import read_settings

QUEUE = "bench:empty"


async def nothing(ctx: dict[str, Any], alert_ids: list[str]) -> None:
    """Do nothing."""


class WorkerSettings:
    """What the arq command reads."""

    functions: ClassVar[list[Any]] = [func(nothing, name="nothing", keep_result=0, max_tries=1)]
    queue_name = QUEUE
    redis_pool = arq_redis(read_settings().redis_url, timeout_seconds=5, max_connections=100)
    job_serializer = staticmethod(serialize_job)
    job_deserializer = staticmethod(deserialize_job)
    max_jobs = 50
    poll_delay = 0.05
    keep_result = 0
    log_results = False
