"""Phone numbers and e-mail addresses, typed or spelled out; broken ones are noticed, not guessed."""

import re
import unicodedata
from dataclasses import dataclass
from itertools import islice

import idna
import phonenumbers

from app.engine import patterns
from app.engine.patterns import Pattern, Signs

_EMAIL = Pattern(
    r"(?<![\w.+%@-])[a-z0-9](?:[a-z0-9._%+-]{0,62}[a-z0-9_%+-])?@"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,5}[a-z]{2,24}(?![\w@-])"
)
_MAX_SIGNS = 6
"""Of more, the rest is not looked at."""
_AT_SIGN = Pattern(r"\s?(?:[(\[{<]\s?(?:at|malpa|a)\s?[)\]}>]|(?<=\s)(?:malpa|malpka|at)(?=\s)|(?<=\w)\s@\s(?=\w))\s?")
_SPOKEN = re.compile(
    r"(?<![\w.])(?P<local>[a-z0-9][a-z0-9._+-]{0,40}(?:\s(?:kropka|dot|podkreslnik|podkreslenie|underscore|myslnik|minus)\s[a-z0-9._+-]{1,40}){0,4})"
    r"@(?P<domain>[a-z0-9][a-z0-9.-]{0,40}(?:\s?(?:kropka|dot|[(\[]dot[)\]]|\.)\s?[a-z0-9-]{1,30}){1,4})(?![\w@])"
)
_SPOKEN_SIGNS = (
    (re.compile(r"\s?[(\[]?(?:\bkropka\b|\bdot\b)[)\]]?\s?"), "."),
    (re.compile(r"\s(?:podkreslnik|podkreslenie|underscore)\s"), "_"),
    (re.compile(r"\s(?:myslnik|minus)\s"), "-"),
)
_BROKEN_EMAIL = Pattern(
    r"[^\s@]{1,64}@[^\s]{0,64}|(?:e-?mail|mail|mejl|adres)\w{0,3}(?: to| is)?:? [a-z0-9._-]{2,40}\.(?:pl|com|eu)\b"
)
_PHONE = Pattern(r"(?<![\w@])(?<!\d[.,])(?:\+|00)?\(?\d(?:[ ().\-/]{0,3}\d){6,14}(?!\d)")
_NOT_PHONE_BEFORE = re.compile(
    r"(?:nip|krs|regon|pesel|konto|konta|iban|nr konta|faktur\w*|umow\w*)\W{0,3}(?:to |nr )?$"
)
_NOT_PHONE_AFTER = re.compile(r"\s?(?:zl|pln|tys|mln|m2|m\b|metr|eur|usd|€|k\b)")
_PHONE_CUE = re.compile(
    r"(?:tel\b|tel\.|telefon\w*|numer\w*|komork\w*|nr\b|phone|mobile|call me|zadzwon\w*|dzwon\w*|oddzwon\w*)[^\d+]{0,25}$"
)
_ANNOUNCED = Pattern(
    r"(?:telefon|tel\.?|numer telefonu|numer to|phone(?: number)?(?: is)?|moj (?:numer|nr)|nr (?:tel\w*|kom\w*)\.?|my number is)\W{1,3}(?:to )?(?:\d[ -]?){3,8}(?!\s?\d)"
)
_OTHER_NUMBER = re.compile(r"\s?(?:zl|m2|m\b|tys)")
_DIGIT_WORDS = {
    word: digit
    for digit, words in enumerate(
        (
            "zero",
            "jeden one",
            "dwa two",
            "trzy three",
            "cztery four",
            "piec five",
            "szesc six",
            "siedem seven",
            "osiem eight",
            "dziewiec nine",
        )
    )
    for word in words.split()
}
_SPELLED = Pattern(rf"\b(?:{'|'.join(_DIGIT_WORDS)})(?:[ ,-]{{1,2}}(?:{'|'.join(_DIGIT_WORDS)})){{8}}\b")


_HUNDREDS = dict(
    zip(
        ["sto", "dwiescie", "trzysta", "czterysta", "piecset", "szescset", "siedemset", "osiemset", "dziewiecset"],
        range(100, 1000, 100),
        strict=True,
    )
)
_TENS = dict(
    zip(
        [
            "dwadziescia",
            "trzydziesci",
            "czterdziesci",
            "piecdziesiat",
            "szescdziesiat",
            "siedemdziesiat",
            "osiemdziesiat",
            "dziewiecdziesiat",
        ],
        range(20, 100, 10),
        strict=True,
    )
)
_TEENS = dict(
    zip(
        [
            "dziesiec",
            "jedenascie",
            "dwanascie",
            "trzynascie",
            "czternascie",
            "pietnascie",
            "szesnascie",
            "siedemnascie",
            "osiemnascie",
            "dziewietnascie",
        ],
        range(10, 20),
        strict=True,
    )
)
_GROUP = (
    rf"(?:{'|'.join(_HUNDREDS)})(?: (?:{'|'.join(_TEENS)})| (?:{'|'.join(_TENS)}))?(?: (?:{'|'.join(_DIGIT_WORDS)}))?"
)
_SPELLED_GROUPS = Pattern(rf"\b{_GROUP}(?:[ ,-]{{1,2}}{_GROUP}){{2}}\b(?! tys| zl| metr)")


@dataclass(frozen=True, slots=True)
class Contact:
    """What was found, and which spans of the folded text it took."""

    phone: str | None
    email: str | None
    bad_phone: bool
    bad_email: bool
    spans: tuple[tuple[int, int], ...]


