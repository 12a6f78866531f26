"""Visitors who leave a telephone number and agree to be called, and who try again when the API does not answer."""

import asyncio
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.talk import CONSENT

PATIENCE_SECONDS = 60.0
RETRY_SECONDS = 0.2
_ENQUIRY = "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt {}"


@dataclass(slots=True)
class Visitors:
    """Everybody who came, and what they were told."""

    client: httpx.AsyncClient
    promised: set[UUID] = field(default_factory=set)
    """Conversations whose consent was answered with a 2xx: their alerts must arrive."""
    retries: int = 0
    _came: int = 0

    async def one(self) -> None:
        """A whole conversation. AssertionError when the API stays away or refuses."""
        self._came += 1
        phone = f"691 {self._came // 1000:03} {self._came % 1000:03}"
        session = await self._post("/v1/chat/sessions", {"locale": "pl"}, {})
        token = {"Authorization": f"Bearer {session['session_token']}"}
        for text in (_ENQUIRY.format(phone), CONSENT):
            await self._post("/v1/chat/messages", {"text": text, "client_message_id": str(uuid4())}, token)
        self.promised.add(UUID(session["session_id"]))

    async def _post(self, path: str, body: dict[str, str], headers: dict[str, str]) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    response = await self.client.post(path, json=body, headers=headers)
                except httpx.TransportError:
                    response = None
                if response is not None and response.is_success:
                    answer: dict[str, Any] = response.json()
                    return answer
                assert response is None or response.is_server_error, f"{response.status_code} {response.text}"
                self.retries += 1
                await asyncio.sleep(RETRY_SECONDS)
