"""One conversation, and what is known of it, as the schema's examples tell it: what an answer looks like, whole."""

from typing import Any, Final

from app.consent.schemas import SHA256

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
CONSENT: Final[dict[str, Any]] = {"purpose": "rodo", "decision": "granted", "text_version": 1, "sha256": SHA256}
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
FEEDBACK: Final[dict[str, Any]] = RATED | {
    "id": "3f1a4a56-90d1-4f3f-9e0b-5f7d2c1b8e01",
    "conversation_id": _SESSION,
    "message_id": QUOTED["id"],
    "message_seq": QUOTED["seq"],
    "message": QUOTED["text"],
}
PERSON_MESSAGE: Final[dict[str, Any]] = {
    "conversation_id": _SESSION,
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a05",
    "seq": 5,
    "created_at": _AT,
}
RELEASED: Final[dict[str, Any]] = {"conversation_id": _SESSION, "state": "open"}
CONVERSATION: Final[dict[str, Any]] = {
    "id": _SESSION,
    "locale": "pl",
    "language": "pl",
    "state": "open",
    "area_m2": "52.00",
    "package": "premium",
    "city": "Warszawa",
    "budget_pln": None,
    "name": "Anna Nowak",
    "phone": "+48691222333",
    "email": "anna@example.com",
    "property_type": "apartment",
    "rodo_consent": True,
    "marketing_consent": None,
    "visitor_messages": 1,
    "created_at": _AT,
    "last_message_at": _AT,
}
CONVERSATION_DETAIL: Final[dict[str, Any]] = CONVERSATION | {
    "messages": [GREETING | {"client_message_id": None}, TURN["message"], QUOTED | {"client_message_id": None}],
    "next_cursor": None,
}
QUESTION: Final[dict[str, Any]] = {
    "id": "8c7b6a59-4d3e-4f2a-9b1c-0d9e8f7a6b98",
    "conversation_id": _SESSION,
    "seq": 6,
    "language": "pl",
    "status": "answered",
    "words": "czy montujecie rekuperację?",
    "asked_at": _AT,
    "decided_at": "2026-11-25T08:40:19.551207Z",
    "decided_by": "key:7k2m9q4x/crm",
}
PACKAGE: Final[dict[str, Any]] = {
    "id": "premium",
    "name": "Premium",
    "price_per_m2": "1999",
    "price_per_m2_max": None,
    "price_valid_from": "2026-01-01",
    "vat_percent": 8,
    "summary": "wysoki standard, naturalne drewno na podłogach i najwięcej wizualizacji wśród pakietów katalogowych",
    "highlights": ["600 produktów w katalogu", "7 zmian produktów i 5 produktów spoza katalogu", "drewniana podłoga"],
    "most_chosen": False,
}
QUOTE: Final[dict[str, Any]] = {
    "package": "premium",
    "package_name": "Premium",
    "area_m2": "52.00",
    "price_per_m2": "1999",
    "price_per_m2_max": None,
    "total_pln": "103948.00",
    "total_min": None,
    "total_max": None,
    "price_valid_from": "2026-01-01",
    "vat_percent": 8,
    "assumptions": "To szacunek dla stanu deweloperskiego, z materiałami i robocizną według pakietu; cena zawiera "
    "8% VAT. Wiążącą cenę poda doradca po obejrzeniu rzutu.",
}
ANSWER: Final[dict[str, Any]] = {
    "purpose": "rodo",
    "decision": "granted",
    "text_version": 1,
    "text_sha256": SHA256,
    "decided_at": _AT,
}
LINK_STATUS: Final[dict[str, Any]] = {
    "consents": {"rodo": True, "marketing_email": False, "marketing_phone": None},
    "last_action": "consent.refused",
    "last_action_at": _AT,
}
AUDIT_ENTRY: Final[dict[str, Any]] = {
    "seq": 1041,
    "at": _AT,
    "event": "consent.granted",
    "subject_ref": _SESSION,
    "purpose": "rodo",
    "text_version": 1,
    "text_sha256": SHA256,
    "locale": "pl",
    "surface": "api",
    "message_seq": None,
    "evidence_hash": "1c0fbf58e9c893ace5eecd2c039afd0e09fa0a0931e5389d45baaac73256b3b1",
    "prev_hash": "89c47ce55ce96da23506b0cf39f4415894c91b12a2c58c7a5706c3da3272b1a0",
    "row_hash": "efe608b0254ec9d686349dabb58aa5c0146fcb36e93377f8b6baf817a3522402",
}
VERDICT: Final[dict[str, Any]] = {
    "ok": True,
    "rows": 1041,
    "head_seq": 1041,
    "head_hash": AUDIT_ENTRY["row_hash"],
    "broken_at": None,
    "reason": None,
    "evidence": 986,
    "anchor": "checked",
    "anchor_line": None,
    "checkpoints": 24,
    "checkpoint_seq": 1038,
    "seconds": 0.026,
    "rows_per_second": 40038,
}
STREAM: Final = (
    'event: ack\ndata: {"client_message_id":"5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10"}\n\n'
    'event: message\nid: 3\ndata: {"seq":3,"role":"bot","type":"text","text":"…"}\n\n'
    'event: done\nid: 3\ndata: {"message":{},"replies":[],"context":{},"state":"open"}\n\n'
)
FOLLOWED: Final = (
    'retry: 3000\n\nevent: state\ndata: {"state":"handoff"}\n\n'
    'event: message\nid: 5\ndata: {"seq":5,"role":"human","type":"text","text":"…"}\n\n: ping\n\n'
)
