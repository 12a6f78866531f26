"""Messages that privacy causes: the mail that proves an address, and what recipients are to delete."""

from typing import Final

import asyncpg

from app.conversations.notice import privacy_notice
from app.privacy.opt_in import OPT_IN
from app.privacy.proof import OPT_IN_VALID, VALID, Proof
from worker.channels.base import Deletion, Envelope, PersonalMail

_MINUTES: Final = int(VALID.total_seconds() // 60)
_WORDS: Final = {
    "pl": {
        "access": ("Twoje dane w NovaHouse: potwierdź żądanie", "o kopię Twoich danych"),
        "erasure": ("Usunięcie danych w NovaHouse: potwierdź żądanie", "o usunięcie Twoich danych"),
        "revoke": ("Wycofanie zgód w NovaHouse: potwierdź żądanie", "o wycofanie Twoich zgód"),
        "opt_in": "Czy chcesz znów dostawać wiadomości od NovaHouse?",
        "asked": "Ktoś, zapewne Ty, poprosił nas {what}. Zrobimy to, gdy potwierdzisz, że ten adres należy do Ciebie.",
        "how": f"Otwórz link i naciśnij przycisk. Link działa {_MINUTES} minut i tylko raz.",
        "ignore": "Jeśli to nie Ty, nic nie rób: bez potwierdzenia nic się nie stanie, a prośba wygaśnie.",
        "link": "Link",
        "code": "Kod, gdyby strona o niego prosiła",
    },
    "en": {
        "access": ("Your data at NovaHouse: confirm your request", "a copy of your data"),
        "erasure": ("Erasure of your data at NovaHouse: confirm your request", "the erasure of your data"),
        "revoke": ("Withdrawal of consent at NovaHouse: confirm your request", "the withdrawal of your consents"),
        "opt_in": "Would you like messages from NovaHouse again?",
        "asked": "Somebody, probably you, asked us for {what}. We do it once you confirm that this address is yours.",
        "how": f"Open the link and press the button. It works for {_MINUTES} minutes, and once.",
        "ignore": "If it was not you, do nothing: without the confirmation nothing happens, and the request lapses.",
        "link": "Link",
        "code": "Code, should the page ask for it",
    },
}
_OPT_IN: Final = {
    "pl": (
        (
            "W rozmowie na naszej stronie ktoś, zapewne Ty, podał ten adres i zgodził się na informacje handlowe "
            "pocztą elektroniczną. Ten adres jest u nas wypisany, więc nic na niego nie wysyłamy."
        ),
        f"Jeśli to Ty, otwórz link i naciśnij przycisk. Link działa {OPT_IN_VALID.days} dni i tylko raz.",
        "Jeśli to nie Ty albo nie chcesz, nic nie rób: adres zostaje wypisany.",
    ),
    "en": (
        (
            "In the chat on our site somebody, probably you, gave this address and agreed to commercial information "
            "by email. This address is unsubscribed, so we are sending nothing."
        ),
        f"If it was you, open the link and press the button. It works for {OPT_IN_VALID.days} days, and once.",
        "If it was not you, or you would rather not, do nothing: the address stays unsubscribed.",
    ),
}


def proof_mail(proof: Proof, *, envelope: Envelope, base_url: str) -> PersonalMail:
    """The mail with the one link. Its token stands in the fragment, which no server and no log on the way sees."""
    words = _WORDS[proof.language]
    subject, paragraphs = _said(proof)
    notice = privacy_notice(proof.language)
    about = f"&about={OPT_IN}" if proof.type == OPT_IN else ""
    return PersonalMail(
        envelope=envelope,
        recipient=proof.address,
        language=proof.language,
        subject=subject,
        paragraphs=paragraphs,
        link=f"{base_url}/privacy/requests/{proof.request_id}?lang={proof.language}{about}#{proof.token}",
        link_label=str(words["link"]),
        facts=((str(words["code"]), proof.token),),
        footer=(f"{notice['controller']} · {notice['contact']}",),
        fresh=True,
    )


def _said(proof: Proof) -> tuple[str, tuple[str, ...]]:
    """Subject and paragraphs. Those of an opt-in advertise nothing: it goes to somebody who wants no advertising."""
    words = _WORDS[proof.language]
    if proof.type == OPT_IN:
        return str(words[OPT_IN]), _OPT_IN[proof.language]
    subject, what = words[proof.type]
    return subject, (str(words["asked"]).format(what=what), str(words["how"]), str(words["ignore"]))


def deletion(sent: asyncpg.Record, *, envelope: Envelope) -> Deletion:
    """What a recipient is to delete, of a row of `app.alerts.repository.erasure.sent`."""
    return Deletion(
        envelope=envelope,
        alert_id=sent["id"],
        remote_ref=sent["remote_ref"],
        sent_at=sent["sent_at"],
        certain=sent["delivered_at"] is not None,
    )
