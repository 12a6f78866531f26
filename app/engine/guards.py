"""What is looked at before anything else: rights, wishes for a human, abuse and attempts to steer the assistant."""

from typing import Literal

from app.engine.normalise import Text
from app.engine.patterns import Pattern

Guard = Literal["erasure", "access", "injection", "abuse", "human"]

_ERASE = Pattern(
    r"\b(?:usun\w*|skasuj\w*|kasuj\w*|skasow\w*|wymaz\w*|zapomn(?:ij|ijcie|ienia)|wykasuj\w*|zniszcz\w*|wyczysc\w*|delete|erase|forget|remove|wipe)\b"
    r"(?:\W+\w+){0,5}?\W+(?:dan(?:e|ych)|informacj\w*|rozmow\w*|konwersacj\w*|histori\w*|czat\w*|chat(?!gpt)\w*|mnie|numer\w*|telefon\w*|mail\w*|e-mail\w*|wszystko|konto|data|details|"
    r"everything|conversation|me|number|account|information)\b|praw\w{1,2} do (?:bycia zapomnian\w*|usuniecia)|right to be forgotten|(?:dan(?:e|ych)|data)(?:\W+\w+){0,4}?\W+(?:usun\w*|skasow\w*|deleted|erased|removed)\b"
)
_NOT_ERASE = Pattern(
    r"usun\w* (?:mnie )?z (?:list|mail|newsl|baz\w* mail)|remove me from (?:the |your )?(?:mail|list|newsl)|usuwa\w* (?:scian|drzwi)|usuniecie? scian"
)
_OF_ASSISTANT = Pattern(r"\b(?:instrukcj|polece|regul|zasad|prompt|instruction|rules)\w*")
"""In "forget your instructions" a word of erasure is for something that is not the visitor's."""
_ACCESS = Pattern(
    r"\b(?:jakie|co|kopi\w*|eksport\w*|wgl?ad\w*|dostep\w*|pobrac|pobierz|przeslij\w*|wyslij\w*|pokaz\w*|what|copy|export|access|download|show|send)\b(?:\W+\w+){0,6}?\W+"
    r"(?:(?:moi(?:ch|mi)?|moje|o mnie|swoi(?:ch|mi)|mnie|my|me)\W+(?:\w+\W+){0,2}?(?:dan(?:e|ych|ymi)|data|informacj\w*|details)|(?:dan(?:e|ych)|data|informacj\w*)(?:\W+\w+){0,2}?\W+(?:o mnie|mnie|moje|about me|on me|you have|you hold|you store|przechow\w*|zbier\w*|przetwarz\w*|macie))\b"
    r"|\b(?:co o mnie wiecie|co o mnie macie|co wiecie o mnie|what do you know about me|art\.? ?15|kopi\w* (?:moich )?danych|copy of my data|moje dane chce pobrac)\b"
)
_OF_OTHERS = Pattern(r"\b(?:innych|innego|klient(?:ow|a|ki)|other|another|previous|poprzedni\w*)\b")
_INJECTION = Pattern(
    r"\b(?:zignoruj|ignoruj|pomin|zapomnij|zapomnijcie|olej|ignore|disregard|forget|override|bypass|wylacz|disable|nadpisz|obejdz)\w*\b(?:\W+\w+){0,5}?\W+"
    r"(?:instrukcj\w*|polece\w*|regul\w*|zasad\w*|filtr\w*|ogranicz\w*|zabezpiecz\w*|prompt\w*|instruction\w*|rules?|filters?|guardrails?|restrictions?|safety|(?:everything|all) (?:above|before)|co (?:bylo|ci) (?:wczesniej|powiedzi\w*))\b"
    r"|\b(?:prompt\w* systemow\w*|systemow\w* prompt\w*|system prompt|system_prompt|initial prompt|your (?:prompt|instructions)|twoj\w* (?:prompt\w*|instrukcj\w*|konfiguracj\w*)|swoj\w* (?:prompt\w*|instrukcj\w*|konfiguracj\w*|ustawieni\w*)|"
    r"klucz\w* (?:api|dostep\w*|do api|openai)|api.?key\w*|connection string|haslo do|hasla do|has(?:lo|la) (?:admin|bazy|root)\w*|password\w*|zmienn\w* srodowisk\w*|env(?:ironment)? variables?|database_url|secret.?key|"
    r"jailbreak\w*|dan mode|developer mode|tryb\w* (?:deweloper\w*|programist\w*|debug\w*|admin\w*)|debug mode|do anything now|drop table|union select|select \* from|or 1\s?=\s?1|rm -rf|"
    r"lead.?score|score leada|baz\w* (?:klient\w*|danych|lead\w*)|dane (?:innych|pozostalych|poprzedni\w*|ostatni\w*) klient\w*|(?:dane|numery?|telefon\w*|maile|adresy|list\w*|nazwisk\w*|imiona) (?:\w+ )?(?:innych |poprzednich |waszych |ostatnich )?(?:klientow|klienta|klientki|uzytkownikow|leadow)|"
    r"(?:poprzedni|ostatni|inny|inni|inna|inne)\w* (?:klien|uzytkown|rozmowc|lead)\w*(?:\W+\w+){0,4}?\W+(?:numer\w*|telefon\w*|mail\w*|nazw\w*|imie|adres\w*|dane|kupil\w*|zaplacil\w*|podal\w*|pisal\w*|mowil\w*)|"
    r"(?:numer\w*|telefon\w*|mail\w*|nazwisk\w*|imie|adres\w*|dane|rozmow\w*|ile|co|kto)(?:\W+\w+){0,4}?\W+(?:poprzedni|ostatni)\w* (?:klien|uzytkown|rozmowc|lead)\w*|"
    r"(?:other|previous|last|another) (?:customer|client|user|visitor)s?'?s? (?:data|phone|email|number|detail|name|conversation)\w*|(?:customer|client|user) (?:list|database|data))\b"
    r"|\b(?:od teraz|from now on|you are now|jestes teraz|teraz jestes|udawaj|pretend|zachowuj sie jak|(?:dzialaj|pracuj|odpowiadaj|pisz) jako?|act as|wciel sie|odgrywaj|roleplay|mow jak|talk like|speak like|wyobraz sobie ze jestes)\b(?:\W+\w+){0,3}?\W*(?:jestes|badz|pirat\w*|robot\w*|czlowiek\w*|ekspert\w*|kucharz\w*|lekarz\w*|pirate\w*|postac\w*|ze jestes|you are|to be|as|a|an|jako|szef\w*|admin\w*|chatgpt|dyrektor\w*|prezes\w*|rola|ai|bot\w*|gpt)\b"
    r"|(?:^|\n|\s)(?:system|assistant|developer)\s?:|<\s?/?\s?(?:script|system|iframe|img)|\[(?:system|inst)\]|\{\{|\$\{|\b(?:potwierdz|confirm)\w*\b(?:\W+\w+){0,3}?\W+(?:kosztuj\w*|cen\w*|costs?|price|za darmo|gratis|free|rabat\w*|(?:umowil\w*|ustalil\w*|dogadal\w*|obiecal\w*|agreed|promised)(?:\W+\w+){0,6}?\W+\d+\W?(?:zl\w*|pln|%|proc\w*))"
    r"|\b(?:przetlumacz|powtorz|wypisz|wyswietl|print|repeat|reveal|show|translate)\w*\b(?:\W+\w+){0,4}?\W+(?:powyzej|above|prompt\w*|instrukcj\w*|instructions)\b"
)
_ABUSE = Pattern(
    r"\b(?:kurw\w*|chuj\w*|huj(?:u|owy|owa|owe|nia)\w*|pierdol\w*|spierdal\w*|wypierdal\w*|jeban\w*|jebac|jebie\w*|zjeb\w*|pojeb\w*|idiot\w*|debil\w*|kretyn\w*|dupk\w*|skurw\w*|szmat[ao]|glupi bot\w*|"
    r"gowno\w*|gowniany|oszus[ctz]\w*|zlodziej\w*|zlodziej|naciagacz\w*|durn\w*|fuck\w*|shit\w*|bitch\w*|asshole\w*|moron\w*|stupid bot|you suck|dumb\w*|cunt\w*|bastard\w*|scammers?|crooks?)\b"
)
_HUMAN = Pattern(
    r"\b(?:czlowiek\w*|konsultant\w*|doradc\w*|pracownik\w*|konsultantk\w*|handlowc\w*|handlowiec|operator\w*|human|real person|agent|advisor|adviser|representative|someone real|zyw\w{1,3} (?:osob|czlowiek)\w*|(?:kims|kogos) (?:zyw|prawdziw)\w+|kims z (?:firmy|biura|was)|kierownik\w*|menedzer\w*|manager\w*|szef\w*)\b"
)
_HUMAN_WISH = Pattern(
    r"\b(?:rozmaw\w*|porozmaw\w*|pogad\w*|polacz\w*|przelacz\w*|kontakt\w*|chce|chcial\w*|prosze|poprosze|daj\w*|wole|wolalb\w*|moge|mozna|zawolaj\w*|potrzebuj\w*|speak|talk|connect|want|need|like|transfer|get me|chat with|put me)\b"
)
_HUMAN_DIRECT = Pattern(
    r"\b(?:nie chce (?:\w+ )?(?:z )?(?:botem|robotem|automatem|maszyna)|z prawdziw\w* (?:czlowiekiem|osoba)|prawdziw\w* (?:czlowiek\w*|osob\w*)|human please|live agent|z kims z firmy|not a bot)\b"
)
_SPEAK = Pattern(r"\b(?:chce|chcial|polacz|want|speak|talk to)\w*")
_BOOKING = Pattern(
    r"\b(?:umow\w*|zarezerw\w*|rezerw\w*|zapis\w*|book|schedule|arrange)\b(?:\W+\w+){0,3}?\W+"
    r"(?:spotkani\w*|konsultacj\w*|wizyt\w*|meeting|consultation|appointment)\b"
)
_IS_BOT = Pattern(
    r"\b(?:czy|jestes|are you|is this|rozmawiam z)\b.{0,25}\b(?:czlowiek\w*|human|real person|konsultant\w*|osob\w*|botem|bot|robot\w*|automat\w*|ai|sztuczn\w*|chatgpt|gpt)\b"
)


def find(text: Text) -> Guard | None:
    """The guard that speaks for this message. Asking for one's own data or its erasure is a right, never an attack."""
    if _says(text, _ERASE) and not _says(text, _NOT_ERASE) and not _says(text, _OF_ASSISTANT):
        return "erasure"
    if _says(text, _ACCESS) and not _says(text, _OF_OTHERS):
        return "access"
    if _says(text, _INJECTION):
        return "injection"
    if _wants_human(text):
        return "human"
    if _says(text, _ABUSE):
        return "abuse"
    return None


def _says(text: Text, pattern: Pattern) -> bool:
    return pattern.search(text.folded, text.signs) is not None


def _wants_human(text: Text) -> bool:
    if _says(text, _IS_BOT) and not _says(text, _SPEAK):
        return False
    if _says(text, _HUMAN_DIRECT):
        return True
    if _says(text, _BOOKING):
        return False
    return _says(text, _HUMAN) and (_says(text, _HUMAN_WISH) or len(text.folded.split()) <= 2)
