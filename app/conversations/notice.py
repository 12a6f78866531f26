"""The short privacy notice that every visitor gets before the first message (GDPR art. 13)."""

from functools import lru_cache
from typing import Any

from app.core.settings import get_settings
from app.engine import knowledge_files
from app.engine.knowledge import FirmFile

_MODEL = {
    "pl": "W odpowiadaniu może pomagać zewnętrzny model językowy; dostaje treść pytań bez danych kontaktowych.",
    "en": "An external language model may help with answers; it gets the questions without contact data.",
}
_NOTICES = {
    "pl": (
        "Administratorem danych jest {legal_name} Rozmowę przechowujemy, aby odpowiedzieć na zapytanie. "
        "Dane kontaktowe są dobrowolne; skontaktujemy się tylko za Twoją zgodą. Możesz żądać dostępu do danych, "
        "ich usunięcia i wycofać zgodę."
    ),
    "en": (
        "The data controller is {legal_name} We store this chat to answer your enquiry. Contact data is "
        "voluntary; we contact you only with your consent. You may ask for access to your data, for its erasure, "
        "and withdraw consent."
    ),
}


def privacy_notice(locale: str, firm: FirmFile | None = None, *, model: bool = False) -> dict[str, Any]:
    """Who is responsible for the data, how to reach them and what the visitor may ask, in `pl` or `en`.

    The controller is `firm`, by default that of this process's knowledge files as they were when it was first asked.
    `model` says that a language model helps with answers.
    """
    facts = (firm or _own()).facts
    name = facts["legal_name"]
    sentence = name if name.endswith(".") else f"{name}."
    notice = _NOTICES[locale].format(legal_name=sentence)
    if model:
        notice = f"{notice} {_MODEL[locale]}"
    return {"controller": name, "contact": facts["mail"], "notice": notice}


@lru_cache(maxsize=1)
def _own() -> FirmFile:
    return knowledge_files.load_firm(get_settings().knowledge_dir)
