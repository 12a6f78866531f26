"""Consent given, refused or withdrawn in words. Nothing is true by default: what is not clear is no decision."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from app.engine.normalise import Text, word_set
from app.engine.types import Decision, Purpose

_CLAUSE = re.compile(r"[,.;!?\n]+|\s(?:ale|lecz|natomiast|jednak|but|however|za to)\s")
_AND = re.compile(r"\s(?:i|oraz|and|a takze|a|also)\s")
_SECOND_VERB = re.compile(r"\s(?=nie (?:zgadzam|wyrazam|akceptuje)|(?:do not|don't) (?:agree|consent))")
_AGREE = re.compile(
    r"\b(?:zgadzam|zgadzamy|wyrazam|wyrazamy|akceptuje|akceptujemy|zezwalam|pozwalam|upowazniam|"
    r"(?:daje|udzielam|potwierdzam|macie|masz) (?:\w+ ){0,2}?zgode|agreed|accepted|"
    r"(?:i|we) (?:\w+ )?(?:consent|agree|accept|authori[sz]e|allow)|(?:have|give|grant)(?: you)? (?:my|our) consent)\b|^(?:\w+ )?(?:zgoda|consent|agree)\b"
)
_REFUSE = re.compile(
    r"\b(?:nie (?:\w+ ){0,2}?(?:zgadzam|zgadzamy|wyrazam|wyrazamy|akceptuje|zezwalam|pozwalam|zycze|zgodze|wyraze|daje|dam|udzielam)|"
    r"zgod[ye] (?:\w+ ){0,4}?nie (?:wyrazam|daje|dam|udzielam|wyraze|ma|bedzie)|"
    r"nie (?:ma|macie|masz) (?:mojej )?zgody|brak (?:mojej )?zgody|bez (?:mojej )?zgody|odmawiam|nie mam zgody|"
    r"(?:do not|don't|dont|cannot|can't|won't|not) (?:\w+ )?(?:consent|agree|accept|allow)|no consent|i refuse|i decline)\b"
)
_WITHDRAW = re.compile(
    r"\b(?:cofam|cofn(?:ij|ie|ac|iet)\w*|cofamy|wycof\w*|odwoluj\w*|odwolac|wypis\w*|wyrejestruj\w*|rezygnuj\w*|rezygnac\w*|usun\w* mnie z|"
    r"skresl\w* mnie|withdraw\w*|revoke\w*|unsubscribe\w*|opt(?:ing)?[ -]?out|take me off|remove me from)\b"
)
_LEAVE = re.compile(
    r"\b(?:zgod\w*|consent\w*|unsubscribe|opt(?:ing)?[ -]?out|wypis\w* mnie|wypisac sie|sie wypisac|wyrejestr\w*|take me off|remove me from)\b|"
    r"\bz (?:maili|mailingu|listy|newslettera|bazy mail\w*)"
)
_LEAVES_LIST = re.compile(r"\b(?:wypis|unsubscribe|take me off|remove me|opt|wyrejestr|usun|rezygn|skresl)")
_UNWANTED = re.compile(
    r"\b(?:nie (?:\w+ ){0,2}?(?:chce|chcialbym|chcialabym|zycze|potrzebuje|wysyl\w*|przysyl\w*|przesyl\w*|dzwon\w*|kontaktuj\w*|pisz\w*|interesuj\w*)|przestan\w*|"
    r"bez|zadnych|zadnego|dosc|stop|don't|dont|do not|no more|never|no|not|without|nie)\b"
)
_MARKETING = re.compile(
    r"\b(?:marketing\w*|reklam\w*|newsletter\w*|promocj\w*|ofert\w* handlow\w*|informacj\w* handlow\w*|mailing\w*|spam\w*|promotion\w*|advert\w*|ads|"
    r"commercial (?:offers|messages|information)|ofert\w* (?:promoc|marketing)\w*)\b"
)
_ADVERTS_ONLY = re.compile(r"\b(?:marketing\w*|reklam\w*|newsletter\w*|mailing\w*|spam\w*|advert\w*|ads)\b")
_NO_OFFERS = re.compile(
    r"\bnie (?:\w+ ){0,2}?(?:chce|chcial\w*|zycze|wysyl\w*|przysyl\w*|przesyl\w*|dostawac|otrzymywac)\b(?:\W+\w+){0,4}?\W+(?:ofert\w*|informacj\w*) handlow\w*"
)
_MAIL = re.compile(r"\b(?:e-?mail\w*|maili?\w*|mejl\w*|poczt\w*|newsletter\w*|mailing\w*)\b")
_BY_MAIL_OR_ADVERTS = re.compile(f"{_ADVERTS_ONLY.pattern}|{_MAIL.pattern}")
_PHONE = re.compile(r"\b(?:telefon\w*|dzwon\w*|zadzwon\w*|oddzwon\w*|sms\w*|phone|calls?|calling|text messages)\b")
_CONTACT = re.compile(
    r"\b(?:kontakt\w*|skontakt\w*|dzwon\w*|zadzwon\w*|oddzwon\w*|telefon\w*|przetwarz\w*|rodo|gdpr|danych|dane|ofert\w*|contact\w*|call\w*|process\w*|data|enquiry)\b"
)
_REACH = re.compile(r"dzwon|kontakt|contact|\bcall|pisz")
_WISH = re.compile(
    r"\b(?:nie (?:\w+ )?(?:za|od)?dzwon\w*|do not call|don't call)\s(?:\w+\s){0,3}?(?:po|przed|rano|wieczor\w*|w weekend\w*|teraz|dzisiaj|dzis|jutro|after|before|in the|today|now)\b"
)
_QUESTION = re.compile(
    r"^(?:a |ale |i |no |and |but )?(?:czy|na co|po co|dlaczego|czemu|jak\w?|co|gdzie|kiedy|ile|what|why|do i|do you|should i|must i|how|which|can i|is it|where)\b"
)
_IF = re.compile(
    r"\b(?:jesli|jezeli|gdyb\w*|o ile|if|unless|moze|chyba|zastanow\w*|pomysle|maybe|perhaps|think about|nie wiem|nie jestem pew\w*|not sure|niekoniecznie|zgodzilbym|zgodzilabym|zalezy|depends|najpierw|first|later|pozniej)\b"
)
_STRONG_YES = re.compile(
    r"^(?:(?:no|a|well) )?(?:tak|jasne|pewnie|oczywiscie|zgoda|jak najbardziej|potwierdzam|zgadza sie|yes|yep|yeah|yup|sure|of course|certainly|absolutely|by all means|please do|go ahead)\b"
)
_WEAK_YES = re.compile(
    r"^(?:(?:no|a|well) )?(?:ok|okej|okay|dobrze|dobra|spoko|super|chetnie|moze byc|niech bedzie|nie ma (?:problemu|sprawy)|nie mam nic przeciw\w*|prosze bardzo|prosze|mozna|mozecie|dzwoncie|fine|no problem|i do)\b"
)
_YES_WORDS = word_set(
    "no a well tak jasne pewnie oczywiscie zgoda ok okej okay dobrze dobra spoko super chetnie prosze bardzo "
    "poprosze dziekuje dzieki jak najbardziej zgadzam sie wyrazam zgode mozna mozecie mnie mi do ze mna na o w "
    "sprawie oferty kontakt kontaktowac skontaktowac dzwonic zadzwonic dzwoncie zadzwoncie oddzwonic pisac piszcie "
    "telefon potwierdzam problemu sprawy nie ma mam nic przeciwko przeciw moze byc niech bedzie zgadza yes yep "
    "yeah yup sure of course certainly absolutely by all means please go ahead you can may call contact me thanks "
    "thank i it is that's thats fine agree consent problem to the offer about this ten po rano poludniu wieczorem "
    "kiedy chcecie smialo"
)
_NO = re.compile(
    r"^(?:(?:hm+|raczej|well|sorry|przepraszam|o) )?(?:nie|no|nope|nah|absolutnie nie|w zadnym wypadku|nigdy|never|rather not|lepiej nie|raczej nie|wol(?:e|alabym|albym) nie|(?:i would|i'd) rather not)\b"
)
_NOT_A_NO = re.compile(
    r"^nie (?:ma (?:problemu|sprawy)|mam nic przeciw|wiem|rozumiem|jestem|bardzo rozum|chce podawac)|^no (?:problem|worries|tak|jasne|pewnie|dobra|dobrze|ok|okej)\b"
)
_NO_MAIL = re.compile(
    r"\bnie (?:\w+ ){0,2}?(?:chce|zycze|wysyl\w*|przysyl\w*|przesyl\w*)(?! (?:\w+ )?(?:podaw|podac|dawac|zostaw))\b(?:\W+\w+){0,4}?\W+(?:e-?maili|maili|mejli|wiadomosci)\b|"
    r"\b(?:stop|don't|do not|no more)(?:\W+\w+){0,3}?\W+(?:e-?mails?|emailing)\b"
)
_INTEREST = re.compile(
    r"\b(?:chce|chcial\w*|chetnie|mozecie|prosze|poprosze|zapisz\w*|wysylaj\w*|przysylaj\w*|subscribe|sign me|i want|i would like|send me|please send)\b"
)
_ON_TOPIC = re.compile(r"^(?:na )?kontakt\w*:? (?:tak|nie|ok)$|^(?:tak|nie) na kontakt$|^contact:? (?:yes|no|ok)$")
_MOREOVER = re.compile(
    r"\b(?:tez|takze|rowniez|dodatkowo|also|too|as well)\b|^(?:oraz|and|i(?! (?:\w+ )?(?:agree|consent|accept|allow|give|grant))) "
)
_EVERYTHING: tuple[Purpose, ...] = ("rodo", "marketing_email", "marketing_phone")
_MAX_CLAUSES = 12
_SHORT_NO = 6

How = Literal["agree", "refuse", "withdraw", "bare", "interest", "unclear", "nothing"]


@dataclass(frozen=True, slots=True)
class Stated:
    """Decisions of one message and what kind of statement made them."""

    decisions: tuple[Decision, ...] = ()
    withdrawal: bool = False
    unclear: bool = False
    """The visitor answered the consent question, but neither clearly yes nor clearly no."""
    interest: bool = False
    """The visitor would like marketing but has not consented in so many words: ask, showing the text."""
    passed_over: tuple[Purpose, ...] = ()
    """What was asked about and stays open, because the "yes" was said to something else."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    how: How
    purposes: tuple[Purpose, ...] = ()
    granted: bool = False


