"""What to say: from claimed alerts to messages, made of current rows, past the guard."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.alerts.repository import erasure, notices
from app.alerts.repository.erasure import LEAD_ERASED
from app.alerts.repository.queue import Claimed
from app.consent.service import Purpose, Recipient, reasons_not_to_send
from app.conversations import handoff_repository as handoffs
from app.conversations import repository as conversations
from app.conversations.consents import HANDOFF_REQUESTED
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from app.engine.engine import AreaError, Engine, UnknownPackageError
from app.followups.calendar import Hours
from app.followups.mail_repository import FOLLOWUP_DUE
from app.followups.sending import Dropped, Later, Ready
from app.leads import repository as leads
from app.leads.service import LEAD_CAPTURED, LEAD_HOT
from app.privacy import proof as proofs
from app.privacy.opt_in import PROOF_EVENT
from worker.channels.base import Envelope, HandoffAlert, LeadAlert, Message, PersonalMail, Waiting
from worker.followups import FollowupMails
from worker.notices import notice
from worker.personal import deletion, proof_mail

MAX_WORDS: Final = 500
GUARDED: Final[Mapping[str, Purpose]] = {
    LEAD_CAPTURED: "rodo",
    LEAD_HOT: "rodo",
    FOLLOWUP_DUE: "marketing_email",
    HANDOFF_REQUESTED: "rodo",
}
"""Events about people who have a say, and the purpose that each needs; a handoff needs it to say who waits."""
ABOUT_LEADS: Final = frozenset({LEAD_CAPTURED, LEAD_HOT})

PROOF_PATIENCE: Final = timedelta(minutes=10)
"""How long a proof waits whose address has had its share of mails; until its request lapses."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an alert may not be sent. `failed`: it cannot be said at all, as against must not be."""

    reason: str
    failed: bool = False
    until: datetime | None = None
    """Not now, but from then on."""


