"""Structured logs: one JSON object a line in production, readable lines in a terminal, for our loggers and others'."""

import logging
import sys
import threading
import traceback
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import Processor

from app.core.redaction import REDACTED, Redactor

_MAX_CAUSES = 5
_SHORTEST_WORDS = 4
"""Fewer characters of an exception's message are no message, and may stand anywhere."""
_QUIET_LOGGERS = ("arq.worker", "httpx", "httpcore", "asyncio", "uvicorn.access", "app.core.pools.FairPool")
"""The last is SQLAlchemy's, which names it after the class."""

_log = structlog.stdlib.get_logger(__name__)


def _where_it_happened(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Put an exception as its classes and the lines it came through.

    Its message stays out: a driver's message quotes rows, and rows hold personal data. asyncio repeats it in the line
    about a task whose end nobody awaited.
    """
    exc_info = event.pop("exc_info", None)
    if not exc_info:
        return event
    if isinstance(exc_info, tuple):
        error = exc_info[1]
    else:
        error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    chain: list[dict[str, Any]] = []
    while error is not None and len(chain) < _MAX_CAUSES:
        event["event"] = _without_words(event.get("event"), error)
        frames = traceback.extract_tb(error.__traceback__)
        chain.append(
            {
                "class": f"{type(error).__module__}.{type(error).__qualname__}",
                "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
            }
        )
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    event["raised"] = chain
    return event


def _without_words(said: Any, error: BaseException) -> Any:
    """What a line says, without what an exception says of itself."""
    if not isinstance(said, str):
        return said
    words = str(error)
    said = said.replace(repr(error), type(error).__qualname__)
    return said.replace(words, REDACTED) if len(words) >= _SHORTEST_WORDS else said


def configure_logging(*, level: str, json: bool, secrets: Iterable[str] = ()) -> None:
    """Set up logging for this process. Call it once, before anything logs.

    Libraries' records pass the same chain as ours: every line has the same shape, and none shows personal data or one
    of `secrets` (`app.core.redaction`).
    """
    redactor = Redactor(secrets)

    def redact(_logger: Any, _name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return redactor.event(event)

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _where_it_happened,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True


def log_uncaught() -> None:
    """Let warnings, and exceptions that nobody caught, pass the log too: once per process that serves."""
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A traceback ends with the exception's message, and that may quote anything."""
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    _log.critical("uncaught_exception", exc_info=(kind, error, trace))


def _uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    if found.exc_value is not None:
        _log.critical("uncaught_exception_in_thread", exc_info=found.exc_value)


def _unraisable(found: "sys.UnraisableHookArgs") -> None:
    if found.exc_value is not None:
        _log.error("exception_ignored", exc_info=found.exc_value)
