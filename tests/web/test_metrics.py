"""What Prometheus is told: true with the workers dead, and without a word about anybody."""

import asyncpg
import httpx
from prometheus_client.parser import text_string_to_metric_families

from app.devstack.postgres import EmbeddedPostgres
from tests.talk import capture_lead


async def scrape(client: httpx.AsyncClient) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample by name and labels."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


def labels(**given: str) -> frozenset[tuple[str, str]]:
    return frozenset(given.items())


async def test_backlog_age_breaker_and_dead_letters_are_told(
    client: httpx.AsyncClient, sql: asyncpg.Connection
) -> None:
    await capture_lead(client)
    await sql.execute("UPDATE outbound_alert SET next_attempt_at = now() - interval '90 s' WHERE channel = 'slack'")
    await sql.execute(
        "INSERT INTO dead_letter_queue (id, alert_id, channel, status, reason, closed_at) "
        "SELECT gen_random_uuid(), id, channel, 'failed', 'http_500', now() FROM outbound_alert "
        "WHERE channel = 'monday'"
    )
    await sql.execute(
        "UPDATE channel_gate SET open_until = now() + interval '60 s', open_reason = 'http_500', failures = 5 "
        "WHERE channel = 'monday'"
    )
    await sql.execute(
        "INSERT INTO scheduled_job (name, every, started_at, succeeded_at) "
        "VALUES ('retry_dead_letters', interval '5 min', now() - interval '1 h', now() - interval '1 h')"
    )
    samples = await scrape(client)
    assert samples["database_up", labels()] == 1
    assert samples["delivery_backlog", labels(channel="slack", state="pending")] == 1
    assert 90 <= samples["delivery_oldest_pending_seconds", labels(channel="slack")] < 150
    assert samples["breaker_state", labels(channel="monday")] == 2
    assert samples["breaker_state", labels(channel="slack")] == 0
    assert samples["dead_letters", labels(status="failed")] == 1
    assert samples["scheduled_job_overdue", labels(job="retry_dead_letters")] == 1


async def test_nothing_personal_is_told(client: httpx.AsyncClient) -> None:
    await capture_lead(client)
    text = (await client.get("/metrics")).text
    assert "691222333" not in text
    assert "Warszawa" not in text


async def test_without_postgresql_the_process_still_tells_its_own_numbers(
    client: httpx.AsyncClient, postgres: EmbeddedPostgres
) -> None:
    postgres.kill()
    try:
        samples = await scrape(client)
    finally:
        postgres.start()
    assert samples["database_up", labels()] == 0
    assert ("delivery_enqueue_failed_total", labels()) in samples
