"""Visitors, sales and their mail programs: acts of a plan as requests to the API, told to the oracle."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import httpx

from tests.simulation.lives import Kind, Life
from tests.simulation.mailbox import Mailbox
from tests.simulation.oracle import Chat, Oracle, Span

ADMIN_KEY: Final = "simulation"
_AT_ONCE: Final = 12
_ENQUIRY: Final = {
    "pl": "Mam 52 m2 w Warszawie, pakiet Premium, mój e-mail to {}",
    "en": "I have 52 m2 in Warsaw, package Premium, my e-mail is {}",
}
_QUESTION: Final = {"pl": "Ile trwa wykończenie mieszkania?", "en": "How long does the work take?"}
_STATUS: Final = {Kind.TAKEN: "contacted", Kind.BOOKED: "qualified", Kind.FREED: "new"}


class Visitors:
    """Does what is planned. AssertionError when the API refuses."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        sql: asyncpg.Pool,
        mailbox: Mailbox,
        oracle: Oracle,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._sql = sql
        self._mailbox = mailbox
        self._oracle = oracle
        self._now = now
        self._tokens: dict[int, dict[str, str]] = {}
        self._texts: dict[tuple[str, str], dict[str, Any]] = {}
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def read_texts(self) -> None:
        """See what a consent is given to."""
        response = await self._client.get("/v1/consent/texts")
        self._texts = {(text["purpose"], text["locale"]): text for text in response.json()["items"]}

    async def act(self, life: Life, kind: Kind) -> None:
        """Somebody does something."""
        if kind is Kind.COMES:
            await self._comes(life)
            return
        chat = self._oracle.chats[life.number]
        if kind is Kind.UNSUBSCRIBES_BY_LINK and self._link(life) is None:
            return
        async with self._happens(chat, kind):
            await self._do(chat, kind)

    async def _comes(self, life: Life) -> None:
        opened = await self._ask("POST", "/v1/chat/sessions", {"locale": life.locale})
        self._tokens[life.number] = {"Authorization": f"Bearer {opened['session_token']}"}
        chat = Chat(life, UUID(opened["session_id"]))
        self._oracle.came(chat)
        async with self._happens(chat, Kind.WRITES):
            await self._ask(
                "POST",
                "/v1/chat/messages",
                {"text": _ENQUIRY[life.locale].format(life.email)},
                self._tokens[life.number],
            )
        if life.answer == "granted":
            await self.act(life, Kind.AGREES)
        elif life.answer == "refused":
            await self.act(life, Kind.WITHDRAWS)

    @asynccontextmanager
    async def _happens(self, chat: Chat, kind: Kind) -> AsyncIterator[None]:
        began = self._now()
        yield
        self._oracle.happened(chat, kind, Span(began, self._now()))

    async def _do(self, chat: Chat, kind: Kind) -> None:
        life, token = chat.life, self._tokens[chat.life.number]
        match kind:
            case Kind.WRITES:
                await self._ask("POST", "/v1/chat/messages", {"text": _QUESTION[life.locale]}, token)
            case Kind.AGREES | Kind.PERMITS:
                purpose = "marketing_email" if kind is Kind.AGREES else "rodo"
                text = self._texts[purpose, life.locale]
                answer = {"decision": "granted", "text_version": text["version"], "sha256": text["sha256"]}
                await self._ask("PUT", f"/v1/consent/{purpose}", answer, token)
            case Kind.WITHDRAWS | Kind.FORBIDS:
                purpose = "marketing_email" if kind is Kind.WITHDRAWS else "rodo"
                await self._ask("DELETE", f"/v1/consent/{purpose}", None, token)
            case Kind.TAKEN | Kind.BOOKED | Kind.FREED:
                lead = await self._sql.fetchval("SELECT id FROM leads WHERE conversation_id = $1", chat.id)
                operator = {"Authorization": f"Bearer {ADMIN_KEY}"}
                await self._ask("PATCH", f"/v1/leads/{lead}", {"status": _STATUS[kind]}, operator)
            case Kind.UNSUBSCRIBES_BY_LINK:
                link = self._link(life)
                assert link is not None
                await self._ask("POST", urlsplit(link).path, None)
            case Kind.UNSUBSCRIBES_BY_ADDRESS:
                await self._ask("POST", "/v1/unsubscribe", {"email": life.email})
            case Kind.COMES:
                raise AssertionError(kind)

    def _link(self, life: Life) -> str | None:
        """Where their last mail says how to hear no more."""
        got = (
            mail for mail in reversed(self._mailbox.attempts) if mail.taken and mail.recipient.lower() == life.person
        )
        return next((mail.link for mail in got if mail.link), None)

    async def _ask(
        self, method: str, path: str, body: dict[str, Any] | None, headers: dict[str, str] | None = None
    ) -> Any:
        async with self._turns:
            response = await self._client.request(
                method, path, json=body, headers=headers or {"Accept": "application/json"}
            )
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None
