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

import httpx
import orjson
from pydantic import SecretStr

from app.core import clock
from worker.channels.base import Envelope, Message, Outcome, OutcomeKind
from worker.channels.http import TOTAL_SECONDS, USER_AGENT, Reply, post
from worker.channels.monday_errors import classify, classify_lookup, without_effect
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
        """Create the item once, unless it is there already. Never raises for a fault of monday or of the network."""
        deadline = asyncio.get_running_loop().time() + self._total_seconds
        column = self._columns.get("alert_id")
        if column is not None and _beyond_memory(message.envelope, self._total_seconds):
            found = await self._find(column, message.envelope, deadline)
            if found is not None:
                return found
        variables = {
            "board": self._board_id,
            "name": item_name(message),
            "values": column_values(message, self._columns),
        }
        reply = await self._ask(MUTATION, variables, deadline, key=idempotency_key(message.envelope))
        return reply if isinstance(reply, Outcome) else classify(reply)

    async def _find(self, column: str, envelope: Envelope, deadline: float) -> Outcome | None:
        """DELIVERED when the item is there, None when it is not, else why we don't know."""
        variables = {"board": self._board_id, "column": column, "values": [str(envelope.alert_id)]}
        reply = await self._ask(LOOKUP, variables, deadline)
        if isinstance(reply, Outcome):
            return without_effect(reply)
        found = classify_lookup(reply)
        if isinstance(found, str):
            return Outcome(OutcomeKind.DELIVERED, status=reply.status, remote_ref=found)
        return found

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


def _beyond_memory(envelope: Envelope, seconds: float) -> bool:
    """Whether monday may have forgotten, by the end of a send of that length, an item it may have created."""
    since = envelope.ambiguous_since
    return since is not None and clock.now() + timedelta(seconds=seconds) > since + ANSWERS_KEPT
