"""monday.com by its GraphQL API: one message becomes one item.

The token is the whole Authorization header, without a scheme (developer.monday.com/api-reference/docs/authentication).
A repeat of a mutation under the same Idempotency-Key within 30 minutes is answered from memory and creates nothing
(docs/idempotency); before a later repeat the item is looked for by our alert id
(reference/items-page-by-column-values). The visitor's words travel as variables only, never inside the query. The
columns that the board needs are in `worker.channels.monday_item`; error shapes are in `worker.channels.monday_errors`.
"""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import httpx
import orjson
from pydantic import SecretStr

from app.core import clock
from worker.channels.base import (
    NOT_FOR_THIS_CHANNEL,
    Deletion,
    Envelope,
    HandoffAlert,
    Health,
    Message,
    Outcome,
    OutcomeKind,
    PersonalMail,
)
from worker.channels.http import TOTAL_SECONDS, USER_AGENT, Reply, post
from worker.channels.monday_errors import classify, classify_deletion, classify_lookup, without_effect
from worker.channels.monday_item import column_ids, column_values, item_name

API_VERSION: Final = "2026-10"
"""monday's current version since 26 October 2026 (developer.monday.com/api-reference/changelog,
"2026-10 is now the current API version"). A version is stable for at least six months; 2027-01 is a release candidate.
What 2026-10 removed, fields of users and workforms, is nothing that we ask for."""

MUTATION: Final = (
    "mutation ($board: ID!, $name: String!, $values: JSON!) "
    "{ create_item(board_id: $board, item_name: $name, column_values: $values) { id } }"
)

LOOKUP: Final = (
    "query ($board: ID!, $column: String!, $values: [String]!) { items_page_by_column_values"
    "(board_id: $board, limit: 1, columns: [{column_id: $column, column_values: $values}]) { items { id } } }"
)
DELETION: Final = "mutation ($item: ID!) { delete_item(item_id: $item) { id } }"
"""developer.monday.com/api-reference/reference/items, "Delete item"."""
ANSWERS_KEPT: Final = timedelta(minutes=30)
"""How long monday answers a repeated Idempotency-Key from memory."""


class MondayChannel:
    """Messages as items of one board. Owns `client` and closes it. ValueError when `columns` cannot be used."""

    name = "monday"

    def __init__(
        self,
        *,
        api_url: str,
        api_key: SecretStr,
        board_id: str,
        columns: Mapping[str, str],
        client: httpx.AsyncClient,
        total_seconds: float = TOTAL_SECONDS,
    ) -> None:
        self._client = client
        self._url = httpx.URL(api_url)
        self._board_id = board_id
        self._columns = column_ids(columns)
        self._total_seconds = total_seconds
        self._headers = httpx.Headers(
            {
                "Accept": "application/json",
                "Accept-Encoding": "identity",
                "API-Version": API_VERSION,
                "Authorization": api_key.get_secret_value(),
                "Content-Type": "application/json",
                "User-Agent": USER_AGENT,
            }
        )

    async def send(self, message: Message) -> Outcome:
        """Create the item once, unless it is there already, or delete it. Never raises for a fault of the remote."""
        if isinstance(message, PersonalMail | HandoffAlert):
            return NOT_FOR_THIS_CHANNEL
        deadline = asyncio.get_running_loop().time() + self._total_seconds
        if isinstance(message, Deletion):
            return await self._delete(message, deadline)
        column = self._columns.get("alert_id")
        if column is not None and _unrecognised(message.envelope, self._total_seconds):
            found = await self._find(column, message.envelope.alert_id, deadline)
            if isinstance(found, str):
                return Outcome(OutcomeKind.DELIVERED, status=int(httpx.codes.OK), remote_ref=found)
            if found is not None:
                return found
        variables = {
            "board": self._board_id,
            "name": item_name(message),
            "values": column_values(message, self._columns),
        }
        reply = await self._ask(MUTATION, variables, deadline, key=idempotency_key(message.envelope))
        return reply if isinstance(reply, Outcome) else classify(reply)

    async def _delete(self, deletion: Deletion, deadline: float) -> Outcome:
        """Take the item of an alert off the board; one that is not there is what was wanted."""
        item_id: str | Outcome | None = deletion.remote_ref
        if item_id is None:
            column = self._columns.get("alert_id")
            if column is None:
                return Outcome(OutcomeKind.PAYLOAD_PERMANENT, error="no_alert_id_column", health=Health.UNKNOWN)
            item_id = await self._find(column, deletion.alert_id, deadline)
        if item_id is None:
            return Outcome(OutcomeKind.DELIVERED, status=int(httpx.codes.OK))
        if isinstance(item_id, Outcome):
            return item_id
        reply = await self._ask(DELETION, {"item": item_id}, deadline)
        return without_effect(reply) if isinstance(reply, Outcome) else classify_deletion(reply)

    async def _find(self, column: str, alert_id: UUID, deadline: float) -> str | Outcome | None:
        """The item's id when it is there, None when it is not, else why we don't know."""
        variables = {"board": self._board_id, "column": column, "values": [str(alert_id)]}
        reply = await self._ask(LOOKUP, variables, deadline)
        return without_effect(reply) if isinstance(reply, Outcome) else classify_lookup(reply)

    async def _ask(
        self, query: str, variables: dict[str, Any], deadline: float, *, key: str | None = None
    ) -> Reply | Outcome:
        headers = self._headers.copy()
        if key is not None:
            headers["Idempotency-Key"] = key
        return await post(
            self._client,
            self._url,
            headers=headers,
            content=orjson.dumps({"query": query, "variables": variables}),
            total_seconds=deadline - asyncio.get_running_loop().time(),
        )

    async def aclose(self) -> None:
        """Give connections back."""
        await self._client.aclose()


def idempotency_key(envelope: Envelope) -> str:
    """The same for every attempt at one alert, until monday's answer proved that nothing was created: an error could be
    what monday keeps under the key."""
    return f"{envelope.alert_id}:{envelope.generation}"


def _unrecognised(envelope: Envelope, seconds: float) -> bool:
    """Whether monday would not know again, by the end of a send of that length, an item it may have created: it has
    forgotten, or the item was made under an earlier generation's key."""
    since = envelope.ambiguous_since
    if since is None:
        return False
    return envelope.generation > 1 or clock.now() + timedelta(seconds=seconds) > since + ANSWERS_KEPT
