"""What every test of consent starts from."""

from collections.abc import Mapping

import httpx
import pytest
from fastapi import FastAPI

from app.conversations.consents import Reach
from app.core.keys import KeyRing
from app.core.settings import Settings
from app.privacy.office import Office

Texts = Mapping[tuple[str, str], Mapping[str, object]]


@pytest.fixture
def keys(settings: Settings) -> KeyRing:
    """The keys of the application under test."""
    return KeyRing.of(settings)


@pytest.fixture
def reach(settings: Settings) -> Reach:
    """What the application's decisions reach."""
    return Reach.of(settings)


@pytest.fixture
def office(app: FastAPI) -> Office:
    """The office of the running application."""
    found: Office = app.state.privacy
    return found


@pytest.fixture
async def texts(client: httpx.AsyncClient) -> Texts:
    """The published texts by purpose and locale."""
    items = (await client.get("/v1/consent/texts")).json()["items"]
    return {(item["purpose"], item["locale"]): item for item in items}
