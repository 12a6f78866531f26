"""One follow-up as the schema's examples tell it."""

from typing import Any, Final

CONVERSATION: Final = "0d3bb2f0-6c1e-4c37-9d1f-0f6f3c1f5f10"
TEXT: Final = (
    "Dzień dobry, tu automatyczny asystent NovaHouse. Rozmawialiśmy o wykończeniu mieszkania w Warszawie, więc krótko "
    "podsumowuję.\n\nCeny z dnia 26.11.2026. Pakiet Premium, 52 m²: orientacyjnie 103 948 zł (52 m² × 1 999 zł/m²). "
    "To szacunek dla stanu deweloperskiego, z materiałami i robocizną według pakietu; cena zawiera 8% VAT. Wiążącą "
    "cenę poda doradca po obejrzeniu rzutu.\n\nJeśli pojawiły się pytania o zakres, terminy albo materiały, chętnie "
    "odpowiem na czacie.\n\nJeśli takie wiadomości są niepotrzebne, wystarczy napisać na czacie „rezygnuję z maili”, "
    "a nie będziemy ich wysyłać."
)
WRITTEN: Final[dict[str, Any]] = {
    "id": "1f7e5d3c-9b8a-4e6f-a0c2-4d3b2a1f0e65",
    "conversation_id": CONVERSATION,
    "followup_number": 1,
    "language": "pl",
    "author": "schedule",
    "created_at": "2026-11-26T09:00:00.412877Z",
}
FOLLOWUP: Final[dict[str, Any]] = WRITTEN | {
    "state": "sent",
    "reason": None,
    "closed_at": "2026-11-26T09:00:02.730145Z",
    "message": TEXT,
}
CANCELLED: Final[dict[str, Any]] = WRITTEN | {
    "state": "cancelled",
    "reason": "Sales has called already.",
    "closed_at": "2026-11-26T09:00:01.102938Z",
}
DUE: Final[dict[str, Any]] = {
    "conversation_id": CONVERSATION,
    "followup_number": 2,
    "due_at": "2026-12-01T09:00:00Z",
}
