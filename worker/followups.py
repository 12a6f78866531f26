"""The mail of a follow-up: the words that the chat shows, and on every one of them how to hear no more."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from app.consent.links import list_unsubscribe_headers, unsubscribe_url
from app.conversations.notice import privacy_notice
from app.core.keys import KeyRing
from app.engine.engine import Engine
from app.engine.types import Locale
from app.followups import sending
from app.followups.calendar import Hours
from app.followups.sending import Dropped, Later, Ready
from worker.channels.base import Envelope, PersonalMail


class FollowupMails:
    """Writes them, past the guard and within the hours. `base_url` is ours, without a slash at its end."""

    def __init__(self, *, engine: Engine, keys: KeyRing, hours: Hours, base_url: str) -> None:
        self._engine = engine
        self._keys = keys
        self._hours = hours
        self._base_url = base_url

    async def judge(
        self, connection: asyncpg.Connection, followup_ids: Sequence[UUID], *, now: datetime
    ) -> dict[UUID, Ready | Dropped | Later]:
        """What to do with each of these follow-ups now."""
        return await sending.judge(connection, followup_ids, keys=self._keys, hours=self._hours, now=now)

    async def note(self, connection: asyncpg.Connection, judged: Iterable[Ready | Dropped | Later]) -> set[UUID]:
        """Keep, before any of them can leave, to which addresses these mails go: their links act on those.

        Gives the follow-ups whose conversations are still there.
        """
        return await sending.note(connection, [ready for ready in judged if isinstance(ready, Ready)], keys=self._keys)

    def mail(self, ready: Ready, *, envelope: Envelope, now: datetime) -> PersonalMail:
        """The mail. Its link names the follow-up, so that the audit log can say which mail ended the consent."""
        locale: Locale = "en" if ready.language == "en" else "pl"
        words = self._engine.followup_mail(ready.number, locale=locale, now=now)
        url = unsubscribe_url(
            self._base_url, self._keys, conversation_id=ready.conversation_id, message_id=ready.followup_id
        )
        notice = privacy_notice(locale)
        paragraphs = ready.message.split("\n\n")
        return PersonalMail(
            envelope=envelope,
            recipient=ready.recipient,
            language=locale,
            subject=words.subject,
            paragraphs=(*paragraphs, *(() if words.refuse in paragraphs else (words.refuse,))),
            link="" if words.booking in ready.message else words.booking,
            link_label=words.book,
            footer=(words.why, f"{notice['controller']} · {notice['contact']}"),
            farewell=(words.unsubscribe, url),
            headers=tuple(list_unsubscribe_headers(url).items()),
        )
