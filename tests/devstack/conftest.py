"""Fixtures for the embedded servers and the supervisor."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.devstack.stack import Stack, write_stand_in


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the same parts under the same names, that do nothing."""
    root = tmp_path_factory.mktemp("stand in")
    write_stand_in(root)
    return root


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of someone who has servers already; a stack starts faster on them."""
    folder = tmp_path_factory.mktemp("given")
    with EmbeddedPostgres(folder / "postgres", durable=False) as postgres, EmbeddedRedis(folder / "redis") as redis:
        yield {"DATABASE_URL": postgres.url, "REDIS_URL": redis.url}


@pytest.fixture
def stack(stand_in: Path, tmp_path: Path) -> Iterator[Stack]:
    """A stack on the stand-in project, in a fresh home with a space in its path."""
    one = Stack(stand_in, tmp_path / "the home", tmp_path)
    yield one
    one.clear()
