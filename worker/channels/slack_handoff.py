"""The Slack message that a visitor waits for a person: where to answer, and who it is if they agreed to be contacted.

In Polish. A visitor's own text goes into plain_text objects only.
"""

from typing import Final

from worker.channels import wording
from worker.channels.base import HandoffAlert
from worker.channels.slack_blocks import (
    FIELD_LIMIT,
    REPEAT_MARK,
    Block,
    context,
    header,
    mrkdwn,
    plain_text,
    reach,
    repeat_note,
    section,
)

WORDS_LIMIT: Final = 1500

_TITLE: Final = "Ktoś czeka na człowieka"
_NO_CONSENT: Final = "Bez zgody na kontakt: kto to jest i co pisze, widać tylko w rozmowie."


def blocks(alert: HandoffAlert) -> list[Block]:
    """The message as Block Kit."""
    made = [header(_title(alert)), *repeat_note(alert.envelope), section(wording.plain(alert.hours, 300))]
    if alert.who is None:
        made.append(section(_NO_CONSENT))
    else:
        fields = reach(alert.who.phone, alert.who.email)
        name = wording.plain(alert.who.name, 80)
        if name:
            fields.insert(0, plain_text(f"Imię: {name}", FIELD_LIMIT))
        if fields:
            made.append({"type": "section", "fields": fields})
        words = wording.plain(alert.who.last_words, WORDS_LIMIT, lines=True)
        if words:
            made.append(section(f"„{words}”"))
    return [*made, {"type": "section", "text": mrkdwn(_where(alert))}, context(_origin(alert))]


def fallback(alert: HandoffAlert) -> str:
    """What a notification on a phone shows."""
    mark = f" ({REPEAT_MARK})" if alert.envelope.possible_repeat else ""
    return f"{_title(alert)} · rozmowa {alert.conversation_id}{mark}"


def _title(alert: HandoffAlert) -> str:
    language = "".join(character for character in alert.language if character.isalnum())[:10]
    return f"{_TITLE} · {language}"


def _where(alert: HandoffAlert) -> str:
    path = f"/v1/conversations/{alert.conversation_id}"
    return (
        f"*Odpowiedz*: `POST {path}/messages` albo `novahouse conversations reply {alert.conversation_id} TEKST`\n"
        f"*Oddaj asystentowi*: `POST {path}/release` albo `novahouse conversations release {alert.conversation_id}`"
    )


def _origin(alert: HandoffAlert) -> str:
    return f"czeka od {wording.local_time(alert.requested_at)} · alert `{wording.short_id(alert.envelope.alert_id)}`"
