"""Calling a model that misbehaves: it always ends, in time, with an answer or with one of two errors."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from app.engine.llm import client, prompt
from app.engine.llm.client import Completions, Times
from app.engine.llm.failures import ModelFailedError, ModelLateError
from app.engine.types import Help
from tests.llm.server import BROKEN, LATE, ModelServer, model_server
from tests.processes import eventually

SOON = {
    "never": Times(connect=60, first_token=0.3, total=60),
    "drip": Times(connect=60, first_token=60, total=0.6),
}
"""For each way to be late the one bound that has to end it."""
AMPLE = Times(connect=60, first_token=60, total=60)
"""For a machine that does other things too: no test of another failure ends with this one."""
GENEROUS_SECONDS = 30.0
WANTED = Help(locale="pl", message="ile trwa gwarancja?", text="Dajemy 36 miesięcy gwarancji.")


@asynccontextmanager
async def completions(base_url: str, times: Times = AMPLE) -> AsyncIterator[Completions]:
    own = Completions(base_url=base_url, api_key=None, model="test-model", at_once=2, times=times)
    yield own
    await own.aclose()


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[ModelServer]:
    async with model_server() as running:
        yield running


async def test_an_answer_is_put_together_from_its_stream(server: ModelServer) -> None:
    server.mode = "honest"
    async with completions(server.base_url) as model:
        answer = await model.complete(prompt.messages(WANTED), max_chars=prompt.MAX_ANSWER_CHARS)
    assert prompt.read(answer).text == f"Chętnie wyjaśnię: {WANTED.text}"
    assert b'"stream":true' in server.requests[-1].body.replace(b" ", b"")


@pytest.mark.parametrize("mode", BROKEN)
async def test_whatever_it_does_the_call_fails_soon_and_says_little(server: ModelServer, mode: str) -> None:
    server.mode, asked = mode, len(server.requests)
    began = time.monotonic()
    async with completions(server.base_url, SOON.get(mode, AMPLE)) as model:
        with pytest.raises((ModelFailedError, prompt.BadAnswerError)) as raised:
            prompt.read(await model.complete(prompt.messages(WANTED), max_chars=prompt.MAX_ANSWER_CHARS))
    assert time.monotonic() - began < GENEROUS_SECONDS
    assert isinstance(raised.value, ModelLateError) is (mode in LATE)
    assert str(raised.value).isidentifier(), "the kind of failure and nothing of the answer"
    assert len(server.requests) == asked + 1, "neither tried again nor followed elsewhere"


async def test_no_more_is_read_than_the_bound(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.mode = "10 MB"
    read: list[int] = []
    plain = client._Counted.__aiter__

    async def counting(self: client._Counted) -> AsyncIterator[bytes]:
        async for chunk in plain(self):
            read.append(len(chunk))
            yield chunk

    monkeypatch.setattr(client._Counted, "__aiter__", counting)
    async with completions(server.base_url) as model:
        with pytest.raises(ModelFailedError):
            await model.complete(prompt.messages(WANTED), max_chars=prompt.MAX_ANSWER_CHARS)
    assert 0 < sum(read) <= client.MAX_RESPONSE_BYTES


async def test_who_gives_up_hangs_up(server: ModelServer) -> None:
    server.mode = "never"
    server.waiting.clear()
    before = server.hung_up
    async with completions(server.base_url) as model:
        call = asyncio.create_task(model.complete(prompt.messages(WANTED), max_chars=100))
        await server.waiting.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        async def hung_up() -> bool:
            return server.hung_up > before

        await eventually(hung_up)


@contextmanager
def nobody_accepts() -> Iterator[int]:
    """A port whose queue of connections is full: the next one is never answered."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port: int = listening.getsockname()[1]
        waiting = []
        try:
            for _ in range(64):
                one = socket.socket()
                waiting.append(one)
                one.settimeout(0.2)
                one.connect(("127.0.0.1", port))
        except TimeoutError:
            yield port
        finally:
            for one in waiting:
                one.close()


async def test_a_connection_that_never_comes_is_waited_for_as_long_as_was_said() -> None:
    with nobody_accepts() as port:
        began = time.monotonic()
        async with completions(f"http://127.0.0.1:{port}/v1", Times(connect=0.3, first_token=60, total=60)) as model:
            with pytest.raises(ModelLateError):
                await model.complete(prompt.messages(WANTED), max_chars=100)
    assert time.monotonic() - began < GENEROUS_SECONDS


async def test_the_times_are_those_that_were_decided() -> None:
    assert Times() == Times(connect=1.0, first_token=3.0, total=8.0)
