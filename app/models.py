"""Imports every feature's tables, so that the metadata is whole. Alembic and nothing else reads it."""

from app.alerts import models as alerts
from app.consent import models as consent
from app.conversations import models as conversations
from app.core.db import Base
from app.followups import models as followups
from app.leads import models as leads
from app.operations import models as operations
from app.privacy import models as privacy

__all__ = ["alerts", "consent", "conversations", "followups", "leads", "metadata", "operations", "privacy"]

metadata = Base.metadata
