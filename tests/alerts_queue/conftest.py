"""The queue on real servers."""

from collections.abc import Iterator

import pytest

from tests.alerts_queue.world import World


@pytest.fixture
def world(migrated_url: str, redis_url: str) -> Iterator[World]:
    """For tests without an event loop of their own."""
    real = World(migrated_url, redis_url)
    yield real
    real.close()
