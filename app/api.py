"""The one list of routers."""

from fastapi import APIRouter

from app.alerts.routes.alerts import router as alerts
from app.alerts.routes.channels import router as channels
from app.alerts.routes.dead_letters import router as dead_letters
from app.alerts.routes.metrics import router as metrics
from app.alerts.routes.status import router as status
from app.consent.routes import router as consent
from app.conversations.audit_routes import router as audit
from app.conversations.consent_routes import router as answers
from app.conversations.contact_routes import router as contact
from app.conversations.desk_routes import router as conversations
from app.conversations.events_routes import router as events
from app.conversations.feedback_routes import desk_router as feedback
from app.conversations.feedback_routes import router as chat_feedback
from app.conversations.handoff_routes import router as handoff
from app.conversations.offer_routes import router as offer
from app.conversations.questions_routes import router as questions
from app.conversations.routes import router as chat
from app.conversations.unsubscribe_routes import router as unsubscribe
from app.followups.routes import router as followups
from app.leads.routes import router as leads
from app.operations.routes import router as operator_actions
from app.privacy.page_routes import router as privacy_pages
from app.privacy.routes import chat_router as chat_privacy
from app.privacy.routes import router as privacy
from app.web.docs import router as docs
from app.web.health import router as health

ROUTERS: tuple[APIRouter, ...] = (
    chat,
    events,
    handoff,
    contact,
    chat_feedback,
    chat_privacy,
    offer,
    consent,
    answers,
    unsubscribe,
    audit,
    privacy,
    privacy_pages,
    leads,
    conversations,
    questions,
    feedback,
    followups,
    alerts,
    dead_letters,
    channels,
    operator_actions,
    status,
    health,
    metrics,
    docs,
)

TAGS = [
    {"name": "chat", "description": "A visitor's conversation."},
    {"name": "offer", "description": "Packages and prices, for anyone."},
    {"name": "consent", "description": "What we ask people to agree to, and what a visitor answered."},
    {"name": "unsubscribe", "description": "No more marketing, for anyone, without a login."},
    {"name": "audit", "description": "Proof of what people decided, and that nobody changed it. For operators."},
    {"name": "privacy", "description": "Access, erasure and withdrawal, for whoever proves an address."},
    {"name": "leads", "description": "Visitors with contact data. For operators."},
    {"name": "conversations", "description": "What visitors and we said. For operators."},
    {"name": "questions", "description": "What the assistant could not answer. For operators."},
    {"name": "followups", "description": "What quiet conversations are sent, each number once. For operators."},
    {"name": "alerts", "description": "Messages to sales and their delivery. For operators."},
    {"name": "dead_letters", "description": "Alerts that were not delivered at once, and what to do. For operators."},
    {"name": "channels", "description": "Slack, monday.com, e-mail: what holds them back. For operators."},
    {"name": "operations", "description": "How the service stands, and what operators did. For operators."},
    {"name": "health", "description": "For load balancers and supervisors."},
]
