"""What somebody asks about their data, and gets, as the schema's examples tell it."""

from typing import Any, Final

_CONVERSATION: Final = "0d3bb2f0-6c1e-4c37-9d1f-0f6f3c1f5f10"
_REQUEST: Final = "6a5c4b3d-2e1f-4a0b-9c8d-7e6f5a4b3c76"
CODE: Final = "2culVnzoAJxlnNdMUsRa4CoY5brHocH6_Q940JL9iT0"
RECEIVED: Final[dict[str, Any]] = {
    "id": _REQUEST,
    "message": "If the address can get mail, a message with a link is on its way. The link works for 30 minutes.",
}
PROVED: Final[dict[str, Any]] = {
    "type": "access",
    "result": {"conversations": 1},
    "access_token": "bQ0n4yWb5eV7xR9sT6uZ1aLpD2fG3hK4Mkq1J2tC3m8",
}
REQUEST: Final[dict[str, Any]] = {
    "id": _REQUEST,
    "type": "access",
    "state": "verified",
    "locale": "pl",
    "tries": 0,
    "created_at": "2026-11-24T10:30:00.250117Z",
    "due_at": "2026-12-24T10:30:00.250117Z",
    "days_left": 29,
    "mailed_at": "2026-11-24T10:30:01.907446Z",
    "verified_at": "2026-11-24T10:34:12.118205Z",
    "closed_at": None,
    "result": {"conversations": 1},
}
_SAID: Final[dict[str, Any]] = {
    "conversation_id": _CONVERSATION,
    "seq": 2,
    "id": "7a0f5b8e-2f0c-4b60-8c55-6f9d1f2b9a02",
    "client_message_id": "5f0c1c52-0c5b-4c4c-9a53-7e2a4e6f9a10",
    "role": "visitor",
    "type": "text",
    "text": "Mam 52 m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333",
    "quick_replies": [],
    "created_at": "2026-11-24T10:15:30.123456+00:00",
}
_HELD: Final[dict[str, Any]] = {
    "conversation": {
        "id": _CONVERSATION,
        "locale": "pl",
        "language": "pl",
        "state": "open",
        "area_m2": "52.00",
        "package": "premium",
        "city": "Warszawa",
        "name": "Anna Nowak",
        "phone": "+48691222333",
        "email": "anna@example.com",
        "property_type": "apartment",
        "rodo_consent": True,
        "marketing_consent": False,
        "visitor_messages": 1,
        "created_at": "2026-11-24T10:14:02.880341+00:00",
        "last_message_at": "2026-11-24T10:15:30.123456+00:00",
    },
    "messages": [_SAID],
    "consents": [
        {
            "conversation_id": _CONVERSATION,
            "purpose": "rodo",
            "granted": True,
            "audit_seq": 1041,
            "decided_at": "2026-11-24T10:15:30.123456+00:00",
        }
    ],
    "leads": [],
    "alerts": [],
    "followups": [],
    "consent_history": [],
}
EXPORT: Final[dict[str, Any]] = {
    "format": "novahouse.export/1",
    "generated_at": "2026-11-24T10:35:00.604938+00:00",
    "controller": {"name": "NovaHouse Sp. z o.o.", "contact": "kontakt@novahouse.pl"},
    "complete": True,
    "conversations": [_HELD],
}
EXPORT_OF_ADDRESS: Final[dict[str, Any]] = EXPORT | {
    "address": "anna@example.com",
    "suppressions": [],
    "privacy_requests": [
        {
            "id": _REQUEST,
            "type": "access",
            "state": "verified",
            "locale": "pl",
            "created_at": "2026-11-24T10:30:00.250117+00:00",
            "due_at": "2026-12-24T10:30:00.250117+00:00",
            "mailed_at": "2026-11-24T10:30:01.907446+00:00",
            "verified_at": "2026-11-24T10:34:12.118205+00:00",
        }
    ],
}