class Messages:
    """Writes messages for alerts under their claims."""

    def __init__(
        self,
        *,
        database: Database,
        engine: Engine,
        keys: KeyRing,
        public_base_url: str,
        hours: Hours,
    ) -> None:
        self._database = database
        self._followups = FollowupMails(engine=engine, keys=keys, hours=hours, base_url=public_base_url)
        self._engine = engine
        self._keys = keys
        self._public_base_url = public_base_url

    async def write(self, claimed: Iterable[Claimed]) -> dict[UUID, Message | Refusal]:
        """A message or a refusal for each alert, by its id. Raises what the database raises."""
        claimed = list(claimed)
        leads_told = [alert for alert in claimed if alert.event in ABOUT_LEADS]
        noticed = [alert for alert in claimed if alert.event.startswith("notice.")]
        proving = [alert for alert in claimed if alert.event == PROOF_EVENT]
        erased = [alert for alert in claimed if alert.event == LEAD_ERASED]
        followed = [alert for alert in claimed if alert.event == FOLLOWUP_DUE]
        waiting = [alert for alert in claimed if alert.event == HANDOFF_REQUESTED]
        written: dict[UUID, Message | Refusal] = {
            alert.id: Refusal("unknown_event", failed=True)
            for alert in claimed
            if alert not in (*leads_told, *noticed, *proving, *erased, *followed, *waiting)
        }
        if leads_told:
            async with self._database.driver() as connection:
                written |= await self._about_leads(connection, leads_told)
        if noticed:
            async with self._database.transaction() as session:
                written |= await self._notices(session, noticed)
        for alert in proving:
            written[alert.id] = await self._proof(alert)
        if erased:
            async with self._database.driver() as connection:
                written |= await self._deletions(connection, erased)
        if followed:
            async with self._database.driver() as connection:
                written |= await self._followup_mails(connection, followed)
        if waiting:
            async with self._database.driver() as connection:
                written |= await self._about_handoffs(connection, waiting)
        return written

    async def _followup_mails(
        self, connection: asyncpg.Connection, claimed: Sequence[Claimed]
    ) -> dict[UUID, Message | Refusal]:
        now = clock.now()
        judged = await self._followups.judge(connection, [alert.subject_id for alert in claimed], now=now)
        noted = await self._followups.note(connection, judged.values())

        def mail(alert: Claimed) -> Message | Refusal:
            verdict = judged[alert.subject_id]
            if not isinstance(verdict, Ready):
                return _refusal(verdict)
            if verdict.followup_id not in noted:
                return Refusal("subject_erased")
            return self._followups.mail(verdict, envelope=_envelope(alert), now=now)

        return {alert.id: _tried(mail, alert) for alert in claimed}

    async def _proof(self, alert: Claimed) -> Message | Refusal:
        """A transaction each: it makes the token, and waits for others that mail the same address."""
        async with self._database.transaction() as session:
            proof = await proofs.write(session, self._keys, alert.subject_id)
        if isinstance(proof, str):
            later = clock.now() + PROOF_PATIENCE if proof == proofs.TOO_MANY_MAILS else None
            return Refusal(proof, until=later)
        return proof_mail(proof, envelope=_envelope(alert), base_url=self._public_base_url)

    async def _deletions(
        self, connection: asyncpg.Connection, claimed: Sequence[Claimed]
    ) -> dict[UUID, Message | Refusal]:
        """About an alert and nobody: there is no consent to ask, the person wants it gone."""
        sent = await erasure.sent(connection, [alert.subject_id for alert in claimed])
        return {
            alert.id: deletion(sent[alert.subject_id], envelope=_envelope(alert))
            if alert.subject_id in sent
            else Refusal("alert_forgotten")
            for alert in claimed
        }

    async def refusal(self, alert: Claimed, message: Message) -> Refusal | None:
        """Why a message that was written may not be sent after all; None when it may. Raises what the database raises.

        For messages that waited to be sent: a withdrawal may have come in between, or another address, to which the
        mail is then written anew, as a handoff is without a name.
        """
        if alert.event == PROOF_EVENT:
            async with self._database.transaction() as session:
                closed = await proofs.refusal(session, self._keys, alert.subject_id)
            return None if closed is None else Refusal(closed)
        if alert.event not in GUARDED:
            return None
        async with self._database.driver() as connection:
            if alert.event == FOLLOWUP_DUE:
                return await self._followup_refusal(connection, alert, message)
            reason = (await self._reasons(connection, [alert], GUARDED[alert.event])).get(alert.conversation_id)
            if alert.event == HANDOFF_REQUESTED:
                return await self._handoff_refusal(connection, alert, message, reason)
        return None if reason is None else Refusal(reason)

    async def _followup_refusal(
        self, connection: asyncpg.Connection, alert: Claimed, message: Message
    ) -> Refusal | None:
        judged = await self._followups.judge(connection, [alert.subject_id], now=clock.now())
        verdict = judged[alert.subject_id]
        if not isinstance(verdict, Ready):
            return _refusal(verdict)
        moved = isinstance(message, PersonalMail) and message.recipient != verdict.recipient
        return Refusal("address_changed", until=clock.now()) if moved else None

    async def _handoff_refusal(
        self, connection: asyncpg.Connection, alert: Claimed, message: Message, reason: str | None
    ) -> Refusal | None:
        if not await handoffs.waiting(connection, [alert.subject_id]):
            return Refusal("handoff_over")
        named = isinstance(message, HandoffAlert) and message.who is not None
        return Refusal("consent_changed", until=clock.now()) if reason and named else None

    async def _reasons(
        self, connection: asyncpg.Connection, claimed: Sequence[Claimed], purpose: Purpose
    ) -> dict[UUID | None, str]:
        recipients = [Recipient(alert.conversation_id, None) for alert in claimed]
        return await reasons_not_to_send(connection, recipients=recipients, purpose=purpose, keys=self._keys)

    async def _about_leads(
        self, connection: asyncpg.Connection, claimed: Sequence[Claimed]
    ) -> dict[UUID, Message | Refusal]:
        rows = await leads.many(connection, [alert.subject_id for alert in claimed])
        words = await conversations.last_words(connection, [row["conversation_id"] for row in rows.values()])
        reasons = await self._reasons(connection, claimed, GUARDED[LEAD_CAPTURED])
        now = clock.now()

        def lead_alert(alert: Claimed) -> Message | Refusal:
            lead = rows.get(alert.subject_id)
            if alert.conversation_id in reasons:
                return Refusal(reasons[alert.conversation_id])
            if lead is None:
                return Refusal("subject_erased")
            return self._lead_alert(alert, lead, last_words=words.get(lead["conversation_id"], ""), now=now)

        return {alert.id: _tried(lead_alert, alert) for alert in claimed}

    async def _about_handoffs(
        self, connection: asyncpg.Connection, claimed: Sequence[Claimed]
    ) -> dict[UUID, Message | Refusal]:
        """That somebody waits needs no consent, who it is does."""
        rows = await handoffs.waiting(connection, [alert.subject_id for alert in claimed])
        words = await conversations.last_words(connection, [row["conversation_id"] for row in rows.values()])
        reasons = await self._reasons(connection, claimed, GUARDED[HANDOFF_REQUESTED])
        hours = self._engine.handoff(locale="pl", now=clock.now()).hours

        def handoff_alert(alert: Claimed) -> Message | Refusal:
            row = rows.get(alert.subject_id)
            if row is None:
                return Refusal("handoff_over")
            said = words.get(row["conversation_id"], "")[:MAX_WORDS]
            unnamed = alert.conversation_id in reasons
            return HandoffAlert(
                envelope=_envelope(alert),
                handoff_id=row["id"],
                conversation_id=row["conversation_id"],
                requested_at=row["requested_at"],
                language=row["language"],
                hours=hours,
                who=None if unnamed else Waiting(row["name"], row["phone"], row["email"], said),
            )

        return {alert.id: _tried(handoff_alert, alert) for alert in claimed}

    def _lead_alert(self, alert: Claimed, lead: asyncpg.Record, *, last_words: str, now: datetime) -> LeadAlert:
        names = {package.id: package.name for package in self._engine.packages("pl", now)}
        return LeadAlert(
            envelope=_envelope(alert),
            lead_id=lead["id"],
            conversation_id=lead["conversation_id"],
            captured_at=lead["created_at"],
            language=lead["language"],
            score=lead["score"],
            name=lead["name"],
            phone=lead["phone"],
            email=lead["email"],
            city=lead["city"],
            property_type=lead["property_type"],
            area_m2=lead["area_m2"],
            package=lead["package"],
            package_name=names.get(lead["package"]),
            budget_pln=lead["budget_pln"],
            quote_pln=self._estimate(lead, now),
            consent_marketing=bool(lead["marketing_consent"]),
            last_words=last_words[:MAX_WORDS],
            hot=alert.event == LEAD_HOT,
            call_within_hours=self._engine.call_within_hours(lead["score"]),
        )

    def _estimate(self, lead: asyncpg.Record, now: datetime) -> Decimal | None:
        """What the lead's wish costs today; None when it is not whole, or when today's offer does not have it."""
        if lead["area_m2"] is None or lead["package"] is None:
            return None
        try:
            quote = self._engine.quote(area_m2=lead["area_m2"], package=lead["package"], locale="pl", now=now)
        except (AreaError, UnknownPackageError):
            return None
        return quote.total_pln

    async def _notices(self, session: AsyncSession, claimed: Sequence[Claimed]) -> dict[UUID, Message | Refusal]:
        rows = await notices.many(session, [alert.subject_id for alert in claimed])
        written: dict[UUID, Message | Refusal] = {}
        for alert in claimed:
            row = rows.get(alert.subject_id)
            if row is None:
                written[alert.id] = Refusal("subject_erased")
            else:
                written[alert.id] = await notice(session, row, envelope=_envelope(alert))
        return written


def _refusal(verdict: Dropped | Later) -> Refusal:
    if isinstance(verdict, Later):
        return Refusal("outside_hours", until=verdict.at)
    return Refusal(verdict.reason)


def _envelope(alert: Claimed) -> Envelope:
    return Envelope(alert.id, alert.attempt, alert.generation, alert.ambiguous_since)


def _tried(write: Callable[[Claimed], Message | Refusal], alert: Claimed) -> Message | Refusal:
    """One alert that cannot be written must not keep its neighbours from being sent."""
    try:
        return write(alert)
    except Exception as error:  # noqa: BLE001  whatever it is, it is this alert's own
        _log.exception("alert_unwritable", alert_id=str(alert.id))
        return Refusal(f"unwritable:{type(error).__name__}", failed=True)
