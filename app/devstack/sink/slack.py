"""Slack's side of an incoming webhook: the same checks, statuses and words as hooks.slack.com.

Sources: api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks for statuses and words;
`no_service`, `no_text` and `invalid_blocks` are known from clients, not from first-party text. A form field `payload`
is accepted as Slack does.
"""

from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from app.devstack.sink.block_kit import SlackRefusalError, check
from app.devstack.sink.http import media_type, read
from app.devstack.sink.settings import SinkSettings
from app.devstack.sink.state import ChannelName, SinkState

_STATUSES = {"no_service": 404, "method_not_allowed": 405}


class SlackService:
    """One webhook. Takes messages into `state` and answers `ok`, or refuses in Slack's words."""

    channel = ChannelName.SLACK

    def __init__(self, settings: SinkSettings, state: SinkState) -> None:
        self._path = settings.slack_path
        self._state = state

    async def answer(self, request: Request) -> Response:
        """What Slack would answer to this request."""
        body = await read(request)
        try:
            self._check_address(request)
            payload = _payload(media_type(request), body)
            check(payload)
        except SlackRefusalError as refusal:
            status = _STATUSES.get(refusal.word, 400)
            self._state.reject(self.channel, status=status, reason=f"{refusal.word}: {refusal}", body=body)
            return PlainTextResponse(refusal.word, status)
        self._state.accept(self.channel, payload, {"content-type": request.headers["content-type"]})
        return PlainTextResponse("ok")

    def _check_address(self, request: Request) -> None:
        if self._path is not None and request.url.path != self._path:
            raise SlackRefusalError("no_service", "the path is not that of SLACK_WEBHOOK_URL")
        if request.method != "POST":
            raise SlackRefusalError("method_not_allowed", "a webhook takes POST")


def _payload(kind: str, body: bytes) -> Any:
    if kind == "application/x-www-form-urlencoded":
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
        body = fields.get("payload", [""])[0].encode()
    elif kind != "application/json":
        raise SlackRefusalError("invalid_payload", "Content-Type is neither JSON nor a form")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        raise SlackRefusalError("invalid_payload", "the body is not JSON") from None
