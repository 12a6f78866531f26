"""The page where a mailed proof is used: Polish and English, one button; works without its script. Pure.

The code comes in the URL's fragment, which no server and no log sees. The script puts it into the form and takes it
out of the address bar; without a script the reader pastes it from the mail. Nothing happens before the button.
"""

import base64
from hashlib import sha256
from html import escape
from typing import Final, Literal
from uuid import UUID

from app.conversations.notice import privacy_notice

Locale = Literal["pl", "en"]
About = Literal["request", "opt_in"]
"""What the mail asked; it changes words only."""

_STYLE: Final = (
    ":root{color-scheme:light dark;--bg:#f4f1ec;--card:#fff;--ink:#1f2421;--soft:#5b635e;--line:#8a8f8b;--act:#1f5c48;"
    "--on:#fff}@media (prefers-color-scheme:dark){:root{--bg:#141715;--card:#1d211f;--ink:#eceeed;--soft:#a8b0ab;"
    "--line:#6b736e;--act:#7fd0b2;--on:#0d1c16}}*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--ink);font:1.0625rem/1.55 system-ui,sans-serif}"
    "main{max-width:36rem;margin:0 auto;padding:2rem 1.25rem}"
    "article{background:var(--card);border-radius:1rem;padding:1.75rem 1.5rem}h1{margin:0 0 .75rem;font-size:1.5rem}"
    "label{display:block;margin:0 0 .25rem}"
    "input{width:100%;min-height:3rem;margin:0 0 1rem;padding:.5rem .75rem;border:1px solid var(--line);"
    "border-radius:.5rem;background:none;color:inherit;font:1rem ui-monospace,monospace}"
    "button{width:100%;min-height:3.25rem;padding:.75rem;border:0;border-radius:.75rem;background:var(--act);"
    "color:var(--on);font:inherit;font-weight:650;cursor:pointer}"
    ":focus-visible{outline:3px solid var(--act);outline-offset:3px}.soft{color:var(--soft);font-size:.9375rem}"
)
_SCRIPT: Final = (
    "if(location.hash.length>1){document.getElementById('token').value=decodeURIComponent(location.hash.slice(1));"
    "history.replaceState(null,'',location.pathname+location.search)}"
)


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(content.encode()).digest()).decode()}'"


CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)}; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

