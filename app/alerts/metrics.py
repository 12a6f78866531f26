"""How delivery stands, for Prometheus: read from the tables at each scrape, so true with every worker dead."""

from collections.abc import Collection, Iterable
from typing import Any, Final

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts import channel_service
from app.operations.service import Job

BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}


async def families(session: AsyncSession, *, configured: Collection[str]) -> list[GaugeMetricFamily]:
    """Backlog, oldest wait, gates, dead letters and jobs, as metric families without values about a person."""
    status = await channel_service.status(session, configured=configured, scheduler_enabled=True, rate_limits={})
    return [*_channels(status["channels"]), _dead_letters(status["dead_letters"]), *_jobs(status["jobs"])]


def _channels(channels: Iterable[dict[str, Any]]) -> list[GaugeMetricFamily]:
    backlog = GaugeMetricFamily("delivery_backlog", "Alerts by state.", labels=("channel", "state"))
    oldest = GaugeMetricFamily(
        "delivery_oldest_pending_seconds", "How long the longest waiting alert has been due.", labels=("channel",)
    )
    breaker = GaugeMetricFamily("breaker_state", "0 closed, 1 half open, 2 open.", labels=("channel",))
    failures = GaugeMetricFamily("breaker_failures", "Failures in a row.", labels=("channel",))
    blocked = GaugeMetricFamily("channel_blocked", "1 while the remote asked us to wait.", labels=("channel",))
    paused = GaugeMetricFamily("channel_paused", "1 while paused.", labels=("channel",))
    on = GaugeMetricFamily("channel_configured", "1 when this process has its settings.", labels=("channel",))
    for channel in channels:
        name = [channel["name"]]
        for state in ("pending", "sending", "retrying", "failed"):
            backlog.add_metric([*name, state], channel["backlog"].get(state, 0))
        oldest.add_metric(name, channel["oldest_pending_seconds"] or 0.0)
        breaker.add_metric(name, BREAKER_STATES[channel["breaker"]["state"]])
        failures.add_metric(name, channel["breaker"]["failures"])
        blocked.add_metric(name, channel["blocked_until"] is not None)
        paused.add_metric(name, channel["paused"])
        on.add_metric(name, channel["configured"])
    return [backlog, oldest, breaker, failures, blocked, paused, on]


def _dead_letters(letters: dict[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("dead_letters", "Dead letters that are open, by status.", labels=("status",))
    for status in ("pending", "failed"):
        family.add_metric([status], letters.get(status, 0))
    return family


def _jobs(jobs: Iterable[Job]) -> list[GaugeMetricFamily]:
    success = GaugeMetricFamily(
        "scheduled_job_last_success_timestamp_seconds", "When any worker last ran a job.", labels=("job",)
    )
    overdue = GaugeMetricFamily("scheduled_job_overdue", "1 when a job has missed its time.", labels=("job",))
    for job in jobs:
        if job.succeeded_at is not None:
            success.add_metric([job.name], job.succeeded_at.timestamp())
        overdue.add_metric([job.name], job.overdue)
    return [success, overdue]