_NOTHING = _Verdict("nothing")
_SILENT = Stated()
_TELLING = re.compile(
    r"\b(?:zg[ao]d|wyra[zr]|zycz|da(?:m|je)\b|udziel|potwierdz|akcept|zezwal|pozwal|upowaz|odmaw|agree|consent|accept|auth|allow|refus|declin|cof|wycof|odwol|wypis|"
    r"wyrejestr|rezygn|skresl|withdr|revok|unsub|opt|take|remov|usun|marketing|reklam|newslet|promo|ofert|informacj|mail|spam|advert|ads|"
    r"commercial)|dzwon|kontakt|contact|\bcall|pisz|mail|mejl|wiadomosc"
)
"""Without one of these, and unasked, nothing is decided: most messages are passed over at the price of one look."""


def read(text: Text, asked: tuple[Purpose, ...]) -> Stated:
    """What the visitor decides in this message; `asked` are the purposes the last reply asked about.

    A purpose that the message both grants and refuses stays undecided.
    """
    if not asked and _TELLING.search(text.folded) is None:
        return _SILENT
    verdicts: list[tuple[str, _Verdict]] = []
    clauses = _clauses(text)
    alone = len(clauses) == 1 or _YES_WORDS.issuperset(re.findall(r"[^\W\d_]+", text.folded))
    for pieces, question in clauses:
        before: _Verdict | None = None
        for piece in pieces:
            verdict = _inherited(piece, before) or _verdict(piece, asked, question=question, alone=alone)
            verdicts.append((piece, verdict))
            before = verdict
    explained = [one for one, (piece, other) in pairwise(verdicts) if _explains(piece, other, one[1])]
    hows = {verdict.how for _, verdict in verdicts}
    said: dict[Purpose, set[bool]] = {}
    for one in verdicts:
        for purpose in () if one in explained else one[1].purposes:
            said.setdefault(purpose, set()).add(one[1].granted)
    decisions = tuple(Decision(p, said[p] == {True}) for p in _EVERYTHING if len(said.get(p, ())) == 1)
    conflict = any(len(values) > 1 for values in said.values())
    return Stated(
        decisions,
        withdrawal="withdraw" in hows,
        unclear=not decisions and (conflict or (bool(asked) and "unclear" in hows)),
        interest=not decisions and "interest" in hows,
        passed_over=tuple(purpose for _, verdict in explained for purpose in verdict.purposes if purpose not in said),
    )


