"""Polish or English: by the words of the message, and when they do not tell, by what was spoken before."""

from app.engine.normalise import Text, word_set
from app.engine.patterns import Pattern
from app.engine.types import Locale

_SHARED = word_set("to do no i a me on my we hi am ten at pod")
"""Words of both languages tell nothing."""
_ENGLISH = (
    word_set(
        "the is are am what how much many do does did you your yours we our us my mine me i'm please hello hi hey "
        "thanks thank for of with and but or can could would should will shall want need have has had get give in at "
        "on to from this that these those it its there where when which who why not don't yes no cost costs price "
        "prices cheap cheapest flat apartment house bathroom kitchen floor floors work works time long take takes "
        "warranty quote estimate call about tell show book meeting include included includes package packages square "
        "meters metres meter metre company an be been was were if okay sure budget recommend best delete remove data "
        "consent agree number name english speak human person difference between compare"
    )
    - _SHARED
)
_POLISH = (
    word_set(
        "i w we z ze na do od po za przy dla o u nie tak czy jak ile co jaki jaka jakie jakich kiedy gdzie kto "
        "dlaczego ktory ktora ktore jest sa byc mam masz ma mamy macie moge mozna mozecie chce chcemy chcialbym "
        "chcialabym prosze poprosze dzien dobry czesc hej witam witajcie dzieki dziekuje to ten ta te tego tej mnie mi "
        "moj moja moje nas nam wasz wasze waszych sie juz tylko ale albo lub oraz tez bez pod przez kosztuje koszt "
        "koszty cena ceny cene wycena wycene wycenic mieszkanie mieszkania dom domu metrow metry metraz pakiet pakiety "
        "pakietu pakiecie pakietow lazienka kuchnia podloga panele zl zlotych tys tysiecy budzet kontakt telefon numer "
        "zgoda zgadzam wyrazam zgode jestem nazywam dane moich jeszcze dobra dobrze spoko robicie dajecie dzialacie "
        "trwa potrwa gwarancja rabat umowa firma wykonczenie wykonczenia pomoc wiem rozumiem wszystko nic"
    )
    - _SHARED
)
_POLISH_LETTERS = frozenset("ąćęłńśźżĄĆĘŁŃŚŹŻ")
_SWITCH = Pattern(
    r"^(?: (?:a|i|and|ok|okay|can|could|we|you|please|prosze|poprosze|moze|mozna|mozemy|mozesz|to|switch|speak|write|continue|go|on|pisz|napisz|powiedz|"
    r"odpowiadaj|wolalbym|wolalabym|wole|let|s|now|teraz|ale|but|ile|same|jeszcze|raz))*"
    r" (?:(?P<en>in english|english|po angielsku|angielski)|(?P<pl>po polsku|in polish|polish|polski))"
    r"(?: (?:please|prosze|ile|jesli|mozna|if|possible|thanks|dzieki|to|bedzie|it))* $"
)


def switch(text: Text) -> Locale | None:
    """The language that a message asks to go on in, when it asks for nothing else."""
    match = _SWITCH.search(text.joined, text.signs)
    return None if match is None else "pl" if match.group("en") is None else "en"


def detect(text: Text, *, before: Locale) -> Locale:
    """The message's language; `before` when it gives no clear sign. Polish letters count, shared words do not."""
    wanted = switch(text)
    if wanted is not None:
        return wanted
    polish = sum(map(_POLISH.__contains__, text.words))
    english = sum(map(_ENGLISH.__contains__, text.words))
    if not _POLISH_LETTERS.isdisjoint(text.clean):
        marked = sum(not _POLISH_LETTERS.isdisjoint(word) for word in text.clean.split()[:80])
        polish += marked if english == 0 else min(marked, polish + 1)
    if polish == english:
        return before
    return "pl" if polish > english else "en"
