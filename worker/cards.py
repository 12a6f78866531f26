"""From a lead's current row to what the channels say about it. Pure."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from app.alerts.repository import Claimed
from app.engine.engine import Engine
from worker.channels.base import LeadAlert

MAX_WORDS = 500


def lead_alert(alert: Claimed, lead: Any, *, engine: Engine, last_words: str, now: datetime) -> LeadAlert:
    """What a salesperson should know of `lead` at this moment, with the estimate at today's prices."""
    names = {package.id: package.name for package in engine.packages("pl", now)}
    return LeadAlert(
        alert_id=alert.id,
        attempt=alert.attempt,
        possible_repeat=alert.possible_repeat,
        lead_id=lead.id,
        conversation_id=lead.conversation_id,
        captured_at=lead.created_at,
        language=lead.language,
        score=lead.score,
        name=lead.name,
        phone=lead.phone,
        email=lead.email,
        city=lead.city,
        property_type=lead.property_type,
        area_m2=lead.area_m2,
        package=lead.package,
        package_name=names.get(lead.package),
        budget_pln=lead.budget_pln,
        quote_pln=_estimate(lead, engine, now),
        consent_marketing=bool(lead.marketing_consent),
        last_words=last_words[:MAX_WORDS],
    )


def _estimate(lead: Any, engine: Engine, now: datetime) -> Decimal | None:
    if lead.area_m2 is None or lead.package is None:
        return None
    total: Decimal | None = engine.quote(area_m2=lead.area_m2, package=lead.package, locale="pl", now=now).total_pln
    return total
