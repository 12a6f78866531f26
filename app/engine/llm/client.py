"""Calling an OpenAI-compatible API: one streamed completion, bounded in time and bytes. The only call out of `app`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final, cast

import httpx
from openai import APITimeoutError, AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletionMessageParam

from app.engine.llm.failures import ModelFailedError, ModelLateError

MAX_RESPONSE_BYTES: Final = 256 * 1024
"""Of the whole response; each token comes in an event of a few hundred bytes."""
MAX_TOKENS: Final = 800
_KEYLESS: Final = "none"
"""What a server that asks for no key is sent as one: the library insists."""


_TALKATIVE: Final = ("openai", "httpx", "httpcore")
"""Loggers that show what is sent; importing the library may have set them to, by a variable of its own."""


@dataclass(frozen=True, slots=True)
class Times:
    """How long is waited, in seconds."""

    connect: float = 1.0
    first_token: float = 3.0
    total: float = 8.0


class _TooLongError(httpx.TransportError):
    """The response has more bytes than are read."""


class _Counted(httpx.AsyncByteStream):
    """A response's bytes, up to MAX_RESPONSE_BYTES."""

    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        read = 0
        async for chunk in self._stream:
            read += len(chunk)
            if read > MAX_RESPONSE_BYTES:
                raise _TooLongError("response too long")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _BoundedTransport(httpx.AsyncHTTPTransport):
    """A transport whose responses end at MAX_RESPONSE_BYTES, and are refused when they would have to be unpacked."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise _TooLongError("response is compressed")
        response.stream = _Counted(cast("httpx.AsyncByteStream", response.stream))
        return response


class Completions:
    """One model behind one API. It has its own connections, as many as calls that may be made at once."""

    def __init__(
        self, *, base_url: str | None, api_key: str | None, model: str, at_once: int, times: Times | None = None
    ) -> None:
        """`base_url` is OpenAI's own when there is none; `api_key` is none for a local server that wants none."""
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._times = times or Times()
        self._model = model
        self._http = httpx.AsyncClient(
            transport=_BoundedTransport(
                trust_env=False,
                limits=httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once, keepalive_expiry=15.0),
            ),
            timeout=httpx.Timeout(self._times.total, connect=self._times.connect, pool=self._times.connect),
            headers={"Accept-Encoding": "identity"},
            follow_redirects=False,
            trust_env=False,
        )
        remote = AsyncOpenAI(base_url=base_url, api_key=api_key or _KEYLESS, http_client=self._http, max_retries=0)
        remote.platform_headers()
        self._completions = remote.chat.completions

    async def complete(self, messages: Sequence[tuple[str, str]], *, max_chars: int) -> str:
        """What the model answers, at most `max_chars` of it. Raises ModelLateError and ModelFailedError."""
        try:
            async with asyncio.timeout(self._times.total), asyncio.timeout(self._times.first_token) as first:
                return await self._read(messages, max_chars, first)
        except (APITimeoutError, httpx.TimeoutException, TimeoutError) as error:
            raise ModelLateError(type(error).__name__) from None
        except (OpenAIError, httpx.HTTPError, httpx.StreamError, ValueError, TypeError, RecursionError) as error:
            raise ModelFailedError(type(error).__name__) from None

    async def _read(self, messages: Sequence[tuple[str, str]], max_chars: int, first: asyncio.Timeout) -> str:
        stream = await self._completions.create(
            model=self._model,
            messages=[
                cast("ChatCompletionMessageParam", {"role": role, "content": content}) for role, content in messages
            ],
            max_completion_tokens=MAX_TOKENS,
            response_format={"type": "json_object"},
            stream=True,
        )
        parts: list[str] = []
        length = 0
        async with stream:
            async for chunk in stream:
                part = _content(chunk)
                if part and not parts:
                    first.reschedule(None)
                parts.append(part)
                length += len(part)
                if length > max_chars:
                    raise ValueError("answer too long")
        return "".join(parts)

    async def aclose(self) -> None:
        """Give connections back."""
        await self._http.aclose()


def _content(chunk: object) -> str:
    """The text of one event. The library takes whatever a server sends for what it should be; this does not."""
    choices = getattr(chunk, "choices", None)
    if not isinstance(choices, list):
        raise TypeError("no choices")
    if not choices:
        return ""
    content = getattr(getattr(choices[0], "delta", None), "content", None)
    if content is None:
        return ""
    if not isinstance(content, str):
        raise TypeError("content is no text")
    return content
