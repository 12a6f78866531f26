"""Slack by incoming webhook: send one message, read Slack's answer.

Slack answers 200 with the body `ok`, and otherwise a status with a short word in the body
(api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks). A webhook takes about one message a
second and answers 429 with `Retry-After` beyond that (docs.slack.dev/apis/web-api/rate-limits). It knows no idempotency
key and returns no message id, so a repeat after an ambiguous send cannot be prevented; the message says so.
"""

from typing import Final

import httpx
import orjson
from pydantic import SecretStr

from worker.channels.base import NOT_FOR_THIS_CHANNEL, Message, Outcome, OutcomeKind, PersonalMail
from worker.channels.http import TOTAL_SECONDS, USER_AGENT, Reply, by_status, post
from worker.channels.slack_message import render

_WORDS: Final[dict[bytes, OutcomeKind]] = {
    b"invalid_payload": OutcomeKind.PAYLOAD_PERMANENT,
    b"invalid_blocks": OutcomeKind.PAYLOAD_PERMANENT,
    b"invalid_blocks_format": OutcomeKind.PAYLOAD_PERMANENT,
    b"no_text": OutcomeKind.PAYLOAD_PERMANENT,
    b"missing_text_or_fallback_or_attachments": OutcomeKind.PAYLOAD_PERMANENT,
    b"msg_too_long": OutcomeKind.PAYLOAD_PERMANENT,
    b"too_many_attachments": OutcomeKind.PAYLOAD_PERMANENT,
    # Our payload never names a user, so this one is about the person the webhook itself posts to.
    b"user_not_found": OutcomeKind.DESTINATION_PERMANENT,
    b"action_prohibited": OutcomeKind.DESTINATION_PERMANENT,
    b"channel_is_archived": OutcomeKind.DESTINATION_PERMANENT,
    b"channel_not_found": OutcomeKind.DESTINATION_PERMANENT,
    b"invalid_token": OutcomeKind.DESTINATION_PERMANENT,
    b"no_active_hooks": OutcomeKind.DESTINATION_PERMANENT,
    b"no_service": OutcomeKind.DESTINATION_PERMANENT,
    b"no_service_id": OutcomeKind.DESTINATION_PERMANENT,
    b"no_team": OutcomeKind.DESTINATION_PERMANENT,
    b"posting_to_general_channel_denied": OutcomeKind.DESTINATION_PERMANENT,
    b"team_disabled": OutcomeKind.DESTINATION_PERMANENT,
}
"""Slack's words for what will not work on a second try either."""


class SlackChannel:
    """Messages to the one Slack channel behind a webhook. Owns `client` and closes it."""

    name = "slack"

    def __init__(
        self, *, webhook_url: SecretStr, client: httpx.AsyncClient, total_seconds: float = TOTAL_SECONDS
    ) -> None:
        self._client = client
        self._url = httpx.URL(webhook_url.get_secret_value())
        self._total_seconds = total_seconds
        self._headers = httpx.Headers(
            {
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "Content-Type": "application/json; charset=utf-8",
                "User-Agent": USER_AGENT,
            }
        )

    async def send(self, message: Message) -> Outcome:
        """Post the message once. Never raises for a fault of Slack or of the network."""
        if isinstance(message, PersonalMail):
            return NOT_FOR_THIS_CHANNEL
        reply = await post(
            self._client,
            self._url,
            headers=self._headers,
            content=orjson.dumps(render(message)),
            total_seconds=self._total_seconds,
        )
        return reply if isinstance(reply, Outcome) else classify(reply)

    async def aclose(self) -> None:
        """Give connections back."""
        await self._client.aclose()


def classify(reply: Reply) -> Outcome:
    """What Slack's answer means. Only 200 with exactly `ok` is a delivery; a proxy's page with 200 is not."""
    word = reply.body.strip() if reply.complete else b""
    if reply.status == httpx.codes.OK:
        if word == b"ok":
            return Outcome(OutcomeKind.DELIVERED, status=reply.status)
        return Outcome(OutcomeKind.AMBIGUOUS, status=reply.status, error="unexpected_body")
    kind = _WORDS.get(word)
    if kind is not None and httpx.codes.is_client_error(reply.status) and reply.status != httpx.codes.TOO_MANY_REQUESTS:
        return Outcome(kind, status=reply.status, error=word.decode("ascii"))
    return by_status(reply, error="rollup_error" if word == b"rollup_error" else None)
