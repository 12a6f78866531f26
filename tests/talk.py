"""How tests talk to the chat over HTTP."""

from typing import Any

import httpx

ENQUIRY = "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333"
CONSENT = "tak, wyrażam zgodę na kontakt w sprawie oferty"


async def open_session(client: httpx.AsyncClient, locale: str = "pl") -> dict[str, str]:
    """Open a session and give the headers that authorise it."""
    response = await client.post("/v1/chat/sessions", json={"locale": locale})
    assert response.status_code == 201, response.text
    return {"Authorization": f"Bearer {response.json()['session_token']}"}


async def say(client: httpx.AsyncClient, token: dict[str, str], text: str, **more: Any) -> httpx.Response:
    """Send one message."""
    return await client.post("/v1/chat/messages", json={"text": text, **more}, headers=token)


async def capture_lead(client: httpx.AsyncClient) -> dict[str, str]:
    """A whole conversation that ends with a lead, its consent and its alerts; gives the session's headers."""
    token = await open_session(client)
    for text in (ENQUIRY, CONSENT):
        response = await say(client, token, text)
        assert response.status_code == 201, response.text
    return token


def spoken(response: httpx.Response) -> str:
    """All replies as one line, with plain spaces."""
    return " ".join(reply["text"] for reply in response.json()["replies"]).replace("\N{NO-BREAK SPACE}", " ")
