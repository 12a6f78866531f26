"""The HTTP process: `uvicorn app.main:app`."""

import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import NoReturn

from fastapi import FastAPI
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from app.alerts import metrics as alert_metrics
from app.api import ROUTERS, TAGS
from app.consent.anchor import Anchor
from app.consent.audit import Auditor
from app.consent.service import Texts
from app.conversations import metrics as conversation_metrics
from app.conversations import questions_metrics
from app.conversations.consents import Reach
from app.conversations.events import Feed
from app.conversations.recent import Recent
from app.conversations.service import Adviser, Chat
from app.core.db import Database
from app.core.jobs import Doorbell, arq_redis
from app.core.keys import KeyRing
from app.core.logging import configure_logging, log_uncaught
from app.core.settings import Settings, SettingsError, read_settings
from app.engine.engine import Engine
from app.engine.knowledge import KnowledgeError
from app.engine.llm.assistant import MAX_AT_ONCE, Assistant
from app.engine.watch import watching
from app.followups import metrics as followup_metrics
from app.followups.service import Followups
from app.operations import limits
from app.operations.api_keys import Door
from app.privacy.office import Office
from app.privacy.replay import Watch
from app.web.admission import AdmissionMiddleware
from app.web.client import Callers
from app.web.drain import Drain
from app.web.enforcement import Enforcement
from app.web.handlers import install_handlers
from app.web.middleware import CatchMiddleware, CorsMiddleware, RequestMiddleware, safe_headers
from app.web.openapi import install_openapi, operation_id
from app.web.pacing import Pace
from app.web.routing import DirectMiddleware
from app.web.server import harden, running_server
from app.web.watchdog import watch_loop

REDIS_TIMEOUT_SECONDS = 1.0
REDIS_CONNECTIONS = 20
COMMAND_SECONDS = 5.0
"""The longest that a request waits for one statement, of a server that answers others."""
SILENCE_SECONDS = 1.3
"""The longest that a request waits for a server that answers nobody, but for the tenths of app/core/pulse.py."""


class StartError(Exception):
    """The process cannot start. The message is one line for whoever started it."""


def _raise(error: StartError) -> NoReturn:
    raise error


def create_app(
    settings: Settings, *, engine: Engine | None = None, start_failed: Callable[[StartError], NoReturn] = _raise
) -> FastAPI:
    """The whole HTTP application for these settings.

    It answers with `engine`, which must know what KNOWLEDGE_DIR holds; without one it loads its own at start. When
    PostgreSQL or Redis is absent at start, its lifespan calls `start_failed`. It may be started again once it stopped.
    """

    pace = Pace()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as cleanup:
            doorbell = Doorbell(
                arq_redis(settings.redis_url, timeout_seconds=REDIS_TIMEOUT_SECONDS, max_connections=REDIS_CONNECTIONS)
            )
            cleanup.push_async_callback(doorbell.aclose)
            database = Database(
                settings.database_url,
                pool_size=settings.database_pool_size,
                ring=doorbell,
                command_seconds=COMMAND_SECONDS,
                silence_seconds=SILENCE_SECONDS,
            )
            cleanup.push_async_callback(database.dispose)
            try:
                texts = await _first_contact(database, doorbell)
            except StartError as error:
                start_failed(error)
            app.state.settings = settings
            app.state.database = database
            app.state.doorbell = doorbell
            app.state.consent_texts = texts
            try:
                answering = engine or Engine.load(settings.knowledge_dir)
            except KnowledgeError as error:
                start_failed(StartError(f"KNOWLEDGE_DIR: {error}"))
            await cleanup.enter_async_context(
                watching(answering, settings.knowledge_dir, every_seconds=settings.knowledge_check_seconds)
            )
            app.state.followups = Followups.of(settings, answering)
            app.state.metrics = (
                partial(alert_metrics.families, configured=settings.configured_channels),
                conversation_metrics.families,
                followup_metrics.families,
                questions_metrics.families,
            )
            app.state.door = Door(
                database, admin_key=settings.admin_api_key.get_secret_value() if settings.admin_api_key else None
            )
            cleanup.push_async_callback(app.state.door.aclose)
            app.state.auditor = Auditor(database=database, anchor=Anchor.of(settings))
            app.state.privacy = Office.of(settings, database=database, doorbell=doorbell)
            app.state.erasures_behind = Watch(database, app.state.privacy.ledger).behind
            app.state.enforcement = Enforcement(
                app.routes,
                settings.rate_limits,
                redis_url=settings.redis_url,
                refresh=partial(limits.refresh, database),
                check_seconds=settings.rate_limit_seconds,
            )
            cleanup.push_async_callback(app.state.enforcement.aclose)
            adviser = _adviser(settings, app.state.enforcement, cleanup)
            app.state.chat = Chat(
                database=database,
                engine=answering,
                texts=texts,
                reach=Reach.of(settings),
                # what costs a call is first looked for among what was answered before
                recent=Recent() if adviser is None else Recent(size=0),
                adviser=adviser,
            )
            app.state.feed = Feed(database, max_streams=settings.max_streams, seconds=settings.stream_seconds)
            for background in (app.state.enforcement.keep_fresh(), app.state.feed.poll(), watch_loop()):
                cleanup.push_async_callback(_end, asyncio.create_task(background))
            _take_over(settings, pace)
            app.state.drain = Drain(settings.drain_seconds, begun=app.state.feed.shut)
            app.state.drain.install()
            yield

    app = FastAPI(
        title="NovaHouse Chatbot API",
        version="3.0.0",
        lifespan=lifespan,
        openapi_tags=TAGS,
        servers=[{"url": "/", "description": "The service that this document was read from."}],
        generate_unique_id_function=operation_id,
        redirect_slashes=False,
        # spans and logs would carry paths of links and exceptions' words to wherever the environment says
        telemetry={"tracing": False, "logs": False, "metrics": False},
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )
    for router in ROUTERS:
        app.include_router(router)
    install_handlers(app)
    install_openapi(app)
    app.add_middleware(DirectMiddleware, routes=app.routes)
    app.add_middleware(
        AdmissionMiddleware,
        pace=pace,
        at_once=settings.max_requests,
        receive_seconds=settings.receive_seconds,
        request_seconds=settings.request_seconds,
        hosts=settings.hosts,
    )
    app.add_middleware(CatchMiddleware)
    if settings.allowed_origins:
        app.add_middleware(CorsMiddleware, pace=pace, origins=settings.allowed_origins)
    app.add_middleware(
        RequestMiddleware,
        callers=Callers(settings.trusted_proxies, KeyRing.of(settings)),
        transport_security=settings.transport_security,
    )
    return app


