"""The chat with a language model beside it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import httpx
import pytest
from fastapi import FastAPI

from app.core.settings import Settings
from app.engine.llm.assistant import Assistant
from app.engine.llm.client import Completions, Times
from tests.conftest import application
from tests.llm.server import ModelServer, model_server

AMPLE: Final = Times(connect=60, first_token=60, total=60)
"""For a machine that does other things too."""
Start = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
"""Starts the application with a model, the times that it is waited for and other settings; gives a client of it."""


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """A model that behaves until it is told otherwise."""
    async with model_server() as server:
        yield server


def _wait(app: FastAPI, times: Times) -> None:
    """Have the application wait so long for its model."""
    adviser = app.state.chat.adviser
    assert isinstance(adviser, Assistant)
    completions = adviser._completer
    assert isinstance(completions, Completions)
    completions._times = times
    completions._http.timeout = httpx.Timeout(times.total, connect=times.connect)


@pytest.fixture
def start(settings: Settings, model: ModelServer) -> Start:
    """How to start the application with `model`."""

    @asynccontextmanager
    async def started(*, times: Times = AMPLE, **more: object) -> AsyncIterator[httpx.AsyncClient]:
        own = {name.lower(): value for name, value in model.environment.items()}
        app = application(Settings(**{**settings.model_dump(exclude_unset=True), **own, **more}))
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client,
        ):
            _wait(app, times)
            client.app = app  # type: ignore[attr-defined]
            yield client

    return started


@pytest.fixture
async def helped(start: Start) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the application with `model`."""
    async with start() as client:
        yield client
