"""The short privacy notice that every visitor gets before the first message (GDPR art. 13)."""

from typing import Any

_NOTICES = {
    "pl": (
        "Administratorem danych jest NovaHouse Sp. z o.o. Rozmowę przechowujemy, aby odpowiedzieć na zapytanie. "
        "Dane kontaktowe są dobrowolne; skontaktujemy się tylko za Twoją zgodą. Możesz żądać dostępu do danych, "
        "ich usunięcia i wycofać zgodę."
    ),
    "en": (
        "The data controller is NovaHouse Sp. z o.o. We store this chat to answer your enquiry. Contact data is "
        "voluntary; we contact you only with your consent. You may ask for access to your data, for its erasure, "
        "and withdraw consent."
    ),
}


def privacy_notice(locale: str) -> dict[str, Any]:
    """Who is responsible for the data, how to reach them and what the visitor may ask, in `pl` or `en`."""
    return {"controller": "NovaHouse Sp. z o.o.", "contact": "kontakt@novahouse.pl", "notice": _NOTICES[locale]}
