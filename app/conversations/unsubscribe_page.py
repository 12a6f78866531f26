"""The page behind an unsubscribe link: Polish and English, one button, no script. Pure."""

import base64
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from typing import Final, Literal

from app.conversations.notice import privacy_notice

Locale = Literal["pl", "en"]
Scene = Literal["ask", "already", "done", "gone", "unknown"]
"""`ask`: marketing may come. `already`: it may not. `done`: just withdrawn. `gone`: erased. `unknown`: no such link."""

_STYLE: Final = """
:root{color-scheme:light dark;--bg:#f4f1ec;--card:#fff;--ink:#1f2421;--soft:#5b635e;--line:#ddd8cf;--act:#1f5c48;\
--on:#fff;--focus:#1f5c48}
@media (prefers-color-scheme:dark){:root{--bg:#141715;--card:#1d211f;--ink:#eceeed;--soft:#a8b0ab;--line:#343a37;\
--act:#7fd0b2;--on:#0d1c16;--focus:#7fd0b2}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;min-height:100svh;display:grid;grid-template-rows:auto 1fr auto;background:var(--bg);\
color:var(--ink);font:1.0625rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header,main,footer{width:100%;max-width:36rem;margin:0 auto;padding:1rem 1.25rem}
header{display:flex;justify-content:space-between;align-items:center;gap:1rem}
.brand{font-weight:700;letter-spacing:.02em}
nav{margin-right:-.5rem}
nav a{display:inline-block;padding:.55rem .5rem;color:var(--soft)}
main{align-self:center}
article{background:var(--card);border:1px solid var(--line);border-radius:1rem;padding:1.75rem 1.5rem}
h1{margin:0 0 .75rem;font-size:1.5rem;line-height:1.25;text-wrap:balance}
p{margin:0 0 1rem}
article>:last-child{margin-bottom:0}
.soft{color:var(--soft);font-size:.9375rem}
button{width:100%;min-height:3.25rem;margin:0 0 1rem;padding:.75rem 1.25rem;border:2px solid var(--act);\
border-radius:.75rem;background:var(--act);color:var(--on);font:inherit;font-weight:650;cursor:pointer}
button.quiet{background:none;color:var(--ink);border-color:var(--soft);font-weight:500}
a{color:inherit;text-underline-offset:.2em;overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--focus);outline-offset:3px}
footer{color:var(--soft);font-size:.875rem;text-align:center}
"""

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; "
    f"style-src 'sha256-{base64.b64encode(sha256(_STYLE.encode()).digest()).decode()}'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class _Words:
    title: str
    text: str
    button: str | None = None
    note: str | None = None


_PL_UNDO = (
    "Pomyłka? Powiedz w rozmowie na naszej stronie, że znów chcesz wiadomości, i potwierdź to linkiem, który wyślemy. "
    "Pytania: {contact}."
)
_EN_UNDO = (
    "Changed your mind? Tell our chat that you would like our emails again, and confirm it with the link that we send. "
    "Questions: {contact}."
)
_PL_AGAIN = "Mimo to coś do Ciebie przychodzi? Kliknij jeszcze raz, a jeśli nie pomoże, napisz na {contact}."
_EN_AGAIN = "Still getting something? Press once more, and if that does not help, write to {contact}."
_PL_REST = "Nie pytamy o powód. Twoje zapytanie i zgoda na kontakt w jego sprawie zostają bez zmian."
_EN_REST = "We ask for no reason. Your enquiry, and your consent to be contacted about it, stay as they are."

_WORDS: Final[dict[tuple[Locale, Scene], _Words]] = {
    ("pl", "ask"): _Words(
        "Nie chcesz już naszych wiadomości?",
        "Jedno kliknięcie i nie wyślemy Ci więcej informacji handlowych pocztą elektroniczną.",
        "Wypisz mnie",
        _PL_REST,
    ),
    ("en", "ask"): _Words(
        "No more emails from us?",
        "One click, and we send you no more commercial information by email.",
        "Unsubscribe me",
        _EN_REST,
    ),
    ("pl", "already"): _Words(
        "Takie wiadomości są już wyłączone",
        "Nie wysyłamy Ci informacji handlowych pocztą elektroniczną. Nic nie musisz robić.",
        "Wypisz mnie jeszcze raz",
        _PL_AGAIN,
    ),
    ("en", "already"): _Words(
        "You are not subscribed",
        "We send you no commercial information by email. There is nothing you need to do.",
        "Unsubscribe me once more",
        _EN_AGAIN,
    ),
    ("pl", "done"): _Words(
        "Gotowe, wypisaliśmy Cię",
        "Nie wyślemy Ci więcej informacji handlowych pocztą elektroniczną. "
        "Może jeszcze dotrzeć wiadomość, która właśnie jest w drodze.",
        None,
        _PL_UNDO,
    ),
    ("en", "done"): _Words(
        "Done, you are unsubscribed",
        "We send you no more commercial information by email. "
        "Only a message that is on its way right now may still arrive.",
        None,
        _EN_UNDO,
    ),
    ("pl", "gone"): _Words(
        "Nie mamy już Twoich danych",
        "Rozmowa, do której prowadzi ten link, została usunięta razem z Twoimi danymi. Nic nie musisz robić.",
        None,
        "Masz pytanie? Napisz na {contact}.",
    ),
    ("en", "gone"): _Words(
        "We hold nothing about you any more",
        "The conversation behind this link was deleted together with your data. There is nothing you need to do.",
        None,
        "Any question? Write to {contact}.",
    ),
    ("pl", "unknown"): _Words(
        "Ten link jest niepełny",
        "Program pocztowy mógł go uciąć. Kliknij go wprost w wiadomości albo napisz na {contact}, a wypiszemy Cię.",
    ),
    ("en", "unknown"): _Words(
        "This link is incomplete",
        "Your mail program may have cut it. Click it in the message itself, or write to {contact} and we unsubscribe "
        "you.",
    ),
}


def render(scene: Scene, locale: Locale) -> str:
    """The whole page as HTML. Its form posts to the address it came from."""
    words, notice = _WORDS[locale, scene], privacy_notice(locale)
    other: Locale = "en" if locale == "pl" else "pl"
    switch = {"pl": "Po polsku", "en": "In English"}[other]
    quiet = ' class="quiet"' if scene == "already" else ""
    return (
        f'<!doctype html>\n<html lang="{locale}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="robots" content="noindex">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(words.title)} · NovaHouse</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<header><span class="brand">NovaHouse</span><nav><a href="?lang={other}" hreflang="{other}" '
        f'lang="{other}">{switch}</a></nav></header>\n<main><article>\n<h1>{escape(words.title)}</h1>\n'
        f"<p>{_linked(words.text, notice['contact'])}</p>\n"
        + (f'<form method="post"><button{quiet}>{escape(words.button)}</button></form>\n' if words.button else "")
        + (f'<p class="soft">{_linked(words.note, notice["contact"])}</p>\n' if words.note else "")
        + f"</article></main>\n<footer>{escape(notice['controller'])}</footer>\n</body>\n</html>\n"
    )


def _linked(text: str, contact: str) -> str:
    address = escape(contact)
    return escape(text).replace("{contact}", f'<a href="mailto:{address}">{address}</a>')