def find(folded: str, clean: str, signs: Signs) -> Contact:
    """The last valid phone and e-mail address of a message; `bad_*` when only a broken one is there.

    `clean` is the text before folding, of the same length: an address with a folded letter would be somebody else's.
    """
    email, bad_email, spans = _email(folded, clean, signs)
    masked = folded
    for start, end in spans:
        masked = masked[:start] + " " * (end - start) + masked[end:]
    phone, bad_phone, phone_spans = _phone(masked, patterns.signs(masked) if spans else signs)
    return Contact(phone, email, bad_phone, bad_email, (*spans, *phone_spans))


def phone_number(text: str) -> str | None:
    """The E.164 form of a text that is a telephone number and nothing else, as a form has it; None for any other."""
    written = unicodedata.normalize("NFKC", text).strip()
    return _parse(written) if written.isascii() and _PHONE.regex.fullmatch(written) else None


def _email(folded: str, clean: str, signs: Signs) -> tuple[str | None, bool, list[tuple[int, int]]]:
    found = list(_EMAIL.finditer(folded, signs))
    if found:
        address = _tidy(clean[slice(*found[-1].span())])
        if address is not None:
            return address, False, [match.span() for match in found]
    spoken = _spoken(folded, signs)
    if spoken is not None:
        return spoken[0], False, [spoken[1]]
    broken = _BROKEN_EMAIL.search(folded, signs)
    return None, broken is not None, [] if broken is None else [broken.span()]


def _spoken(folded: str, signs: Signs) -> tuple[str, tuple[int, int]] | None:
    """An address with its signs in words: "anna malpa wp kropka pl"."""
    for sign in reversed(list(islice(_AT_SIGN.finditer(folded, signs), _MAX_SIGNS))):
        found = _around(folded, sign)
        if found is not None:
            return found
    return None


def _around(folded: str, sign: re.Match[str]) -> tuple[str, tuple[int, int]] | None:
    """The address around one spoken "at": of "reach me at tom at wp dot pl" the last is one."""
    start = max(0, sign.start() - 90)
    window = folded[start : sign.start()] + "@" + folded[sign.end() : sign.end() + 90]
    match = _SPOKEN.search(window)
    if match is None or not match.start() <= sign.start() - start <= match.end():
        return None
    address = match.group()
    for pattern, char in _SPOKEN_SIGNS:
        address = pattern.sub(char, address)
    full = _EMAIL.regex.search(address.replace(" ", ""))
    tidy = None if full is None else _tidy(full.group())
    if tidy is None:
        return None
    shift = sign.end() - sign.start() - 1
    return tidy, (start + match.start(), min(len(folded), start + match.end() + shift))


def _tidy(address: str) -> str | None:
    """Lower case with an ASCII domain; None where mail could not be delivered."""
    local, _, domain = address.partition("@")
    if ".." in local or local.endswith(".") or not local.isascii():
        return None
    try:
        ascii_domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError:
        return None
    return f"{local}@{ascii_domain}".lower()


def _phone(folded: str, signs: Signs) -> tuple[str | None, bool, list[tuple[int, int]]]:
    found: str | None = None
    bad = False
    spans: list[tuple[int, int]] = []
    for match in _PHONE.finditer(folded, signs):
        if _NOT_PHONE_BEFORE.search(folded[max(0, match.start() - 20) : match.start()]):
            spans.append(match.span())
            continue
        if _NOT_PHONE_AFTER.match(folded, match.end()):
            continue
        number = _parse(match.group())
        if number is not None:
            found = number
            spans.append(match.span())
        elif _PHONE_CUE.search(folded[max(0, match.start() - 40) : match.start()]) or match.group().startswith("+"):
            bad = True
            spans.append(match.span())
    long_enough = folded.count(" ") + folded.count(",") + folded.count("-")
    for match in _SPELLED.finditer(folded, signs) if long_enough >= 8 else ():
        digits = "".join(str(_DIGIT_WORDS[word]) for word in re.findall(r"[a-z]+", match.group()))
        number = _parse(digits)
        if number is not None:
            found = number
            spans.append(match.span())
    for match in _SPELLED_GROUPS.finditer(folded, signs) if long_enough >= 2 else ():
        number = _parse(_group_digits(match.group()))
        if number is not None:
            found = number
            spans.append(match.span())
    short = found is None and not bad and _short_number(folded, signs)
    return found, found is None and (bad or short), spans


def _group_digits(spoken: str) -> str:
    """Nine digits from three spoken hundreds: "szescset dziewiecdziesiat jeden ..." is 691..."""
    values: list[int] = []
    for word in re.findall(r"[a-z]+", spoken):
        if word in _HUNDREDS:
            values.append(_HUNDREDS[word])
        else:
            values[-1] += _TENS.get(word) or _TEENS.get(word) or int(_DIGIT_WORDS[word])
    return "".join(str(value) for value in values)


def _short_number(folded: str, signs: Signs) -> bool:
    """A phone was announced, but too few digits followed."""
    match = _ANNOUNCED.search(folded, signs)
    return match is not None and not _OTHER_NUMBER.match(folded, match.end())


def _parse(written: str) -> str | None:
    """E.164, or None when the number cannot exist. Without a country code it is a Polish one."""
    digits = re.sub(r"\D", "", written)
    international = written.startswith(("+", "00"))
    if written.startswith("00"):
        digits = digits[2:]
    if not international and len(digits) == 11 and digits.startswith("48"):
        international = True
    if not international:
        digits = digits[1:] if len(digits) == 10 and digits.startswith("0") else digits
        if len(digits) != 9:
            return None
        digits = "48" + digits
    try:
        number = phonenumbers.parse("+" + digits, None)
    except phonenumbers.NumberParseException:
        return None
    polish = number.country_code == 48
    valid = phonenumbers.is_valid_number(number) if polish else phonenumbers.is_possible_number(number)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164) if valid else None