def _explains(piece: str, verdict: _Verdict, before: _Verdict) -> bool:
    """True for "tak, zgadzam się na marketing": the "yes" is to what follows it, not to the other thing asked about."""
    if before.how != "bare" or not before.granted or verdict.how != "agree" or _MOREOVER.search(piece):
        return False
    return set(verdict.purposes).isdisjoint(before.purposes)


def _clauses(text: Text) -> list[tuple[list[str], bool]]:
    """Clauses, each cut at its conjunctions, and whether a question mark ends them."""
    found: list[tuple[list[str], bool]] = []
    position = 0
    folded = text.folded[:600]
    for match in _CLAUSE.finditer(folded + "."):
        part = folded[position : match.start()].strip()
        position = match.end()
        halves = _SECOND_VERB.split(part) if _AGREE.search(_SECOND_VERB.split(part)[0]) else [part]
        for half in halves:
            telling = _MARKETING.search(half) or _CONTACT.search(half)
            pieces = [piece.strip() for piece in (_AND.split(half) if telling else [half]) if piece.strip()]
            if pieces:
                found.append((pieces, "?" in match.group()))
    return found[:_MAX_CLAUSES]


def _inherited(piece: str, before: _Verdict | None) -> _Verdict | None:
    """ "... i marketing": the verb before the conjunction counts for what follows it, when nothing else is said."""
    if before is None or before.how not in {"agree", "refuse", "withdraw"} or len(piece.split()) > 3:
        return None
    purposes = _purposes(piece)
    if not purposes or _UNWANTED.search(piece) or _AGREE.search(piece):
        return None
    return _Verdict(before.how, purposes, before.granted)