def _take_over(settings: Settings, pace: Pace) -> None:
    """Make the process a server of ours, once it has all that it keeps. Nothing where the application is only a guest.

    What a start leaves behind is half a million objects that stay: to look through them for garbage, as Python does
    again and again under load, stops everybody for a tenth of a second and more.
    """
    server = running_server()
    if server is None:
        return
    harden(
        server,
        pace=pace,
        headers=safe_headers(transport_security=settings.transport_security),
        receive_seconds=settings.receive_seconds,
        max_connections=settings.max_connections,
    )
    gc.collect()
    gc.freeze()


def _adviser(settings: Settings, enforcement: Enforcement, cleanup: AsyncExitStack) -> Adviser | None:
    """The language model that may help with answers; None without one."""
    if settings.language_model is None:
        return None
    from app.engine.llm.client import Completions  # noqa: PLC0415  a second and 36 MB that only a model is worth

    completions = Completions(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value() if settings.openai_api_key else None,
        model=settings.language_model,
        at_once=MAX_AT_ONCE,
    )
    cleanup.push_async_callback(completions.aclose)
    return Assistant(completions, partial(enforcement.take, "model"))


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task that runs for as long as the process, and wait until it is over."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _first_contact(database: Database, doorbell: Doorbell) -> Texts:
    """Reach PostgreSQL and Redis once, so that a wrong address is an error now and not a mystery later."""
    try:
        async with database.transaction() as session:
            texts = await Texts.load(session)
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise StartError(f"PostgreSQL does not answer as it should at DATABASE_URL: {_cause(error)}") from error
    try:
        await doorbell.ping()
    except (RedisError, OSError, TimeoutError) as error:
        raise StartError(f"Redis does not answer at REDIS_URL: {type(error).__name__}") from error
    return texts


def _cause(error: BaseException) -> str:
    """The class of the driver's own error, which tells a refused connection from a missing table."""
    while error.__cause__ is not None:
        error = error.__cause__
    hint = " (run `alembic upgrade head`)" if type(error).__name__ == "UndefinedTableError" else ""
    return f"{type(error).__name__}{hint}"


def _give_up(error: Exception) -> NoReturn:
    """End the process with one line and exit code 1; uvicorn would print a traceback and exit with 3."""
    sys.stderr.write(f"novahouse: {error}\n")
    sys.stderr.flush()
    os._exit(1)


def __getattr__(name: str) -> FastAPI:
    """Make `app` when uvicorn asks for it, so that importing this module reads no environment and logs nothing."""
    if name != "app":
        raise AttributeError(name)
    try:
        settings = read_settings()
    except SettingsError as error:
        _give_up(error)
    configure_logging(
        level=settings.log_level, json=settings.environment == "production", secrets=settings.secret_values
    )
    log_uncaught()
    return create_app(settings, start_failed=_give_up)
