"""Consent given, refused or withdrawn in words. Nothing is true by default: what is not clear is no decision."""

import re
from dataclasses import dataclass

from app.engine.normalise import Text
from app.engine.types import Decision, Purpose

_CLAUSE = re.compile(
    r"[,.;!?\n]+|\s(?:ale|lecz|natomiast|jednak|but|however|za to)\s|\s(?=(?:nie zgadzam|nie wyrazam|nie chce|na marketing|bez reklam))"
)
_AND = re.compile(r"\s(?:i|oraz|and|a takze|a|also)\s")
_AGREE = re.compile(
    r"\b(?:zgadzam|zgadzamy|zgoda|zgode|zgody|wyrazam|wyrazamy|akceptuje|akceptujemy|zezwalam|pozwalam|upowazniam|consent|agree|accept|authori[sz]e|i allow)\b"
)
_REFUSE = re.compile(
    r"\b(?:nie (?:\w+ ){0,2}?(?:zgadzam|zgadzamy|wyrazam|wyrazamy|akceptuje|zezwalam|pozwalam|zycze|zgodze|wyraze|daje|dam)|(?:zgody|zgode) (?:\w+ ){0,3}?nie (?:wyrazam|daje|dam|udzielam|wyraze|ma)|"
    r"nie ma (?:mojej )?zgody|brak (?:mojej )?zgody|bez (?:mojej )?zgody|odmawiam|nie mam zgody|"
    r"(?:do not|don't|dont|cannot|can't|won't|not) (?:\w+ )?(?:consent|agree|accept|allow)|no consent|refuse|i decline)\b"
)
_WITHDRAW = re.compile(
    r"\b(?:cofam|cofnij\w*|cofnac|cofniecie|wycof\w*|odwoluj\w*|odwolac|odwoluje|wypis\w*|wypisz|wyrejestruj\w*|rezygnuj\w*|usunc?ie? mnie z|usun mnie z|"
    r"skresl\w* mnie|withdraw\w*|revoke\w*|unsubscribe\w*|opt(?:ing)?[ -]?out|take me off|remove me from)\b"
)
_LEAVE = re.compile(
    r"\b(?:zgod\w*|consent\w*|unsubscribe|opt(?:ing)?[ -]?out|wypis\w* mnie|wypisac sie|wyrejestr\w*|take me off|remove me from)\b|\bz (?:maili|mailingu|listy|newslettera|bazy mail\w*)"
)
_UNWANTED = re.compile(
    r"\b(?:nie (?:\w+ ){0,2}?(?:chce|chcialbym|chcialabym|zycze|potrzebuje|wysyl\w*|przysyl\w*|przesyl\w*|dzwon\w*|kontaktuj\w*|pisz\w*|interesuj\w*)|przestan\w*|"
    r"(?:chce|zycze) nie|bez|zadnych|zadnego|dosc|stop|don't|dont|do not|no more|never|no|not|without|(?:chce|prosze) nie|nie)\b"
)
_MARKETING = re.compile(
    r"\b(?:marketing\w*|reklam\w*|newsletter\w*|promocj\w*|ofert\w* handlow\w*|informacj\w* handlow\w*|mailing\w*|spam\w*|promotion\w*|advert\w*|ads|"
    r"commercial (?:offers|messages|information)|ofert\w* (?:promoc|marketing)\w*)\b"
)
_MAIL = re.compile(r"\b(?:e-?mail\w*|maili?\w*|mejl\w*|poczt\w*|newsletter\w*|mailing\w*)\b")
_PHONE = re.compile(r"\b(?:telefon\w*|dzwon\w*|zadzwon\w*|oddzwon\w*|sms\w*|phone|calls?|calling|text messages)\b")
_CONTACT = re.compile(
    r"\b(?:kontakt\w*|skontakt\w*|dzwon\w*|zadzwon\w*|oddzwon\w*|telefon\w*|przetwarz\w*|rodo|gdpr|danych|dane|ofert\w*|contact\w*|call\w*|process\w*|data|enquiry)\b"
)
_WISH = re.compile(
    r"\b(?:nie (?:\w+ )?dzwon\w*|do not call|don't call)\s(?:\w+\s){0,3}?(?:po|przed|rano|wieczor\w*|w weekend\w*|teraz|dzisiaj|dzis|jutro|after|before|in the|today|now|do)\b"
)
_QUESTION = re.compile(
    r"(?:^|\b)(?:czy|na co|po co|dlaczego|czemu|jak\w?|co|gdzie|kiedy|what|why|do i|should i|must i|how|which|can i|is it|where)\b"
)
_IF = re.compile(
    r"\b(?:jesli|jezeli|gdyb\w*|o ile|if|unless|moze|chyba|zastanow\w*|pomysle|maybe|perhaps|think about|nie wiem|nie jestem pewn\w*|not sure)\b"
)
_YES = re.compile(
    r"^(?:(?:no|a|ok|okej|dobrze|dobra|hm+|well|oh) )?(?:tak|jasne|pewnie|oczywiscie|zgoda|ok|okej|okay|dobrze|dobra|spoko|super|chetnie|jak najbardziej|potwierdzam|zgadza sie|"
    r"moze byc|niech bedzie|nie ma problemu|nie ma sprawy|nie mam nic przeciwko|prosze bardzo|prosze (?:dzwonic|o kontakt|zadzwonic|pisac)|mozna dzwonic|"
    r"mozecie (?:dzwonic|sie kontaktowac|pisac)|dzwoncie|yes|yep|yeah|yup|sure|of course|certainly|fine|go ahead|please do|ok please|no problem|absolutely|by all means|i do)\b"
)
_NO = re.compile(
    r"^(?:(?:no|hm+|raczej|well|sorry|przepraszam) )?(?:nie|no|nope|nah|absolutnie nie|w zadnym wypadku|nigdy|never|rather not|odmawiam|lepiej nie|raczej nie)\b"
)
_NOT_REALLY_NO = re.compile(
    r"^nie (?:ma (?:problemu|sprawy)|mam nic przeciw|wiem|rozumiem|jestem pew)|^no (?:problem|worries|tak|jasne|pewnie|dobra|ok)"
)
_ALL = re.compile(r"\b(?:wszystk\w*|wszelk\w*|kazd\w*|all|any|everything)\b")
_EVERYTHING: tuple[Purpose, ...] = ("rodo", "marketing_email", "marketing_phone")
_MAX_CLAUSES = 12


