"""Having the conversations with the service, over its HTTP API and nothing else."""

import asyncio
from collections.abc import Iterable

import httpx

from tests.evaluation.rules import Conversation, Verdict, judge
from tests.talk import open_session, say, spoken

AT_ONCE = 4


async def visit(client: httpx.AsyncClient, conversations: Iterable[Conversation]) -> list[Verdict]:
    """Hold every conversation in a session of its own, a few at a time, and judge each."""
    few = asyncio.Semaphore(AT_ONCE)

    async def one(conversation: Conversation) -> Verdict:
        async with few:
            return await _hold(client, conversation)

    return list(await asyncio.gather(*(one(conversation) for conversation in conversations)))


async def _hold(client: httpx.AsyncClient, conversation: Conversation) -> Verdict:
    token = await open_session(client, conversation.lang)
    for text in conversation.turns:
        response = await say(client, token, text)
        response.raise_for_status()
    return judge(conversation, spoken(response), response.json()["context"])
