"""The Slack message that asks sales to delete one: a webhook cannot, so a person must. In Polish."""

from worker.channels import wording
from worker.channels.base import Deletion
from worker.channels.slack_blocks import Block, context, header, mrkdwn

_TITLE = "Usuń wiadomość o leadzie"


def blocks(deletion: Deletion) -> list[Block]:
    """Which message to delete, by what stands in its last line, and why. Says nothing of the person."""
    wanted = f"`alert {wording.short_id(deletion.alert_id)}`"
    when = wording.local_time(deletion.sent_at)
    doubt = "" if deletion.certain else " Mogła nie dotrzeć; jeśli jej nie ma, nic nie trzeba robić."
    text = (
        f"Osoba, której dotyczy lead, zażądała usunięcia danych. Usuń z tego kanału wiadomość z {when} "
        f"oznaczoną na dole {wanted}, a także to, co z niej przepisano gdzie indziej.{doubt}"
    )
    return [
        header(_TITLE),
        {"type": "section", "text": mrkdwn(text)},
        context(f"RODO art. 17 i 19 · alert `{wording.short_id(deletion.envelope.alert_id)}`"),
    ]


def fallback(deletion: Deletion) -> str:
    """What a notification on a phone shows."""
    return f"{_TITLE} (alert {wording.short_id(deletion.alert_id)})"
