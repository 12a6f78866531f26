"""The page that a developer watches: what arrived, as the services would show it, and what was refused and why."""

from html import escape
from typing import Any, Final

import orjson

from app.devstack.sink import mail_html, slack_html
from app.devstack.sink.board import FIELDS, text_of
from app.devstack.sink.state import ChannelName, Message, Mode, Rejection, SinkState

SHOWN: Final = 100
PLAYED: Final = {ChannelName.SLACK: "Slack", ChannelName.MONDAY: "monday.com", ChannelName.EMAIL: "Mail"}
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_LABELS: Final = {
    "phone": "Phone",
    "email": "E-mail",
    "city": "City",
    "property_type": "Property",
    "area_m2": "Area, m²",
    "package": "Package",
    "budget_pln": "Budget, zł",
    "quote_pln": "Quote, zł",
    "score": "Score",
    "consent": "Consent",
    "language": "Language",
    "captured_at": "Captured, UTC",
    "last_words": "Last words",
    "lead_id": "Lead",
    "conversation_id": "Conversation",
    "alert_id": "Alert",
}
_NUMERIC: Final = frozenset({"numbers"})
_CONTENT: Final = {ChannelName.SLACK: "payload", ChannelName.MONDAY: "item", ChannelName.EMAIL: "mail"}


def page(state: SinkState, columns: dict[str, str]) -> str:
    """The whole page. It works without script, which only keeps it fresh."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>NovaHouse sink</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/assets/page.css">'
        '<script src="/assets/page.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="5"></noscript></head><body>'
        f"{fragment(state, columns)}</body></html>"
    )


def fragment(state: SinkState, columns: dict[str, str]) -> str:
    """All that changes, as one element."""
    slack = list(state.of(ChannelName.SLACK))[::-1]
    monday = list(state.of(ChannelName.MONDAY))[::-1]
    mail = list(state.of(ChannelName.EMAIL))[::-1]
    return (
        f'<main id="sink" data-version="{state.version}"><header class="top"><div><h1>NovaHouse sink</h1>'
        "<p>Plays Slack, monday.com and a mail server for this machine. Nothing leaves it.</p></div>"
        f'<div class="pills">{"".join(_pill(state, channel) for channel in PLAYED)}'
        '<button id="clear" type="button" hidden>Clear</button></div></header>'
        f"{_rejections(state)}"
        f'<section class="slack"><h2>Slack</h2>{_slack(slack)}</section>'
        f'<section class="monday"><h2>monday.com</h2>{_monday(monday, columns)}</section>'
        f'<section class="email"><h2>Mail</h2>{mail_html.mails(mail, [_time(message) for message in mail])}</section>'
        "</main>"
    )


def _pill(state: SinkState, channel: ChannelName) -> str:
    tally = state.tallies[channel]
    behaviour, _ = state.behaviour(channel)
    facts = [f"{tally.accepted} taken"]
    facts += [f"{tally.replayed} replayed"] if tally.replayed else []
    facts += [f"{tally.rejected} refused"] if tally.rejected else []
    mood = "" if behaviour.mode is Mode.OK else f'<b class="bad">{escape(behaviour.mode)}</b>'
    return f'<span class="pill"><b>{PLAYED[channel]}</b> {" · ".join(facts)}{mood}</span>'


def _slack(messages: list[Message]) -> str:
    if not messages:
        return '<p class="empty">No message yet. Leave a lead in the chat and it shows up here.</p>'
    return "".join(
        f'<article class="s-message"><div class="s-avatar" aria-hidden="true">N</div><div class="s-body">'
        f'<p class="s-by"><b>NovaHouse</b> <span class="s-app">APP</span> {_time(message)}</p>'
        f"{slack_html.message(message.content)}</div></article>"
        for message in messages[:SHOWN]
    )


def _monday(messages: list[Message], columns: dict[str, str]) -> str:
    if not messages:
        return '<p class="empty">No item yet.</p>'
    fields = [(field, columns.get(field, default), kind) for field, (default, kind) in FIELDS.items()]
    shown = [entry for entry in fields if entry[1]]
    heads = "".join(f"<th{_align(kind)}>{_LABELS[field]}</th>" for field, _, kind in shown)
    rows = "".join(_row(message, shown) for message in messages[:SHOWN])
    return (
        '<div class="scroll" tabindex="0"><table><thead><tr><th>Item</th>'
        f"{heads}<th>Received</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(message: Message, shown: list[tuple[str, str, str]]) -> str:
    values = message.content["column_values"]
    cells = "".join(
        f'<td data-label="{_LABELS[field]}"{_align(kind)}>{_cell(field, values.get(column))}</td>'
        for field, column, kind in shown
    )
    return (
        f'<tr><th scope="row">{escape(message.content["name"])}<small>{escape(message.content["id"])}</small></th>'
        f'{cells}<td data-label="Received">{_time(message)}</td></tr>'
    )


def _cell(field: str, value: Any) -> str:
    text = text_of(value)
    if field.endswith("_id"):
        return f'<code title="{escape(text)}">{escape(text[-8:])}</code>' if text else ""
    return f'<div class="words">{escape(text)}</div>' if field == "last_words" and text else escape(text)


def _align(kind: str) -> str:
    return ' class="n"' if kind in _NUMERIC else ""


def _rejections(state: SinkState) -> str:
    rejections = list(state.rejections)[::-1][:SHOWN]
    if not rejections:
        return ""
    return f'<section class="refused"><h2>Refused</h2>{"".join(_rejection(one) for one in rejections)}</section>'


def _rejection(one: Rejection) -> str:
    return (
        f'<details id="r{one.id}"><summary><span class="status">{PLAYED.get(one.channel, one.channel)} {one.status}'
        f"</span> {escape(one.reason)} {_time(one)}</summary><pre>{escape(one.excerpt) or '(empty)'}</pre></details>"
    )


def _time(event: Message | Rejection) -> str:
    return f'<time datetime="{event.received_at.isoformat()}">{event.received_at:%H:%M:%S} UTC</time>'


def messages_json(messages: list[Message]) -> bytes:
    """`GET /messages`: Slack's under `payload`, monday's under `item`, mail under `mail`."""
    items = [
        {
            "id": message.id,
            "channel": message.channel,
            "received_at": message.received_at,
            _CONTENT[message.channel]: message.content,
            "headers": message.headers,
        }
        for message in messages
    ]
    return orjson.dumps({"items": items})
