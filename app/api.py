"""The one list of routers."""

from fastapi import APIRouter

from app.alerts.routes import router as alerts
from app.consent.routes import router as consent
from app.conversations.offer_routes import router as offer
from app.conversations.routes import router as chat
from app.leads.routes import router as leads
from app.web.health import router as health

ROUTERS: tuple[APIRouter, ...] = (chat, offer, consent, leads, alerts, health)

TAGS = [
    {"name": "chat", "description": "A visitor's conversation."},
    {"name": "offer", "description": "Packages and prices, for anyone."},
    {"name": "consent", "description": "What we ask people to agree to."},
    {"name": "leads", "description": "Visitors with contact data. For operators."},
    {"name": "alerts", "description": "Messages to sales and their delivery. For operators."},
    {"name": "health", "description": "For load balancers and supervisors."},
]