_WORDS: Final[dict[Locale, dict[str, str]]] = {
    "pl": {
        "ask": "Potwierdź swoje żądanie",
        "ask.text": "Przycisk wykona to, o co prosi wiadomość: pokaże Twoje dane, usunie je albo wycofa zgody.",
        "ask.opt_in": "Chcesz znów dostawać wiadomości?",
        "ask.opt_in.text": "Po naciśnięciu przycisku możemy wysyłać na Twój adres informacje handlowe, na które jest "
        "zgoda z rozmowy. W każdej wiadomości będzie link, którym wypiszesz się jednym kliknięciem.",
        "opt_in": "Gotowe, adres jest potwierdzony",
        "opt_in.text": "Znów możemy do Ciebie pisać. Wypiszesz się jednym kliknięciem w każdej wiadomości.",
        "refused.opt_in": "Ten kod nie działa",
        "refused.opt_in.text": "Jest błędny, został już użyty, minęło 7 dni albo w międzyczasie przyszła odmowa. "
        "Niczego nie zmieniliśmy.",
        "label": "Kod z wiadomości",
        "button": "Potwierdzam",
        "refused": "Ten kod nie działa",
        "refused.text": "Jest błędny, został już użyty albo minęło 30 minut. Wyślij żądanie jeszcze raz.",
        "access": "Twoje dane są gotowe",
        "access.text": "Plik zawiera wszystko, co o Tobie mamy. Można go pobierać przez 24 godziny.",
        "access.button": "Pobierz plik JSON",
        "erasure": "Usunęliśmy Twoje dane",
        "erasure.text": "Usunięte rozmowy: {conversations}. Odbiorców danych poprosiliśmy o to samo.",
        "revoke": "Wycofaliśmy Twoje zgody",
        "revoke.text": "Wycofane zgody: {consents}. Nie wyślemy Ci też informacji handlowych.",
        "none": "Nie mamy danych pod tym adresem",
        "none.text": "Sprawdziliśmy po potwierdzeniu, że adres jest Twój. Nic nie musisz robić.",
        "pending": "Dokończymy to ręcznie",
        "pending.text": "Adres jest potwierdzony. Zajmie się tym człowiek, najpóźniej w ciągu miesiąca.",
    },
    "en": {
        "ask": "Confirm your request",
        "ask.text": "The button does what the message asks: shows your data, erases them or withdraws your consents.",
        "ask.opt_in": "Would you like our messages again?",
        "ask.opt_in.text": "Press the button, and we may send to your address the commercial information that was "
        "agreed to in the chat. Every message has a link that unsubscribes you with one click.",
        "opt_in": "Done, your address is confirmed",
        "opt_in.text": "We may write to you again. You can unsubscribe with one click in every message.",
        "refused.opt_in": "This code does not work",
        "refused.opt_in.text": "It is wrong, was used already, its 7 days are over, or somebody said no meanwhile. "
        "We have changed nothing.",
        "label": "Code from the message",
        "button": "Confirm",
        "refused": "This code does not work",
        "refused.text": "It is wrong, was used already, or its 30 minutes are over. Please send your request again.",
        "access": "Your data are ready",
        "access.text": "The file holds everything we have about you. You can fetch it for 24 hours.",
        "access.button": "Download the JSON file",
        "erasure": "Your data are erased",
        "erasure.text": "Conversations erased: {conversations}. We asked the recipients to do the same.",
        "revoke": "Your consents are withdrawn",
        "revoke.text": "Consents withdrawn: {consents}. We will send you no commercial information either.",
        "none": "We hold no data under this address",
        "none.text": "We looked after you proved that it is yours. There is nothing you need to do.",
        "pending": "We will finish this by hand",
        "pending.text": "Your address is proved. A person takes care of it, within a month at most.",
    },
}


def asking(locale: Locale, about: About) -> str:
    """The page that a mail's link leads to. Its form posts to the address it came from."""
    words = _WORDS[locale]
    return _page(
        locale,
        "ask.opt_in" if about == "opt_in" else "ask",
        f'<form method="post"><label for="token">{escape(words["label"])}</label>'
        '<input id="token" name="token" required autocomplete="off" spellcheck="false" maxlength="200">'
        f"<button>{escape(words['button'])}</button></form>",
        script=True,
    )


def told(scene: str, locale: Locale, counts: dict[str, int]) -> str:
    """What a proof led to: `erasure`, `revoke`, `opt_in`, `none`, `pending`, `refused` or `refused.opt_in`."""
    return _page(locale, scene, "", counts=counts)


def offering(request_id: UUID, access_token: str, locale: Locale) -> str:
    """The page from which the export is fetched."""
    return _page(
        locale,
        "access",
        f'<form method="post" action="/privacy/requests/{request_id}/export">'
        f'<input type="hidden" name="token" value="{escape(access_token)}">'
        f"<button>{escape(_WORDS[locale]['access.button'])}</button></form>",
    )


def _page(locale: Locale, scene: str, form: str, *, script: bool = False, counts: dict[str, int] | None = None) -> str:
    words, notice = _WORDS[locale], privacy_notice(locale)
    contact = escape(notice["contact"])
    return (
        f'<!doctype html>\n<html lang="{locale}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(words[scene])} · NovaHouse</title><style>{_STYLE}</style></head>\n<body><main><article>"
        f"<h1>{escape(words[scene])}</h1>\n<p>{escape(words[f'{scene}.text'].format(**(counts or {})))}</p>\n{form}"
        f'<p class="soft">{escape(notice["controller"])} · <a href="mailto:{contact}">{contact}</a></p>'
        f"</article></main>{f'<script>{_SCRIPT}</script>' if script else ''}</body></html>\n"
    )
