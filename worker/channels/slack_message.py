"""The Slack message of a lead: pure rendering from alert to Block Kit.

A visitor's own text goes into plain_text objects only; mrkdwn holds our words and checked values.
"""

from typing import Any, Final

from worker.channels import slack_deletion, slack_handoff, slack_notice, wording
from worker.channels.base import Deletion, HandoffAlert, LeadAlert, Notice, Post
from worker.channels.slack_blocks import (
    FALLBACK_LIMIT,
    FIELD_LIMIT,
    REPEAT_MARK,
    Block,
    context,
    escape_within,
    header,
    mrkdwn,
    plain_text,
    reach,
    repeat_note,
    section,
)

WORDS_LIMIT: Final = 1500

_CALL: Final[dict[int | None, str]] = {1: ":fire: *Zadzwoń w ciągu godziny.* ", 24: "*Zadzwoń w ciągu 24 godzin.* "}


def render(message: Post | HandoffAlert | Deletion) -> dict[str, Any]:
    """The payload for an incoming webhook. Slack accepts it whatever the texts in the message are."""
    if isinstance(message, Deletion):
        blocks, fallback = slack_deletion.blocks(message), slack_deletion.fallback(message)
    elif isinstance(message, HandoffAlert):
        blocks, fallback = slack_handoff.blocks(message), slack_handoff.fallback(message)
    elif isinstance(message, Notice):
        blocks, fallback = slack_notice.blocks(message), slack_notice.fallback(message)
    else:
        blocks, fallback = _blocks(message), _fallback(message)
    return {"text": escape_within(fallback, FALLBACK_LIMIT), "blocks": blocks, "unfurl_links": False}


def _blocks(alert: LeadAlert) -> list[Block]:
    blocks = [header(_title(alert)), *repeat_note(alert.envelope)]
    if alert.hot:
        blocks.append({"type": "section", "text": mrkdwn(_why_hot(alert))})
    contact = reach(alert.phone, alert.email)
    if alert.quote_pln is not None:
        contact.append(mrkdwn(f"*Wycena*\n{wording.money(alert.quote_pln)} (orientacyjnie)"))
    blocks += [{"type": "section", "fields": fields} for fields in (contact, _details(alert)) if fields]
    words = wording.plain(alert.last_words, WORDS_LIMIT, lines=True)
    if words:
        blocks.append(section(f"„{words}”"))
    return [*blocks, context(_consents(alert), _origin(alert))]


def _title(alert: LeadAlert) -> str:
    who = wording.plain(alert.name, 80) or "bez imienia"
    return f"{'Gorący' if alert.hot else 'Nowy'} lead: {who} · {alert.score}/100"


def _why_hot(alert: LeadAlert) -> str:
    """How soon to call, and what the score is made of. Our words only."""
    known = (
        ("imię", alert.name),
        ("telefon", alert.phone),
        ("e-mail", alert.email),
        ("miasto", alert.city),
        ("metraż", alert.area_m2),
        ("pakiet", alert.package),
        ("budżet", alert.budget_pln),
    )
    names = ", ".join(name for name, value in known if value is not None)
    return f"{_CALL.get(alert.call_within_hours, '')}Wynik {alert.score}/100. Wiemy już: {names or 'niewiele'}."


def _fallback(alert: LeadAlert) -> str:
    contact = wording.phone_number(alert.phone) or wording.email_address(alert.email) or "kontakt w treści"
    mark = f" ({REPEAT_MARK})" if alert.envelope.possible_repeat else ""
    return f"{_title(alert)} · {contact}{mark}"


def _details(alert: LeadAlert) -> list[Block]:
    facts = (
        ("Pakiet", wording.plain(alert.package_name or alert.package, 60)),
        ("Metraż", f"{wording.number(alert.area_m2)} m²" if alert.area_m2 is not None else ""),
        ("Nieruchomość", wording.property_type(alert.property_type)),
        ("Miasto", wording.plain(alert.city, 80)),
        ("Budżet", wording.money(alert.budget_pln) if alert.budget_pln is not None else ""),
    )
    return [plain_text(f"{label}: {value}", FIELD_LIMIT) for label, value in facts if value]


def _consents(alert: LeadAlert) -> str:
    return f":white_check_mark: {wording.consents(marketing=alert.consent_marketing)}"


def _origin(alert: LeadAlert) -> str:
    language = "".join(character for character in alert.language if character.isalnum() or character == "-")[:20]
    return (
        f"język: {language} · {wording.local_time(alert.captured_at)} · lead `{wording.short_id(alert.lead_id)}`"
        f" · rozmowa `{wording.short_id(alert.conversation_id)}` · alert `{wording.short_id(alert.envelope.alert_id)}`"
    )