@dataclass(frozen=True, slots=True)
class Stated:
    """Decisions of one message and what kind of statement made them."""

    decisions: tuple[Decision, ...] = ()
    withdrawal: bool = False
    unclear: bool = False
    """The visitor answered the consent question, but neither clearly yes nor clearly no."""


def read(text: Text, asked: tuple[Purpose, ...]) -> Stated:
    """What the visitor decides in this message; `asked` are the purposes the last reply asked about."""
    verdicts: dict[Purpose, set[bool]] = {}
    withdrawal = unclear = False
    carried: bool | None = None
    for clause, question in _clauses(text):
        found, how = _clause(clause, question, asked, carried)
        if how == "unclear":
            unclear = bool(asked)
        withdrawal = withdrawal or how == "withdraw"
        for purpose, granted in found:
            verdicts.setdefault(purpose, set()).add(granted)
        carried = found[0][1] if found and how in {"agree", "refuse", "withdraw"} else carried
    decisions = tuple(
        Decision(purpose, verdicts[purpose] == {True})
        for purpose in _EVERYTHING
        if purpose in verdicts and len(verdicts[purpose]) == 1
    )
    conflict = any(len(values) > 1 for values in verdicts.values())
    return Stated(decisions, withdrawal, (unclear or conflict) and not decisions)


def _clauses(text: Text) -> list[tuple[str, bool]]:
    found: list[tuple[str, bool]] = []
    position = 0
    folded = text.folded[:600]
    for match in _CLAUSE.finditer(folded + "."):
        part = folded[position : match.start()].strip()
        position = match.end()
        question = "?" in match.group()
        pieces = _AND.split(part) if _MARKETING.search(part) or _CONTACT.search(part) else [part]
        found.extend((piece.strip(), question) for piece in pieces if piece.strip())
    return found[:_MAX_CLAUSES]


