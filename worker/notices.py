"""What the people who run the service are told, and what they can type."""

from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import dead_letters, notices
from app.core import clock
from app.privacy.deadlines import WARN_AHEAD
from app.privacy.repository import clocks
from worker.channels.base import Envelope, Notice

ITEMS: Final = 25
"""Dead letters that a mail lists; it says how many more there are."""


async def notice(session: AsyncSession, row: Any, *, envelope: Envelope) -> Notice:
    """The notice of an `operator_notice` row, from what the tables say now."""
    match row.kind:
        case "notice.dead_letters":
            return await _dead_letters(session, row, envelope)
        case "notice.channel_paused":
            return await _channel_paused(session, row, envelope)
        case "notice.privacy_due":
            return await _privacy_due(session, row, envelope)
        case "notice.erasure_failed":
            return _erasure_failed(row, envelope)
        case _:
            return Notice(
                envelope=envelope,
                notice_id=row.id,
                happened_at=row.created_at,
                title=f"NovaHouse test message for {row.channel}",
                text="An operator asked for this message to see whether the channel works. It does.",
            )


async def _dead_letters(session: AsyncSession, row: Any, envelope: Envelope) -> Notice:
    count, first = await dead_letters.reported_by(session, row.id, limit=ITEMS)
    channels = sorted({item.channel for item in first})
    return Notice(
        envelope=envelope,
        notice_id=row.id,
        happened_at=row.created_at,
        title=f"{count} {'alert' if count == 1 else 'alerts'} could not be delivered",
        text=(
            "Every retry was used up, or the remote will never take them as they are. Nobody has been told of what "
            "they say; they wait in the dead-letter queue until somebody retries or discards them."
        ),
        facts=(("Channels", ", ".join(channels)), ("Dead letters", str(count))),
        items=(
            ("dead letter", "channel", "event", "attempts", "last error", "since (UTC)"),
            *(
                (
                    str(item.id),
                    item.channel,
                    item.event,
                    str(item.attempts),
                    item.reason,
                    f"{item.created_at:%Y-%m-%d %H:%M}",
                )
                for item in first
            ),
        ),
        more=max(count - len(first), 0),
        what_to_do=(
            "See the channels: `novahouse channels list`",
            "Look at one: `novahouse dlq show ID`",
            "Try all again once the cause is mended: `novahouse dlq retry-all --channel CHANNEL`",
            "Give one up: `novahouse dlq discard ID --reason WHY`",
        ),
    )


async def _channel_paused(session: AsyncSession, row: Any, envelope: Envelope) -> Notice:
    waiting = await notices.waiting(session, row.channel)
    minutes = max(int((clock.now() - row.created_at).total_seconds() // 60), 0)
    return Notice(
        envelope=envelope,
        notice_id=row.id,
        happened_at=row.created_at,
        title=f"Channel {row.channel} is paused: {row.reason}",
        text=(
            "The remote refuses our address, token or board, so every alert would be refused. Nothing is lost: alerts "
            "are kept and leave when the channel is resumed."
        ),
        facts=(
            ("Channel", row.channel),
            ("The remote said", row.reason or "unknown"),
            ("Alerts waiting", str(waiting)),
            ("Paused for", f"{minutes} min"),
        ),
        what_to_do=(
            "Mend the channel's settings and restart the workers: they try one alert, and a yes lets the others go",
            f"See whether it works: `novahouse channels test {row.channel} --wait`",
            f"Let the waiting alerts go now: `novahouse channels resume {row.channel}`",
        ),
    )


async def _privacy_due(session: AsyncSession, row: Any, envelope: Envelope) -> Notice:
    count, first = await clocks.due(session, ahead=WARN_AHEAD, limit=ITEMS)
    return Notice(
        envelope=envelope,
        notice_id=row.id,
        happened_at=row.created_at,
        title=f"{count} privacy {'request is' if count == 1 else 'requests are'} due within {WARN_AHEAD.days} days",
        text=(
            "A request for access, erasure or withdrawal must be answered within a month (GDPR art. 12(3)). These wait "
            "for a person."
        ),
        facts=(("Requests", str(count)),),
        items=(
            ("request", "type", "state", "due (UTC)"),
            *((str(item.id), item.type, item.state, f"{item.due_at:%Y-%m-%d %H:%M}") for item in first),
        ),
        more=max(count - len(first), 0),
        what_to_do=(
            "See them all: `novahouse privacy list`",
            "Erase somebody whose address is proved: `novahouse privacy erase --email ADDRESS`",
        ),
    )


def _erasure_failed(row: Any, envelope: Envelope) -> Notice:
    return Notice(
        envelope=envelope,
        notice_id=row.id,
        happened_at=row.created_at,
        title="An erasure found something left and was undone",
        text=(
            "After the deletion the search still found the person's address, number or id, so nothing was changed. "
            "The tables below hold it in words of their own, for example in an operator's reason."
        ),
        facts=(("Tables", row.reason or "unknown"),),
        what_to_do=(
            "Remove what is left in those tables",
            "See the requests that wait: `novahouse privacy list`",
            "Erase again: `novahouse privacy erase --email ADDRESS`, or `--conversation ID`",
        ),
    )
