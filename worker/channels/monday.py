"""monday.com by its GraphQL API: one lead becomes one item.

The token is the whole Authorization header, without a scheme (developer.monday.com/api-reference/docs/authentication).
A repeat of a mutation under the same Idempotency-Key within 30 minutes is answered from memory and creates nothing
(docs/idempotency). The visitor's words travel as variables only, never inside the query. The columns that the board
needs are in `worker.channels.monday_item`; error shapes are in `worker.channels.monday_errors`.
"""

from collections.abc import Mapping
from typing import Final

import httpx
import orjson
from pydantic import SecretStr

from worker.channels.base import LeadAlert, Outcome
from worker.channels.http import TOTAL_SECONDS, USER_AGENT, post
from worker.channels.monday_errors import classify
from worker.channels.monday_item import column_ids, column_values, item_name

API_VERSION: Final = "2026-10"
"""monday's current version since 26 October 2026 (developer.monday.com/api-reference/changelog,
"2026-10 is now the current API version"). A version is stable for at least six months; 2027-01 is a release candidate.
What 2026-10 removed, fields of users and workforms, is nothing that we ask for."""

MUTATION: Final = (
    "mutation ($board: ID!, $name: String!, $values: JSON!) "
    "{ create_item(board_id: $board, item_name: $name, column_values: $values) { id } }"
)


class MondayChannel:
    """Alerts as items of one board. Owns `client` and closes it. ValueError when `columns` cannot be used."""

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

    async def send(self, alert: LeadAlert) -> Outcome:
        """Create the item once. Never raises for a fault of monday or of the network."""
        variables = {
            "board": self._board_id,
            "name": item_name(alert),
            "values": column_values(alert, self._columns),
        }
        headers = self._headers.copy()
        headers["Idempotency-Key"] = idempotency_key(alert)
        reply = await post(
            self._client,
            self._url,
            headers=headers,
            content=orjson.dumps({"query": MUTATION, "variables": variables}),
            total_seconds=self._total_seconds,
        )
        return reply if isinstance(reply, Outcome) else classify(reply)

    async def aclose(self) -> None:
        """Give connections back."""
        await self._client.aclose()


def idempotency_key(alert: LeadAlert) -> str:
    """The same for every attempt at one alert. The `1` counts generations: it may rise only when monday's answer proved
    that nothing was created, since an error could be what monday keeps under the key."""
    return f"{alert.alert_id}:1"
