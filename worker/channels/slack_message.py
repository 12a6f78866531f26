"""The Slack message of a lead: pure rendering from alert to Block Kit.

Limits and escaping are Slack's (docs.slack.dev/reference/block-kit/blocks and /messaging/formatting-message-text):
at most 50 blocks, header 150 characters of plain_text, section text 3,000, ten fields of 2,000, ten context elements;
`&`, `<` and `>` become entities. mrkdwn has no way to escape `*`, `_` or `~`, and `&gt;` at the start of a line is
still a quote there, so a visitor's own text goes into plain_text objects only; mrkdwn holds our words and checked
values.
"""

from typing import Any, Final

from worker.channels import wording
from worker.channels.base import LeadAlert

HEADER_LIMIT: Final = 150
FIELD_LIMIT: Final = 2000
WORDS_LIMIT: Final = 1500
SECTION_LIMIT: Final = 3000
FALLBACK_LIMIT: Final = 300

REPEAT_MARK: Final = "możliwe powtórzenie"

_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_TABLE: Final = str.maketrans(_ENTITIES)

Block = dict[str, Any]


def render(alert: LeadAlert) -> dict[str, Any]:
    """The payload for an incoming webhook. Slack accepts it whatever the visitor wrote."""
    blocks: list[Block] = [{"type": "header", "text": _plain_text(_title(alert), HEADER_LIMIT)}]
    if alert.possible_repeat:
        blocks.append(_context(f":repeat: *{REPEAT_MARK}* – wcześniejsza próba mogła już dotrzeć"))
    blocks += [{"type": "section", "fields": fields} for fields in (_contact(alert), _details(alert)) if fields]
    words = wording.plain(alert.last_words, WORDS_LIMIT, lines=True)
    if words:
        blocks.append({"type": "section", "text": _plain_text(f"„{words}”", SECTION_LIMIT)})
    blocks.append({"type": "context", "elements": [_mrkdwn(_consents(alert)), _mrkdwn(_origin(alert))]})
    return {"text": escape_within(_fallback(alert), FALLBACK_LIMIT), "blocks": blocks, "unfurl_links": False}


def escape_within(text: str, limit: int) -> str:
    """`text` with Slack's three entities, cut so that the escaped form has at most `limit` UTF-16 units."""
    whole = text.translate(_TABLE)
    if wording.width(whole) <= limit:
        return whole
    kept: list[str] = []
    room = limit - 1
    for character in text:
        piece = _ENTITIES.get(character, character)
        room -= wording.width(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + "…"


def _title(alert: LeadAlert) -> str:
    who = wording.plain(alert.name, 80) or "bez imienia"
    return f"Nowy lead: {who} · {alert.score}/100"


def _fallback(alert: LeadAlert) -> str:
    reach = wording.phone_number(alert.phone) or wording.email_address(alert.email) or "kontakt w treści"
    mark = f" ({REPEAT_MARK})" if alert.possible_repeat else ""
    return f"{_title(alert)} · {reach}{mark}"


def _contact(alert: LeadAlert) -> list[Block]:
    fields = []
    phone = wording.phone_number(alert.phone)
    if phone is not None:
        fields.append(_mrkdwn(f"*Telefon*\n<tel:{phone}|{wording.phone_for_people(phone)}>"))
    elif alert.phone:
        fields.append(_plain_text(f"Telefon: {wording.plain(alert.phone, 60)}", FIELD_LIMIT))
    email = wording.email_address(alert.email)
    if email is not None:
        fields.append(_mrkdwn(f"*E-mail*\n<mailto:{email}|{email}>"))
    elif alert.email:
        fields.append(_plain_text(f"E-mail: {wording.plain(alert.email, 254)}", FIELD_LIMIT))
    if alert.quote_pln is not None:
        fields.append(_mrkdwn(f"*Wycena*\n{wording.money(alert.quote_pln)} (orientacyjnie)"))
    return fields


def _details(alert: LeadAlert) -> list[Block]:
    facts = (
        ("Pakiet", wording.plain(alert.package_name or alert.package, 60)),
        ("Metraż", f"{wording.number(alert.area_m2)} m²" if alert.area_m2 is not None else ""),
        ("Nieruchomość", wording.property_type(alert.property_type)),
        ("Miasto", wording.plain(alert.city, 80)),
        ("Budżet", wording.money(alert.budget_pln) if alert.budget_pln is not None else ""),
    )
    return [_plain_text(f"{label}: {value}", FIELD_LIMIT) for label, value in facts if value]


def _consents(alert: LeadAlert) -> str:
    return f":white_check_mark: {wording.consents(marketing=alert.consent_marketing)}"


def _origin(alert: LeadAlert) -> str:
    language = "".join(character for character in alert.language if character.isalnum() or character == "-")[:20]
    return (
        f"język: {language} · {wording.local_time(alert.captured_at)} · lead `{wording.short_id(alert.lead_id)}`"
        f" · rozmowa `{wording.short_id(alert.conversation_id)}` · alert `{wording.short_id(alert.alert_id)}`"
    )


def _context(mrkdwn: str) -> Block:
    return {"type": "context", "elements": [_mrkdwn(mrkdwn)]}


def _mrkdwn(ours: str) -> Block:
    """A formatted text object. `verbatim` keeps Slack from making links and mentions of its own."""
    return {"type": "mrkdwn", "text": ours, "verbatim": True}


def _plain_text(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": escape_within(text, limit), "emoji": False}
