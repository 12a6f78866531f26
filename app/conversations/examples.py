"""One conversation as the schema's examples tell it: what an answer looks like, whole."""

from typing import Any, Final

_AT: Final = "2026-11-24T10:15:30.123456Z"
_SESSION: Final = "0d3bb2f0-6c1e-4c37-9d1f-0f6f3c1f5f10"
QUICK_REPLIES: Final = [{"label": "Wycena", "text": "Ile kosztuje wykończenie?"}]
GREETING: Final[dict[str, Any]] = {
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a01",
    "seq": 1,
    "role": "bot",
    "type": "text",
    "text": "Dzień dobry! W czym mogę pomóc?",
    "data": {"disclosure": "Rozmawia z Państwem automatyczny asystent (system AI)."},
    "quick_replies": QUICK_REPLIES,
    "created_at": _AT,
}
SAID: Final[dict[str, Any]] = {
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a02",
    "seq": 2,
    "role": "visitor",
    "type": "text",
    "text": "Ile kosztuje 52 m2 w pakiecie Premium?",
    "data": None,
    "quick_replies": [],
    "created_at": _AT,
}
QUOTED: Final[dict[str, Any]] = {
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a03",
    "seq": 3,
    "role": "bot",
    "type": "quote",
    "text": "Pakiet Premium, 52 m²: orientacyjnie 103 948 zł (52 m² × 1 999 zł/m²).",
    "data": {
        "package": "premium",
        "area_m2": "52",
        "price_per_m2": "1999",
        "total_pln": "103948.00",
        "price_valid_from": "2026-01-01",
        "vat_percent": 8,
        "currency": "PLN",
        "binding": False,
    },
    "quick_replies": [{"label": "Termin", "text": "Ile to potrwa?"}],
    "created_at": _AT,
}
HANDED_OVER: Final[dict[str, Any]] = {
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a04",
    "seq": 4,
    "role": "bot",
    "type": "text",
    "text": "Dobrze, odpowie tu człowiek. Zespół będzie dostępny w poniedziałek od 9:00.",
    "data": None,
    "quick_replies": [],
    "created_at": _AT,
}
CONTEXT: Final[dict[str, Any]] = {
    "area_m2": 52,
    "package": "premium",
    "city": None,
    "budget_pln": None,
    "name": None,
    "phone": None,
    "email": None,
    "property_type": None,
    "consent_contact": None,
    "consent_marketing": None,
}
SESSION: Final[dict[str, Any]] = {
    "session_id": _SESSION,
    "session_token": "kq1J2tC3m8bQ0n4yWb5eV7xR9sT6uZ1aLpD2fG3hK4M",
    "disclosure": GREETING["data"]["disclosure"],
    "greeting": GREETING["text"],
    "quick_replies": QUICK_REPLIES,
    "privacy": {
        "controller": "NovaHouse Sp. z o.o.",
        "contact": "kontakt@novahouse.pl",
        "notice": "Administratorem danych jest NovaHouse Sp. z o.o. …",
    },
}
TURN: Final[dict[str, Any]] = {
    "message": SAID | {"client_message_id": "5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"},
    "replies": [QUOTED],
    "context": CONTEXT,
    "state": "open",
}
MESSAGES: Final[dict[str, Any]] = {"items": [GREETING, SAID, QUOTED], "next_cursor": None}
HANDOFF: Final[dict[str, Any]] = {
    "state": "handoff",
    "requested_at": _AT,
    "people_are_there": False,
    "back_at": "2026-11-30T09:00:00+01:00",
    "text": HANDED_OVER["text"],
    "replies": [HANDED_OVER],
}
CONTACT: Final[dict[str, Any]] = {
    "context": CONTEXT
    | {"name": "Anna Nowak", "phone": "+48691222333", "email": "anna@example.com", "consent_contact": True},
    "state": "open",
}
RATED: Final[dict[str, Any]] = {
    "rating": "up",
    "comment": "Dokładnie tego szukałam.",
    "created_at": _AT,
    "updated_at": _AT,
}
FEEDBACKS: Final[dict[str, Any]] = {
    "items": [
        RATED
        | {
            "id": "3f1a4a56-90d1-4f3f-9e0b-5f7d2c1b8e01",
            "conversation_id": _SESSION,
            "message_id": QUOTED["id"],
            "message_seq": QUOTED["seq"],
            "message": QUOTED["text"],
        }
    ],
    "next_cursor": None,
}
PERSON_MESSAGE: Final[dict[str, Any]] = {
    "conversation_id": _SESSION,
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a05",
    "seq": 5,
    "created_at": _AT,
}
RELEASED: Final[dict[str, Any]] = {"conversation_id": _SESSION, "state": "open"}
STREAM: Final = (
    'event: ack\ndata: {"client_message_id":"5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"}\n\n'
    'event: message\nid: 3\ndata: {"seq":3,"role":"bot","type":"text","text":"…"}\n\n'
    'event: done\nid: 3\ndata: {"message":{},"replies":[],"context":{},"state":"open"}\n\n'
)
FOLLOWED: Final = (
    'retry: 3000\n\nevent: state\ndata: {"state":"handoff"}\n\n'
    'event: message\nid: 5\ndata: {"seq":5,"role":"human","type":"text","text":"…"}\n\n: ping\n\n'
)