def _clause(
    clause: str, question: bool, asked: tuple[Purpose, ...], carried: bool | None
) -> tuple[list[tuple[Purpose, bool]], str]:
    """Purposes decided in one clause, and how: agree, refuse, withdraw, bare, inherit, unclear or nothing."""
    if _WISH.search(clause):
        return [], "nothing"
    purposes = _purposes(clause)
    if _WITHDRAW.search(clause) and (purposes or _LEAVE.search(clause)) and not _asks_how(clause):
        return [(purpose, False) for purpose in _withdrawn(clause, purposes)], "withdraw"
    if _REFUSE.search(clause) and not question:
        return [(purpose, False) for purpose in purposes or asked or ("rodo",)], "refuse"
    if question or _QUESTION.match(clause):
        return [], "nothing"
    if _IF.search(clause):
        return [], "unclear"
    if _AGREE.search(clause):
        target = purposes or asked
        return [(purpose, True) for purpose in target], "agree" if target else "nothing"
    return _short(clause, purposes, asked, carried)


def _short(
    clause: str, purposes: tuple[Purpose, ...], asked: tuple[Purpose, ...], carried: bool | None
) -> tuple[list[tuple[Purpose, bool]], str]:
    """Clauses without a verb of consent: "reklam nie chce", "i marketing", "tak", "nie"."""
    unwanted = _UNWANTED.search(clause) is not None
    if _MARKETING.search(clause):
        if unwanted:
            return [(purpose, False) for purpose in purposes], "refuse"
        if (
            carried is not None
            and re.match(r"^(?:na |for |to |o |zgody? na )?\w*", clause)
            and len(clause.split()) <= 4
        ):
            return [(purpose, carried) for purpose in purposes], "inherit"
        return [], "nothing"
    if (
        unwanted
        and _CONTACT.search(clause)
        and re.search(r"dzwon|kontakt|contact|call|pisz", clause)
        and not _NOT_REALLY_NO.match(clause)
    ):
        return [("rodo", False)], "refuse"
    if not asked:
        return [], "nothing"
    if (_YES.match(clause) and not re.match(r"^(?:ok|dobrze|tak)?\s?(?:nie|no)\b", clause)) or re.match(
        r"^nie (?:ma problemu|ma sprawy|mam nic przeciw)", clause
    ):
        return [(purpose, True) for purpose in asked], "bare"
    if _NO.match(clause) and not _NOT_REALLY_NO.match(clause) and len(clause.split()) <= 6:
        return [(purpose, False) for purpose in asked], "bare"
    return [], "nothing"


def _purposes(clause: str) -> tuple[Purpose, ...]:
    """What a clause is about. Marketing is by mail, by phone or, said without a channel, both."""
    if _MARKETING.search(clause):
        mail, phone = _MAIL.search(clause) is not None, _PHONE.search(clause) is not None
        if mail == phone:
            return ("marketing_email", "marketing_phone")
        return ("marketing_email",) if mail else ("marketing_phone",)
    return ("rodo",) if _CONTACT.search(clause) else ()


def _withdrawn(clause: str, purposes: tuple[Purpose, ...]) -> tuple[Purpose, ...]:
    """What a withdrawal takes back; leaving a mailing list is marketing, an unnamed consent is every one."""
    if re.search(r"\bwypis|\bunsubscribe|\btake me off|\bremove me|\bopt|\bwyrejestr|\busun|\brezygn", clause):
        if _MAIL.search(clause) and not _PHONE.search(clause):
            return ("marketing_email",)
        if _PHONE.search(clause) and not _MAIL.search(clause):
            return ("marketing_phone",)
        return ("marketing_email", "marketing_phone")
    return _EVERYTHING if not purposes or _ALL.search(clause) else purposes


def _asks_how(clause: str) -> bool:
    return re.match(r"^(?:jak|czy moge|czy mozna|how|can i|where|gdzie|kiedy)\b", clause) is not None
