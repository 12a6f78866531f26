"""Visitors whom we may write to."""

from typing import Any
from uuid import UUID

import httpx

from tests.conftest import OPERATOR
from tests.talk import say

PATH = "/v1/followups"


async def visitor(
    client: httpx.AsyncClient, *, agrees: bool = True, email: str | None = None, locale: str = "pl"
) -> tuple[str, dict[str, str]]:
    """A conversation, with consent to marketing by e-mail unless said otherwise; its id and the session's headers."""
    opened = (await client.post("/v1/chat/sessions", json={"locale": locale})).json()
    token = {"Authorization": f"Bearer {opened['session_token']}"}
    assert (await say(client, token, f"Mam mieszkanie 52 m2 w Warszawie {email or ''}")).status_code == 201
    if agrees:
        await decide(client, token)
    return str(UUID(opened["session_id"])), token


async def decide(client: httpx.AsyncClient, token: dict[str, str], decision: str = "granted") -> None:
    """Answer the question whether we may advertise by e-mail."""
    texts = (await client.get("/v1/consent/texts")).json()["items"]
    text = next(item for item in texts if (item["purpose"], item["locale"]) == ("marketing_email", "pl"))
    body = {"decision": decision, "text_version": text["version"], "sha256": text["sha256"]}
    response = await client.put("/v1/consent/marketing_email", json=body, headers=token)
    assert response.status_code == 201, response.text


async def write(
    client: httpx.AsyncClient, conversation_id: str, number: int = 1, *, key: str | None = None, **more: Any
) -> httpx.Response:
    """Ask for the n-th follow-up."""
    headers = OPERATOR | ({"Idempotency-Key": key} if key else {})
    body = {"conversation_id": conversation_id, "followup_number": number, **more}
    return await client.post(PATH, json=body, headers=headers)