def _verdict(clause: str, asked: tuple[Purpose, ...], *, question: bool, alone: bool) -> _Verdict:
    """What one clause decides."""
    if _WISH.search(clause):
        return _NOTHING
    purposes = _purposes(clause)
    if _WITHDRAW.search(clause) and (purposes or _LEAVE.search(clause)) and not _QUESTION.match(clause):
        return _Verdict("withdraw", _withdrawn(clause, purposes))
    if _REFUSE.search(clause) and not question:
        return _Verdict("refuse", purposes or asked or ("rodo",))
    if question or _QUESTION.match(clause):
        return _NOTHING
    if _IF.search(clause):
        return _Verdict("unclear")
    if _AGREE.search(clause):
        if re.search(r"\b(?:nie|not|don't|never)\b", clause):
            return _Verdict("unclear")
        target = purposes or asked
        return _Verdict("agree", target, granted=True) if target else _NOTHING
    return _without_verb(clause, purposes, asked, alone=alone)


def _without_verb(clause: str, purposes: tuple[Purpose, ...], asked: tuple[Purpose, ...], *, alone: bool) -> _Verdict:
    """Clauses without a verb of consent: "reklam nie chcę", "nie dzwońcie", "tak", "nie"."""
    unwanted = _UNWANTED.search(clause) is not None
    if _MARKETING.search(clause):
        if unwanted and (_ADVERTS_ONLY.search(clause) or _NO_OFFERS.search(clause)):
            return _Verdict("refuse", purposes)
        wished = not unwanted and _INTEREST.search(clause) and _BY_MAIL_OR_ADVERTS.search(clause)
        return _Verdict("interest") if wished else _NOTHING
    if unwanted and _REACH.search(clause) and not _NOT_A_NO.match(clause):
        return _Verdict("refuse", ("rodo",))
    if _NO_MAIL.search(clause):
        return _Verdict("refuse", ("marketing_email",))
    if not asked:
        return _NOTHING
    if purposes == ("rodo",) and _ON_TOPIC.search(clause):
        return _Verdict("refuse" if unwanted else "agree", purposes, granted=not unwanted)
    words = re.findall(r"[^\W\d_]+", clause)
    accepts = all(word in _YES_WORDS for word in words) and (not unwanted or _NOT_A_NO.match(clause) is not None)
    if _STRONG_YES.match(clause) or _WEAK_YES.match(clause):
        sure = accepts and (_STRONG_YES.match(clause) is not None or alone)
        return _Verdict("bare", asked, granted=True) if sure else _Verdict("unclear")
    if _NO.match(clause) and not _NOT_A_NO.match(clause) and len(words) <= _SHORT_NO:
        return _Verdict("bare", asked)
    return _NOTHING


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
    if _LEAVES_LIST.search(clause):
        mail, phone = _MAIL.search(clause) is not None, _PHONE.search(clause) is not None
        if mail == phone:
            return ("marketing_email", "marketing_phone")
        return ("marketing_email",) if mail else ("marketing_phone",)
    return purposes or _EVERYTHING
